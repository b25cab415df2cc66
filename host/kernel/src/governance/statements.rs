//! Cuts a text of policies into its statements, so that each fault is told with its line.

/// One policy's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Statement<'a> {
    /// The line it begins in, counted from 1.
    pub(super) line: usize,
    pub(super) text: &'a str,
}

/// Where a character stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum In {
    Code,
    Comment,
    Text,
    /// Behind a backslash in a text.
    Escape,
}

/// Every statement up to its semicolon; what is left behind the last one counts as a statement too.
pub(super) fn statements(text: &str) -> Vec<Statement<'_>> {
    let mut found = Vec::new();
    let (mut line, mut place) = (1, In::Code);
    let mut begun: Option<(usize, usize)> = None;
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let is_comment = character == '/' && characters.peek().is_some_and(|(_, next)| *next == '/');
        place = match (place, character) {
            (In::Code, '/') if is_comment => In::Comment,
            (In::Code, '"') | (In::Escape, _) => In::Text,
            (In::Text, '"') | (In::Comment, '\n') => In::Code,
            (In::Text, '\\') => In::Escape,
            (place, _) => place,
        };
        if begun.is_none() && matches!(place, In::Code | In::Text) && !character.is_whitespace() {
            begun = Some((at, line));
        }
        if let (In::Code, ';', Some((start, from_line))) = (place, character, begun) {
            found.extend(text.get(start..=at).map(|text| Statement { line: from_line, text }));
            begun = None;
        }
        line += usize::from(character == '\n');
    }
    if let Some((start, from_line)) = begun {
        found.extend(text.get(start..).map(|text| Statement { line: from_line, text }));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<(usize, &str)> {
        statements(text).into_iter().map(|one| (one.line, one.text)).collect()
    }

    #[test]
    fn each_statement_has_the_line_it_begins_in() {
        assert_eq!(cut("a;\n\n  b\n  c;d;"), [(1, "a;"), (3, "b\n  c;"), (4, "d;")]);
        assert_eq!(cut(" \n\n"), []);
    }

    #[test]
    fn a_semicolon_in_a_text_or_a_comment_ends_nothing() {
        assert_eq!(cut(r#"@id("a;\";b") x; y;"#), [(1, r#"@id("a;\";b") x;"#), (1, "y;")]);
        assert_eq!(cut("// one; two \"\n// three\nx // four;\n;"), [(3, "x // four;\n;")]);
        assert_eq!(cut("\"// no comment\";"), [(1, "\"// no comment\";")]);
    }

    #[test]
    fn what_lacks_its_semicolon_is_a_statement_and_a_last_comment_is_none() {
        assert_eq!(cut("a;\nb"), [(1, "a;"), (2, "b")]);
        assert_eq!(cut("a;\n// the end"), [(1, "a;")]);
    }
}
