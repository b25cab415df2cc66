//! CSV as RFC 4180 has it: fields in quotes may hold delimiters, line ends and doubled quotes.

use std::borrow::Cow;

/// Delimiters that are tried, the likeliest first.
const DELIMITERS: [char; 4] = [',', ';', '\t', '|'];
/// Rows and bytes looked at to find the delimiter out.
const SAMPLE_ROWS: usize = 20;
const SAMPLE_BYTES: usize = 65_536;

/// One row.
pub(crate) struct Row<'t> {
    /// The line it begins on, from 1.
    pub(crate) line: u64,
    /// Its fields, but not more than were asked for.
    pub(crate) fields: Vec<Cow<'t, str>>,
    /// How many fields it has.
    pub(crate) width: usize,
    /// Whether every quote closes; else the row ends with its line.
    pub(crate) closed: bool,
}

/// Reads rows one after the other; empty lines are passed over.
pub(crate) struct Rows<'t> {
    text: &'t str,
    at: usize,
    line: u64,
    delimiter: u8,
    fields_max: usize,
    /// Set once a quote never closed: then later ones must close on their line, or each could cost a look at all the
    /// rest of the text.
    within_line: bool,
}

enum After {
    Field,
    Row,
}

impl<'t> Rows<'t> {
    /// `delimiter` is ASCII; of each row at most `fields_max` fields are kept.
    pub(crate) fn new(text: &'t str, delimiter: u8, fields_max: usize) -> Self {
        Self {
            text,
            at: 0,
            line: 1,
            delimiter,
            fields_max,
            within_line: false,
        }
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    fn slice(&self, from: usize, to: usize) -> &'t str {
        self.text.get(from..to).unwrap_or_default()
    }

    fn line_end(&self, from: usize) -> usize {
        let rest = self.text.as_bytes().get(from..).unwrap_or_default();
        rest.iter()
            .position(|byte| *byte == b'\n')
            .map_or(self.text.len(), |length| from + length)
    }

    /// The field that begins here; none when its quote never closes.
    fn field(&mut self) -> Option<(Cow<'t, str>, After)> {
        let mut field = Cow::Borrowed("");
        if self.byte(self.at) == Some(b'"') {
            field = self.quoted()?;
        }
        let from = self.at;
        let rest = self.text.as_bytes().get(from..).unwrap_or_default();
        let length = rest
            .iter()
            .position(|byte| *byte == self.delimiter || *byte == b'\n')
            .unwrap_or(rest.len());
        let end = from + length;
        let after = match self.byte(end) {
            Some(b'\n') | None => After::Row,
            Some(_) => After::Field,
        };
        let plain = self.slice(from, end);
        let plain = if matches!(after, After::Row) {
            plain.strip_suffix('\r').unwrap_or(plain)
        } else {
            plain
        };
        self.line += u64::from(self.byte(end) == Some(b'\n'));
        self.at = (end + 1).min(self.text.len());
        // What follows a closing quote is kept: better than losing it.
        Some((
            if field.is_empty() {
                Cow::Borrowed(plain)
            } else {
                field + plain
            },
            after,
        ))
    }

    /// What stands between the quotes.
    fn quoted(&mut self) -> Option<Cow<'t, str>> {
        let from = self.at + 1;
        let end = if self.within_line {
            self.line_end(from)
        } else {
            self.text.len()
        };
        let mut at = from;
        let mut doubled = false;
        let mut lines = 0;
        loop {
            match self.byte(at).filter(|_| at < end) {
                None => {
                    self.within_line = true;
                    return None;
                }
                Some(b'"') if self.byte(at + 1) == Some(b'"') => {
                    doubled = true;
                    at += 2;
                }
                Some(b'"') => break,
                Some(byte) => {
                    lines += u64::from(byte == b'\n');
                    at += 1;
                }
            }
        }
        self.line += lines;
        self.at = at + 1;
        let text = self.slice(from, at);
        Some(if doubled {
            text.replace("\"\"", "\"").into()
        } else {
            text.into()
        })
    }
}

impl<'t> Iterator for Rows<'t> {
    type Item = Row<'t>;

    fn next(&mut self) -> Option<Row<'t>> {
        loop {
            match (self.byte(self.at)?, self.byte(self.at + 1)) {
                (b'\n', _) => self.at += 1,
                (b'\r', Some(b'\n')) => self.at += 2,
                _ => break,
            }
            self.line += 1;
        }
        let mut row = Row {
            line: self.line,
            fields: Vec::new(),
            width: 0,
            closed: true,
        };
        loop {
            let Some((field, after)) = self.field() else {
                row.closed = false;
                self.at = (self.line_end(self.at) + 1).min(self.text.len());
                self.line += 1;
                return Some(row);
            };
            row.width += 1;
            if row.fields.len() < self.fields_max {
                row.fields.push(field);
            }
            if matches!(after, After::Row) {
                return Some(row);
            }
        }
    }
}

/// The delimiter that parts the first rows most evenly, of these the one that makes the most columns.
pub(crate) fn delimiter_of(text: &str) -> char {
    let sample = text.get(..text.floor_char_boundary(SAMPLE_BYTES)).unwrap_or(text);
    let score = |delimiter: char| {
        let rows = Rows::new(sample, u8::try_from(delimiter).unwrap_or(b','), 0);
        let widths: Vec<_> = rows
            .take(SAMPLE_ROWS)
            .filter(|row| row.closed)
            .map(|row| row.width)
            .collect();
        let first = widths.first().copied().unwrap_or_default();
        let even = widths.iter().filter(|width| **width == first).count();
        if first < 2 {
            (0, 0)
        } else {
            (even * 1_000 / widths.len().max(1), first)
        }
    };
    // The last of equals wins.
    DELIMITERS
        .into_iter()
        .rev()
        .max_by_key(|delimiter| score(*delimiter))
        .unwrap_or(',')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows(text: &str) -> Vec<Vec<String>> {
        let rows = Rows::new(text, b',', 100).filter(|row| row.closed);
        rows.map(|row| row.fields.into_iter().map(Cow::into_owned).collect())
            .collect()
    }

    #[test]
    fn quotes_hold_delimiters_line_ends_and_quotes() {
        assert_eq!(
            rows("a,\"b,\n\"\"c\"\"\",d\r\ne,,\r\n"),
            [vec!["a", "b,\n\"c\"", "d"], vec!["e", "", ""]]
        );
        assert_eq!(rows("\"\",\"a\" b,c\"d\"\r"), [["", "a b", "c\"d\""]]);
    }

    #[test]
    fn lines_are_counted_also_inside_quotes_and_between_rows() {
        let lines: Vec<_> = Rows::new("a\n\"b\nb\"\n\r\n\nc", b',', 9).map(|row| row.line).collect();
        assert_eq!(lines, [1, 2, 6]);
    }

    #[test]
    fn a_quote_that_never_closes_spoils_only_its_line() {
        let all: Vec<_> = Rows::new("a,b\nc,\"d\ne,f\n\"g,h\ni,\"j\"\n", b',', 9)
            .map(|row| (row.line, row.closed))
            .collect();
        assert_eq!(all, [(1, true), (2, true), (5, true)], "the quotes pair up");
        let all: Vec<_> = Rows::new("a,b\nc,\"d\ne,f\ni,j\n", b',', 9)
            .map(|row| (row.line, row.closed))
            .collect();
        assert_eq!(all, [(1, true), (2, false), (3, true), (4, true)]);
    }

    #[test]
    fn a_row_is_counted_further_than_it_is_kept() {
        let text = ",".repeat(10_000);
        let row = Rows::new(&text, b',', 3).next().unwrap();
        assert_eq!((row.width, row.fields.len()), (10_001, 3));
    }

    #[test]
    fn the_delimiter_is_found_out() {
        assert_eq!(delimiter_of("a;b;c\n1,5;2;3\n"), ';');
        assert_eq!(delimiter_of("a\tb\n1\t2\n"), '\t');
        assert_eq!(delimiter_of("a|b\n\"x,y,z\"|2\n"), '|');
        assert_eq!(delimiter_of("only\none\n"), ',');
        assert_eq!(delimiter_of(&"ü".repeat(SAMPLE_BYTES)), ',');
    }

    #[test]
    fn hostile_quotes_take_linear_time() {
        for piece in ["\"", "\"\n", "\"\"\n", "\"a\"\"\n", "\",\n", "a,\"\"\"\n", "\r"] {
            let started = std::time::Instant::now();
            let text = piece.repeat((4 << 20) / piece.len());
            Rows::new(&text, b',', 500).for_each(drop);
            assert!(started.elapsed().as_secs() < 120, "{piece:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_quoted_is_read_back(
            rows in proptest::collection::vec(proptest::collection::vec("[a-zü,\"\r\n ]{0,8}", 3), 1..10),
        ) {
            let quoted = |field: &String| format!("\"{}\"", field.replace('"', "\"\""));
            let lines: Vec<_> = rows.iter().map(|row| row.iter().map(quoted).collect::<Vec<_>>().join(",")).collect();
            let text = lines.join("\r\n");
            let read: Vec<_> = Rows::new(&text, b',', 9).map(|row| row.fields).collect();
            prop_assert_eq!(read, rows);
        }

        #[test]
        fn lines_only_go_up_and_stay_inside_the_text(text in "[a,\"\r\n]{0,60}") {
            let lines: Vec<_> = Rows::new(&text, b',', 9).map(|row| row.line).collect();
            prop_assert!(lines.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", lines);
            prop_assert!(lines.last().is_none_or(|last| *last <= text.split('\n').count() as u64));
        }
    }
}
