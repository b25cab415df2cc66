//! Finds where one event ends and the next begins.

use std::borrow::Cow;

use super::EVENT_BYTES_MAX;
use super::document::Document;
use super::lines::Lines;

/// How events stand in a stream of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// One event a line (NDJSON), without end; SSE's `data:` before it is left out, other fields of SSE are no events and
    /// rejected. A stream that begins with an array of objects is recognised and read as a `Document`.
    Lines,
    /// A JSON document: one object over any number of lines, an array of objects, or several of either.
    Document,
}

/// One event as it came, without what stood around it.
#[derive(Debug, PartialEq)]
pub(super) struct Item<'b> {
    /// Its line or its place, from 1.
    pub(super) number: u64,
    /// What arrived; its beginning when `bytes` is more than [`EVENT_BYTES_MAX`].
    pub(super) text: Cow<'b, [u8]>,
    /// How much arrived.
    pub(super) bytes: u64,
    /// Whether its end arrived.
    pub(super) whole: bool,
}

impl Item<'_> {
    pub(super) fn is_blank(&self) -> bool {
        self.bytes <= EVENT_BYTES_MAX as u64 && self.text.trim_ascii().is_empty()
    }
}

/// The beginning of an event whose end has not arrived; of one that is too long no more than that beginning is kept.
#[derive(Debug, Default)]
pub(super) struct Partial {
    kept: Vec<u8>,
    bytes: u64,
}

impl Partial {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let room = EVENT_BYTES_MAX.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        self.bytes += bytes.len() as u64;
    }

    /// Ends the event with these bytes.
    pub(super) fn end<'b>(&mut self, last: &'b [u8], number: u64) -> Item<'b> {
        let text = if self.bytes == 0 {
            self.bytes = last.len() as u64;
            Cow::Borrowed(last)
        } else {
            self.push(last);
            Cow::Owned(std::mem::take(&mut self.kept))
        };
        Item {
            number,
            text,
            bytes: std::mem::take(&mut self.bytes),
            whole: true,
        }
    }
}

/// Cuts a stream into events.
#[derive(Debug)]
pub(super) enum Framer {
    /// Nothing but white space came, or an opening bracket after it.
    Undecided {
        lines: u64,
        begun: Partial,
    },
    Lines(Lines),
    Document(Document),
}

impl Framer {
    pub(super) fn new(framing: Framing) -> Self {
        match framing {
            Framing::Lines => Self::Undecided {
                lines: 0,
                begun: Partial::default(),
            },
            Framing::Document => Self::Document(Document::default()),
        }
    }

    /// The next event that is complete; takes its bytes off the front, or all of them when there is none.
    pub(super) fn next<'b>(&mut self, bytes: &mut &'b [u8]) -> Option<Item<'b>> {
        if let Self::Undecided { lines, begun } = self {
            *self = decide(lines, begun, bytes)?;
        }
        match self {
            Self::Undecided { .. } => None,
            Self::Lines(lines) => lines.next(bytes),
            Self::Document(document) => document.next(bytes),
        }
    }

    /// What is left when the stream ends.
    pub(super) fn finish(&mut self) -> Option<Item<'static>> {
        match self {
            Self::Undecided { lines, begun } => Lines::resume(*lines, std::mem::take(begun)).finish(),
            Self::Lines(lines) => lines.finish(),
            Self::Document(document) => document.finish(),
        }
    }
}

/// Tells an array of objects, which may be a single line of any length, from lines that begin with a bracket, as `[DONE]`
/// does. None while that cannot be said.
fn decide(lines: &mut u64, begun: &mut Partial, bytes: &mut &[u8]) -> Option<Framer> {
    while let Some((byte, rest)) = bytes.split_first() {
        match (byte, begun.bytes) {
            (b'\n', 0) => *lines += 1,
            (b' ' | b'\t' | b'\r', 0) => {}
            (b'[', 0) | (b' ' | b'\t' | b'\r', _) => begun.push(&[*byte]),
            (b'{' | b']' | b'\n', 1..) => return Some(Framer::Document(Document::in_array())),
            _ => return Some(Framer::Lines(Lines::resume(*lines, std::mem::take(begun)))),
        }
        *bytes = rest;
    }
    None
}
