//! CSV as RFC 4180 has it: fields in quotes may hold delimiters, line ends and doubled quotes.

/// Delimiters that are tried.
const DELIMITERS: [char; 4] = [',', ';', '\t', '|'];
/// Lines looked at to find the delimiter out.
const SAMPLE_LINES: usize = 20;

/// One row: the line it begins on, from 1, and its fields; none when a quoted field never ends.
pub(crate) struct Row {
    pub(crate) line: u64,
    pub(crate) fields: Option<Vec<String>>,
}

/// Reads rows one after the other; blank lines are skipped.
pub(crate) struct Rows<'t> {
    rest: std::iter::Peekable<std::str::Chars<'t>>,
    delimiter: char,
    line: u64,
}

impl<'t> Rows<'t> {
    pub(crate) fn new(text: &'t str, delimiter: char) -> Self {
        Self { rest: text.chars().peekable(), delimiter, line: 1 }
    }

    /// The field that begins here, and whether the row goes on after it; none when its quote never closes.
    fn field(&mut self) -> Option<(String, bool)> {
        let mut field = String::new();
        let quoted = self.rest.next_if_eq(&'"').is_some();
        if quoted {
            loop {
                match self.rest.next()? {
                    '"' if self.rest.next_if_eq(&'"').is_some() => field.push('"'),
                    '"' => break,
                    char => {
                        self.line += u64::from(char == '\n');
                        field.push(char);
                    }
                }
            }
        }
        loop {
            match self.rest.next() {
                Some(char) if char == self.delimiter => return Some((field, true)),
                Some('\r') if self.rest.peek() == Some(&'\n') => {}
                Some('\n') => {
                    self.line += 1;
                    return Some((field, false));
                }
                None => return Some((field, false)),
                // What follows a closing quote is kept: better than losing it.
                Some(char) => field.push(char),
            }
        }
    }
}

impl Iterator for Rows<'_> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        while matches!(self.rest.peek(), Some('\n' | '\r')) {
            self.line += u64::from(self.rest.next() == Some('\n'));
        }
        self.rest.peek()?;
        let line = self.line;
        let mut fields = Vec::new();
        loop {
            match self.field() {
                None => return Some(Row { line, fields: None }),
                Some((field, more)) => {
                    fields.push(field);
                    if !more {
                        return Some(Row { line, fields: Some(fields) });
                    }
                }
            }
        }
    }
}

/// The delimiter that parts the first rows into the most columns of equal number.
pub(crate) fn delimiter_of(text: &str) -> char {
    let sample = text.char_indices().filter(|(_, char)| *char == '\n').nth(SAMPLE_LINES);
    let sample = sample.and_then(|(at, _)| text.get(..at)).unwrap_or(text);
    let columns = |delimiter: char| {
        let widths: Vec<_> = Rows::new(sample, delimiter).map(|row| row.fields.map_or(0, |fields| fields.len())).collect();
        let first = widths.first().copied().unwrap_or_default();
        let even = widths.iter().filter(|width| **width == first).count();
        if first < 2 { 0 } else { even * 1_000 / widths.len().max(1) * 1_000 + first.min(999) }
    };
    DELIMITERS.into_iter().rev().max_by_key(|delimiter| columns(*delimiter)).unwrap_or(',')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<Vec<String>> {
        Rows::new(text, ',').filter_map(|row| row.fields).collect()
    }

    #[test]
    fn quotes_hold_delimiters_line_ends_and_quotes() {
        assert_eq!(rows("a,\"b,\n\"\"c\"\"\",d\r\ne,,\n"), [vec!["a", "b,\n\"c\"", "d"], vec!["e", "", ""]]);
    }

    #[test]
    fn lines_are_counted_also_inside_quotes() {
        let lines: Vec<_> = Rows::new("a\n\"b\nb\"\n\nc", ',').map(|row| row.line).collect();
        assert_eq!(lines, [1, 2, 5]);
    }

    #[test]
    fn a_quote_that_never_closes_is_one_malformed_row() {
        let all: Vec<_> = Rows::new("a,b\nc,\"d\ne,f\n", ',').map(|row| row.fields.is_some()).collect();
        assert_eq!(all, [true, false]);
    }

    #[test]
    fn the_delimiter_is_found_out() {
        assert_eq!(delimiter_of("a;b;c\n1,5;2;3\n"), ';');
        assert_eq!(delimiter_of("a\tb\n1\t2\n"), '\t');
        assert_eq!(delimiter_of("only\none\n"), ',');
    }
}
