//! Writing to the user: a reader that went away is no error, and nothing a guest says can drive a terminal.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};

/// Prints a line on standard output; a reader that has gone away (`kinetic list | head -1`) is no error.
pub fn say(text: &str) {
    // Nobody is left to be told.
    let _ = say_on(text);
}

/// As [`say`], for those who would go on for ever: whether the reader is still there.
pub fn say_on(text: &str) -> bool {
    let mut out = std::io::stdout().lock();
    let text = if out.is_terminal() { tame(text) } else { text.into() };
    writeln!(out, "{text}").and_then(|()| out.flush()).is_ok()
}

/// Prints a line on standard error.
pub fn note(text: &str) {
    let mut out = std::io::stderr().lock();
    let text = if out.is_terminal() { tame(text) } else { text.into() };
    let _ = writeln!(out, "{text}");
}

/// Writes bytes to standard output as they are; to a terminal as text that cannot drive it.
///
/// # Errors
/// When standard output cannot be written, except that a reader that went away is no error.
pub fn raw(bytes: &[u8]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let written = if out.is_terminal() {
        out.write_all(tame(&String::from_utf8_lossy(bytes)).as_bytes())
    } else {
        out.write_all(bytes)
    };
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Text in which nothing moves a cursor, changes a colour or turns the reading direction: such characters are shown
/// as `\u{1b}`.
fn tame(text: &str) -> Cow<'_, str> {
    let drives = |c: char| {
        (c.is_control() && !matches!(c, '\n' | '\t'))
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
    };
    if !text.contains(drives) {
        return text.into();
    }
    let mut tamed = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if drives(c) {
            // Writing to a String cannot fail.
            let _ = write!(tamed, "{}", c.escape_unicode());
        } else {
            tamed.push(c);
        }
    }
    tamed.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_drive_a_terminal_is_shown_instead() {
        assert_eq!(
            tame("a\x1b[2J\r\u{9b}b\u{202e}c\n\td"),
            "a\\u{1b}[2J\\u{d}\\u{9b}b\\u{202e}c\n\td"
        );
        assert!(matches!(tame("plain ünïcode\n"), Cow::Borrowed(_)));
    }
}
