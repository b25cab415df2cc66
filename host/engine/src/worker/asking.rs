//! What a call in a worker asks of the host while it runs, and what it is told: the imports of its guest.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::wire::{Malformed, Reader, Writer};
use crate::{Answer, Input, Output};

/// One question of a call. A call has one at a time: its guest waits for the answer.
#[derive(Debug)]
pub(crate) struct ImportCall {
    /// How far the virtual clock has come in the worker, in nanoseconds since 1970; none where the clock is real.
    pub(crate) virtual_ns: Option<u64>,
    /// What the call has spent of `limits.host_call_bytes` in the worker.
    pub(crate) host_bytes: u64,
    pub(crate) question: Question,
}

/// What is asked.
#[derive(Debug)]
pub(crate) enum Question {
    /// A function of an interface, named without its version, that a provider answers; in that provider's own form.
    Provider {
        interface: String,
        function: String,
        asked: Bytes,
    },
    /// A function of an interface that another capsule provides.
    Peer {
        import: String,
        export: String,
        input: Input,
    },
    /// What the tape says to a wait of this function of wasi:io/poll.
    Wait { function: String, asked: Bytes },
    /// What a wait that the tape did not answer came to.
    Waited { answer: Bytes },
}

/// What a call is told.
#[derive(Debug)]
pub(crate) struct ImportAnswer {
    /// What the call has spent of `limits.host_call_bytes` in the host.
    pub(crate) host_bytes: u64,
    pub(crate) told: Told,
}

/// The answer to a question.
#[derive(Debug)]
pub(crate) enum Told {
    /// What a provider answered, in its own form; what a tape has.
    Bytes(Bytes),
    /// What another capsule answered.
    Answer(Answer),
    /// The tape has nothing: go and do it. Also: it is noted.
    Go,
    /// The call is over; the host knows why.
    Over,
}

const PROVIDER: u8 = 0;
const PEER: u8 = 1;
const WAIT: u8 = 2;
const WAITED: u8 = 3;

const BYTES: u8 = 0;
const ANSWER: u8 = 1;
const GO: u8 = 2;
const OVER: u8 = 3;

/// The kinds of answer of a function.
const OK_JSON: u8 = 0;
const OK_BYTES: u8 = 1;
const ERR_JSON: u8 = 2;
const ERR_BYTES: u8 = 3;

impl ImportCall {
    pub(crate) fn write(self, head: &mut Writer) -> Bytes {
        match self.virtual_ns {
            None => head.byte(0),
            Some(ns) => head.byte(1).u64(ns),
        };
        head.u64(self.host_bytes);
        match self.question {
            Question::Provider {
                interface,
                function,
                asked,
            } => {
                head.byte(PROVIDER)
                    .bytes(interface.as_bytes())
                    .bytes(function.as_bytes());
                asked
            }
            Question::Peer { import, export, input } => {
                head.byte(PEER).bytes(import.as_bytes()).bytes(export.as_bytes());
                write_input(head, input)
            }
            Question::Wait { function, asked } => {
                head.byte(WAIT).bytes(function.as_bytes());
                asked
            }
            Question::Waited { answer } => {
                head.byte(WAITED);
                answer
            }
        }
    }

    pub(crate) fn read(head: &mut Reader<'_>, body: Bytes) -> Result<Self, Malformed> {
        let virtual_ns = if head.flag()? { Some(head.u64()?) } else { None };
        let host_bytes = head.u64()?;
        let question = match head.byte()? {
            PROVIDER => Question::Provider {
                interface: head.text()?,
                function: head.text()?,
                asked: body,
            },
            PEER => Question::Peer {
                import: head.text()?,
                export: head.text()?,
                input: read_input(head, body)?,
            },
            WAIT => Question::Wait {
                function: head.text()?,
                asked: body,
            },
            WAITED => Question::Waited { answer: body },
            _ => return Err(Malformed("a question is of no known kind")),
        };
        Ok(Self {
            virtual_ns,
            host_bytes,
            question,
        })
    }
}

impl ImportAnswer {
    pub(crate) fn write(self, head: &mut Writer) -> Bytes {
        head.u64(self.host_bytes);
        match self.told {
            Told::Bytes(bytes) => {
                head.byte(BYTES);
                bytes
            }
            Told::Answer(answer) => {
                head.byte(ANSWER);
                write_answer(head, answer)
            }
            Told::Go => {
                head.byte(GO);
                Bytes::new()
            }
            Told::Over => {
                head.byte(OVER);
                Bytes::new()
            }
        }
    }

    pub(crate) fn read(head: &mut Reader<'_>, body: Bytes) -> Result<Self, Malformed> {
        let host_bytes = head.u64()?;
        let told = match head.byte()? {
            BYTES => Told::Bytes(body),
            ANSWER => Told::Answer(read_answer(head, body)?),
            GO => Told::Go,
            OVER => Told::Over,
            _ => return Err(Malformed("an answer is of no known kind")),
        };
        Ok(Self { host_bytes, told })
    }
}

/// The arguments of a function; gives what goes beside the head.
pub(crate) fn write_input(head: &mut Writer, input: Input) -> Bytes {
    let mut members = |kind: u8, given: &Map<String, Value>| {
        head.byte(kind).members(given);
    };
    match input {
        Input::Json(given) => {
            members(0, &given);
            Bytes::new()
        }
        Input::Bytes { bytes, rest } => {
            members(1, &rest);
            bytes
        }
    }
}

pub(crate) fn read_input(head: &mut Reader<'_>, body: Bytes) -> Result<Input, Malformed> {
    let with_bytes = head.flag()?;
    let given = head.members()?;
    Ok(if with_bytes {
        Input::Bytes {
            bytes: body,
            rest: given,
        }
    } else {
        Input::Json(given)
    })
}

/// What a function answered; gives what goes beside the head.
pub(crate) fn write_answer(head: &mut Writer, answer: Answer) -> Bytes {
    let (json, raw, output) = match answer {
        Answer::Ok(output) => (OK_JSON, OK_BYTES, output),
        Answer::Err(output) => (ERR_JSON, ERR_BYTES, output),
    };
    match output {
        Output::Json(value) => {
            head.byte(json).value(&value);
            Bytes::new()
        }
        Output::Bytes(bytes) => {
            head.byte(raw);
            bytes.into()
        }
    }
}

pub(crate) fn read_answer(head: &mut Reader<'_>, body: Bytes) -> Result<Answer, Malformed> {
    Ok(match head.byte()? {
        OK_JSON => Answer::Ok(Output::Json(head.value()?)),
        OK_BYTES => Answer::Ok(Output::Bytes(body.into())),
        ERR_JSON => Answer::Err(Output::Json(head.value()?)),
        ERR_BYTES => Answer::Err(Output::Bytes(body.into())),
        _ => return Err(Malformed("an answer is of no known kind")),
    })
}
