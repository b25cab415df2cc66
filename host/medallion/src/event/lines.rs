//! Cuts a stream of bytes into lines, across the chunks it comes in.

use std::io::BufRead as _;

use super::framer::{Item, Partial};

/// Lines, numbered from 1; blank ones are counted and left out.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Partial,
    ended: u64,
}

impl Lines {
    /// Goes on after so many line ends, with what the present line begins with.
    pub(super) fn resume(ended: u64, begun: Partial) -> Self {
        Self { partial: begun, ended }
    }

    /// The next line that is complete; takes its bytes off the front, or all of them when there is none.
    pub(super) fn next<'b>(&mut self, bytes: &mut &'b [u8]) -> Option<Item<'b>> {
        while !bytes.is_empty() {
            let all = *bytes;
            // The standard library's way to search a slice as fast as the machine can.
            let taken = bytes.skip_until(b'\n').unwrap_or(all.len());
            let Some(line) = all.get(..taken).unwrap_or(all).strip_suffix(b"\n") else {
                self.partial.push(all);
                return None;
            };
            self.ended += 1;
            let item = self.partial.end(line, self.ended);
            if !item.is_blank() {
                return Some(item);
            }
        }
        None
    }

    /// The last line, when the stream ends without a line end.
    pub(super) fn finish(&mut self) -> Option<Item<'static>> {
        let item = self.partial.end(&[], self.ended + 1);
        (!item.is_blank()).then_some(item)
    }
}
