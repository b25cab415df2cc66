//! Cuts a JSON document into its elements, across the chunks it comes in, without reading them.

use super::framer::{Item, Partial};

/// The elements of an array, or values one after another, numbered from 1. Only brackets and quotes are looked at: whether
/// an element is JSON is for its reader to say, and one that is not does not stop those behind it.
#[derive(Debug, Default)]
pub(super) struct Document {
    place: Place,
    in_array: bool,
    partial: Partial,
    ended: u64,
}

#[derive(Clone, Copy, Debug, Default)]
enum Place {
    /// Before an element.
    #[default]
    Between,
    /// In a word or a number.
    Word,
    /// In brackets, so many deep; zero in a text that is an element itself.
    Nested { depth: usize, text: Text },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Text {
    Outside,
    Inside,
    Escaped,
}

/// What a byte means for where an element ends.
enum Step {
    /// It belongs to no element.
    Skip,
    /// It belongs to the present one.
    Take,
    /// It is the last of the present one.
    Last,
    /// The present one ended before it.
    Ended,
}

impl Document {
    /// Goes on in an array whose opening bracket was read.
    pub(super) fn in_array() -> Self {
        Self {
            in_array: true,
            ..Self::default()
        }
    }

    /// The next element that is complete; takes its bytes off the front, or all of them when there is none.
    pub(super) fn next<'b>(&mut self, bytes: &mut &'b [u8]) -> Option<Item<'b>> {
        let all = *bytes;
        let mut first = 0;
        for (at, byte) in all.iter().enumerate() {
            let end = match self.step(*byte) {
                Step::Skip => {
                    first = at + 1;
                    continue;
                }
                Step::Take => continue,
                Step::Last => at + 1,
                Step::Ended => at,
            };
            *bytes = all.get(end..).unwrap_or_default();
            self.ended += 1;
            return Some(self.partial.end(all.get(first..end).unwrap_or_default(), self.ended));
        }
        *bytes = &[];
        self.partial.push(all.get(first..).unwrap_or_default());
        None
    }

    /// What is left when the document ends: an element that does not end, or an array that does not.
    pub(super) fn finish(&mut self) -> Option<Item<'static>> {
        let whole = match self.place {
            Place::Between if self.in_array => false,
            Place::Between => return None,
            Place::Word => !self.in_array,
            Place::Nested { .. } => false,
        };
        self.place = Place::Between;
        self.in_array = false;
        let item = self.partial.end(&[], self.ended + 1);
        Some(Item { whole, ..item })
    }

    fn step(&mut self, byte: u8) -> Step {
        match self.place {
            Place::Between => self.begin(byte),
            Place::Word => self.word(byte),
            Place::Nested { depth, text } => self.nested(byte, depth, text),
        }
    }

    fn begin(&mut self, byte: u8) -> Step {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => return Step::Skip,
            b',' if self.in_array => return Step::Skip,
            b']' | b'[' if self.in_array == (byte == b']') => {
                self.in_array = byte == b'[';
                return Step::Skip;
            }
            b'{' | b'[' => {
                self.place = Place::Nested {
                    depth: 1,
                    text: Text::Outside,
                };
            }
            b'"' => {
                self.place = Place::Nested {
                    depth: 0,
                    text: Text::Inside,
                };
            }
            _ => self.place = Place::Word,
        }
        Step::Take
    }

    fn word(&mut self, byte: u8) -> Step {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' | b',' | b'[' | b']' | b'{' | b'"' => {
                self.place = Place::Between;
                Step::Ended
            }
            _ => Step::Take,
        }
    }

    fn nested(&mut self, byte: u8, depth: usize, text: Text) -> Step {
        let (depth, text) = match (text, byte) {
            (Text::Escaped, _) | (Text::Outside, b'"') => (depth, Text::Inside),
            (Text::Inside, b'\\') => (depth, Text::Escaped),
            (Text::Inside, b'"') => (depth, Text::Outside),
            (Text::Outside, b'{' | b'[') => (depth + 1, text),
            (Text::Outside, b'}' | b']') => (depth.saturating_sub(1), text),
            _ => (depth, text),
        };
        if depth == 0 && text == Text::Outside {
            self.place = Place::Between;
            return Step::Last;
        }
        self.place = Place::Nested { depth, text };
        Step::Take
    }
}
