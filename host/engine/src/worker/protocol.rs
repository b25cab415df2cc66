//! What a host and its workers say to each other. They are one program, so the form has no versions.

use bytes::Bytes;
use kinetic_model::{Determinism, Limits, Usage};
use serde::{Deserialize, Serialize};

use super::asking::{ImportAnswer, ImportCall, read_answer, read_input, write_answer, write_input};
use super::frame::Frame;
use super::wire::{Malformed, Reader, Writer};
use crate::interface::Interface;
use crate::{Answer, EngineError, Input, Logs};

/// What a worker is told first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Start {
    /// How often a running guest is looked at, in microseconds.
    pub(crate) tick_us: u64,
    /// Calls at once.
    pub(crate) calls_max: u32,
    /// Nothing gets more than this.
    pub(crate) ceiling: Limits,
    /// What guests may take together, in bytes.
    pub(crate) memory_bytes_max: u64,
}

/// What a worker has to know of a component beside its code.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct About {
    /// What it offers and imports.
    pub(crate) interface: Interface,
    /// The determinism its capsule promises.
    pub(crate) determinism: Determinism,
    /// The imports that other capsules answer.
    pub(crate) peers: Vec<String>,
}

/// A call's context as it crosses; what providers put into it stays in the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Context {
    pub(crate) unix_ns: u64,
    pub(crate) seed: [u8; 32],
    /// A tape as bytes.
    pub(crate) replay: Option<Vec<u8>>,
}

/// One call.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) function: String,
    pub(crate) limits: Limits,
    /// What it has spent of its wall time before it was sent, in nanoseconds.
    pub(crate) spent_ns: u64,
    pub(crate) context: Option<Context>,
    pub(crate) input: Input,
}

/// What a host says. Numbers called `slot` name a loaded component, those called `id` what is waited for.
#[derive(Debug)]
pub(crate) enum ToWorker {
    Start(Start),
    Load {
        slot: u64,
        about: Box<About>,
        code: Bytes,
    },
    /// Is the component of this slot loaded? Slot 0 asks only whether the worker answers.
    Check {
        id: u64,
        slot: u64,
    },
    /// Make one instance and drop it.
    Probe {
        id: u64,
        slot: u64,
        limits: Limits,
    },
    Call {
        id: u64,
        slot: u64,
        call: Box<Call>,
    },
    /// The answer to what a call asked.
    Tell {
        id: u64,
        answer: Box<ImportAnswer>,
    },
    /// Nobody waits for it any more.
    Cancel {
        id: u64,
    },
    /// Close the component's fence.
    Fence {
        slot: u64,
    },
    /// Nobody calls it any more.
    Unload {
        slot: u64,
    },
}

/// How a call went, as far as it happened in the worker.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) result: Result<Answer, EngineError>,
    pub(crate) usage: Usage,
    pub(crate) logs: Logs,
    /// Its tape as bytes.
    pub(crate) tape: Vec<u8>,
}

/// What a worker says.
#[derive(Debug)]
pub(crate) enum FromWorker {
    /// It is set up; this it could not take from itself.
    Ready {
        missing: Vec<String>,
    },
    /// The answer to a check or a probe.
    Done {
        id: u64,
        result: Result<(), EngineError>,
    },
    Ended {
        id: u64,
        ended: Box<Ended>,
    },
    /// A call that runs asks the host.
    Ask {
        id: u64,
        call: Box<ImportCall>,
    },
    /// What was cancelled has ended, and nothing more comes of it.
    Cancelled {
        id: u64,
    },
}

const START: u8 = 1;
const LOAD: u8 = 2;
const CHECK: u8 = 3;
const PROBE: u8 = 4;
const CALL: u8 = 5;
const CANCEL: u8 = 6;
const FENCE: u8 = 7;
const UNLOAD: u8 = 8;
const TELL: u8 = 9;
const READY: u8 = 64;
const DONE: u8 = 65;
const ENDED: u8 = 66;
const ASK: u8 = 67;
const CANCELLED: u8 = 68;

/// How a call ended: with an answer, or with an error.
const ANSWERED: u8 = 0;
const FAILED: u8 = 1;

impl ToWorker {
    pub(crate) fn frame(self) -> Frame {
        let mut head = Writer::default();
        let mut body = Bytes::new();
        match self {
            Self::Start(start) => {
                head.byte(START).small(&start);
            }
            Self::Load { slot, about, code } => {
                head.byte(LOAD).u64(slot).small(&about);
                body = code;
            }
            Self::Check { id, slot } => {
                head.byte(CHECK).u64(id).u64(slot);
            }
            Self::Probe { id, slot, limits } => {
                head.byte(PROBE).u64(id).u64(slot).small(&limits);
            }
            Self::Call { id, slot, call } => {
                head.byte(CALL).u64(id).u64(slot);
                body = call.write(&mut head);
            }
            Self::Tell { id, answer } => {
                head.byte(TELL).u64(id);
                body = answer.write(&mut head);
            }
            Self::Cancel { id } => {
                head.byte(CANCEL).u64(id);
            }
            Self::Fence { slot } => {
                head.byte(FENCE).u64(slot);
            }
            Self::Unload { slot } => {
                head.byte(UNLOAD).u64(slot);
            }
        }
        Frame {
            head: head.done(),
            body,
        }
    }

    pub(crate) fn read(frame: Frame) -> Result<Self, Malformed> {
        let mut head = Reader::new(&frame.head);
        let body = frame.body;
        let told = match head.byte()? {
            START => Self::Start(head.small()?),
            LOAD => Self::Load {
                slot: head.u64()?,
                about: head.small()?,
                code: body,
            },
            CHECK => Self::Check {
                id: head.u64()?,
                slot: head.u64()?,
            },
            PROBE => Self::Probe {
                id: head.u64()?,
                slot: head.u64()?,
                limits: head.small()?,
            },
            CALL => Self::Call {
                id: head.u64()?,
                slot: head.u64()?,
                call: Box::new(Call::read(&mut head, body)?),
            },
            TELL => Self::Tell {
                id: head.u64()?,
                answer: Box::new(ImportAnswer::read(&mut head, body)?),
            },
            CANCEL => Self::Cancel { id: head.u64()? },
            FENCE => Self::Fence { slot: head.u64()? },
            UNLOAD => Self::Unload { slot: head.u64()? },
            _ => return Err(Malformed("it is nothing a host says")),
        };
        head.end()?;
        Ok(told)
    }
}

impl Call {
    fn write(self, head: &mut Writer) -> Bytes {
        head.bytes(self.function.as_bytes())
            .small(&self.limits)
            .u64(self.spent_ns);
        match self.context {
            None => {
                head.byte(0);
            }
            Some(context) => {
                head.byte(1).u64(context.unix_ns).bytes(&context.seed);
                match context.replay {
                    None => head.byte(0),
                    Some(tape) => head.byte(1).bytes(&tape),
                };
            }
        }
        write_input(head, self.input)
    }

    fn read(head: &mut Reader<'_>, body: Bytes) -> Result<Self, Malformed> {
        let (function, limits, spent_ns) = (head.text()?, head.small()?, head.u64()?);
        let context = if head.flag()? {
            Some(Context {
                unix_ns: head.u64()?,
                seed: head.seed()?,
                replay: head.flag()?.then(|| head.bytes().map(<[u8]>::to_vec)).transpose()?,
            })
        } else {
            None
        };
        let input = read_input(head, body)?;
        Ok(Self {
            function,
            limits,
            spent_ns,
            context,
            input,
        })
    }
}

impl FromWorker {
    pub(crate) fn frame(self) -> Frame {
        let mut head = Writer::default();
        let mut body = Bytes::new();
        match self {
            Self::Ready { missing } => {
                head.byte(READY).small(&missing);
            }
            Self::Done { id, result } => {
                head.byte(DONE).u64(id).small(&result);
            }
            Self::Ended { id, ended } => {
                head.byte(ENDED).u64(id);
                body = ended.write(&mut head);
            }
            Self::Ask { id, call } => {
                head.byte(ASK).u64(id);
                body = call.write(&mut head);
            }
            Self::Cancelled { id } => {
                head.byte(CANCELLED).u64(id);
            }
        }
        Frame {
            head: head.done(),
            body,
        }
    }

    pub(crate) fn read(frame: Frame) -> Result<Self, Malformed> {
        let mut head = Reader::new(&frame.head);
        let said = match head.byte()? {
            READY => Self::Ready { missing: head.small()? },
            DONE => Self::Done {
                id: head.u64()?,
                result: head.small()?,
            },
            ENDED => Self::Ended {
                id: head.u64()?,
                ended: Box::new(Ended::read(&mut head, frame.body)?),
            },
            ASK => Self::Ask {
                id: head.u64()?,
                call: Box::new(ImportCall::read(&mut head, frame.body)?),
            },
            CANCELLED => Self::Cancelled { id: head.u64()? },
            _ => return Err(Malformed("it is nothing a worker says")),
        };
        head.end()?;
        Ok(said)
    }
}

impl Ended {
    fn write(self, head: &mut Writer) -> Bytes {
        let logs = &self.logs;
        head.small(&self.usage)
            .bytes(logs.stdout.as_bytes())
            .bytes(logs.stderr.as_bytes())
            .u64(logs.dropped_bytes)
            .bytes(&self.tape);
        match self.result {
            Ok(answer) => {
                head.byte(ANSWERED);
                write_answer(head, answer)
            }
            Err(error) => {
                head.byte(FAILED).small(&error);
                Bytes::new()
            }
        }
    }

    fn read(head: &mut Reader<'_>, body: Bytes) -> Result<Self, Malformed> {
        let usage = head.small()?;
        let logs = Logs {
            stdout: head.text()?,
            stderr: head.text()?,
            dropped_bytes: head.u64()?,
        };
        let tape = head.bytes()?.to_vec();
        let result = match head.byte()? {
            ANSWERED => Ok(read_answer(head, body)?),
            FAILED => Err(head.small()?),
            _ => return Err(Malformed("a call ended in no known way")),
        };
        Ok(Self {
            result,
            usage,
            logs,
            tape,
        })
    }
}

#[cfg(test)]
mod tests;
