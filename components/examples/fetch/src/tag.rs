//! HTML's markup piece by piece: tags, comments, what stands between. Linear in the length of the page, whatever is in it.

use std::borrow::Cow;

use crate::entity::decoded;

/// Elements whose content is no markup: it runs to their closing tag, or to the end (HTML, 13.2.5).
const RAW: [&str; 5] = ["script", "style", "textarea", "title", "iframe"];

/// One piece of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'h> {
    /// Text, its references not yet decoded.
    Text(&'h str),
    /// `<name attributes>`; of elements that hold no markup, also what they hold.
    Open(Tag<'h>, Option<&'h str>),
    /// `</name>`.
    Close(Tag<'h>),
}

/// A tag: its name in lower case, and the text of its attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tag<'h> {
    pub(crate) name: Cow<'h, str>,
    attributes: &'h str,
}

/// Takes a page apart.
#[derive(Clone, Debug)]
pub(crate) struct Pieces<'h> {
    rest: &'h str,
    /// How many bytes of `rest` lie behind the last `>`: no tag ends there.
    tail: usize,
    /// Set once a quote never closed: then quotes in tags no longer count, or each could cost a look at all the rest.
    quotes_broken: bool,
    /// Elements to skip that no longer close: likewise.
    unclosed: Vec<String>,
}

impl<'h> Pieces<'h> {
    pub(crate) fn new(html: &'h str) -> Self {
        let tail = html.len() - html.rfind('>').map_or(0, |at| at + 1);
        Self {
            rest: html,
            tail,
            quotes_broken: false,
            unclosed: Vec::new(),
        }
    }

    /// Takes so many bytes off the rest.
    fn take(&mut self, length: usize) -> &'h str {
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    /// Passes over a comment or the like, which ends with `mark`, or with the page.
    fn pass(&mut self, mark: &str) {
        let length = self.rest.find(mark).map_or(self.rest.len(), |at| at + mark.len());
        self.take(length);
    }

    /// Goes on behind the next closing tag of an element; where there is none, the element hides nothing.
    pub(crate) fn skip_element(&mut self, tag: &Tag<'_>) {
        if tag.attributes.ends_with('/') || self.unclosed.iter().any(|name| *name == tag.name) {
            return;
        }
        let length = closing_tag(self.rest, &tag.name);
        if length == self.rest.len() {
            self.unclosed.push(tag.name.to_string());
        } else {
            self.take(length);
        }
    }

    /// The tag at the front of the rest; none when its `<` is only a character.
    fn tag(&mut self) -> Option<Piece<'h>> {
        let closing = self.rest.as_bytes().get(1) == Some(&b'/');
        let inside = self.rest.get(1 + usize::from(closing)..)?;
        if self.rest.len() <= self.tail || !inside.as_bytes().first()?.is_ascii_alphabetic() {
            return None;
        }
        let end = self.end_of_tag(inside)?;
        let inside = inside.get(..end)?;
        self.take(1 + usize::from(closing) + end + 1);
        let name_end = inside
            .find(|char: char| char.is_ascii_whitespace() || char == '/')
            .unwrap_or(end);
        let (name, attributes) = inside.split_at_checked(name_end)?;
        let name = if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            name.to_ascii_lowercase().into()
        } else {
            name.into()
        };
        let tag = Tag { name, attributes };
        if closing {
            return Some(Piece::Close(tag));
        }
        let raw = RAW
            .contains(&&*tag.name)
            .then(|| self.take(closing_tag(self.rest, &tag.name)));
        Some(Piece::Open(tag, raw))
    }

    /// Where the tag's `>` is; one in quotes does not count.
    fn end_of_tag(&mut self, inside: &str) -> Option<usize> {
        let mut quote = None;
        if !self.quotes_broken {
            for (at, byte) in inside.bytes().enumerate() {
                match (quote, byte) {
                    (None, b'>') => return Some(at),
                    (None, b'"' | b'\'') => quote = Some(byte),
                    (Some(open), byte) if byte == open => quote = None,
                    _ => {}
                }
            }
            self.quotes_broken = true;
        }
        inside.find('>')
    }
}

impl<'h> Iterator for Pieces<'h> {
    type Item = Piece<'h>;

    fn next(&mut self) -> Option<Piece<'h>> {
        loop {
            let text = self.rest.find('<').unwrap_or(self.rest.len());
            if text > 0 {
                return Some(Piece::Text(self.take(text)));
            }
            if self.rest.is_empty() {
                return None;
            }
            if self.rest.starts_with("<!--") {
                self.pass("-->");
            } else if self.rest.starts_with("<!") || self.rest.starts_with("<?") {
                self.pass(">");
            } else {
                return Some(self.tag().unwrap_or_else(|| Piece::Text(self.take(1))));
            }
        }
    }
}

/// Where `</name` stands, or the end.
fn closing_tag(text: &str, name: &str) -> usize {
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| rest.find("</")) {
        let after = text.get(from + at + 2..).unwrap_or_default();
        let (found, next) = after
            .as_bytes()
            .split_at_checked(name.len())
            .unwrap_or((after.as_bytes(), b""));
        if found.eq_ignore_ascii_case(name.as_bytes()) && !next.first().is_some_and(u8::is_ascii_alphanumeric) {
            return from + at;
        }
        from += at + 2;
    }
    text.len()
}

impl Tag<'_> {
    /// The value of an attribute, its references decoded.
    pub(crate) fn attribute(&self, wanted: &str) -> Option<Cow<'_, str>> {
        let mut rest = self.attributes;
        loop {
            rest = rest.trim_start_matches(|char: char| char.is_ascii_whitespace() || char == '/');
            if rest.is_empty() {
                return None;
            }
            // A name may begin with `=`, strange as it is; so each round takes something.
            let is_end = |(at, char): &(usize, char)| char.is_ascii_whitespace() || (*at > 0 && "=/".contains(*char));
            let name_end = rest.char_indices().find(is_end).map_or(rest.len(), |(at, _)| at);
            let (name, tail) = rest.split_at_checked(name_end)?;
            let tail = tail.trim_ascii_start();
            let (value, next) = tail
                .strip_prefix('=')
                .map_or(("", tail), |tail| value(tail.trim_ascii_start()));
            if name.eq_ignore_ascii_case(wanted) {
                return Some(decoded(value));
            }
            rest = next;
        }
    }
}

/// The value at the front, and what comes after it.
fn value(text: &str) -> (&str, &str) {
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote) {
            return inner.split_once(quote).unwrap_or((inner, ""));
        }
    }
    text.split_at_checked(text.find(|char: char| char.is_ascii_whitespace()).unwrap_or(text.len()))
        .unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(html: &str) -> Vec<String> {
        let show = |piece| match piece {
            Piece::Text(text) => format!("{text:?}"),
            Piece::Open(tag, None) => format!("<{}{}>", tag.name, tag.attributes),
            Piece::Open(tag, Some(raw)) => format!("<{}{}>{raw:?}", tag.name, tag.attributes),
            Piece::Close(tag) => format!("</{}>", tag.name),
        };
        Pieces::new(html).map(show).collect()
    }

    #[test]
    fn a_page_comes_apart_into_tags_and_text() {
        assert_eq!(
            shown("<!DOCTYPE html><P a='>'>x</P ><?php ?><br/><!-- <b> -->y"),
            ["<p a='>'>", "\"x\"", "</p>", "<br/>", "\"y\""]
        );
    }

    #[test]
    fn what_holds_no_markup_comes_as_it_is() {
        assert_eq!(
            shown("<script>if (a<b) '</scripts>'</SCRIPT >z"),
            ["<script>\"if (a<b) '</scripts>'\"", "</script>", "\"z\""]
        );
        assert_eq!(shown("<style>p{} <p>"), ["<style>\"p{} <p>\""]);
    }

    #[test]
    fn a_lone_bracket_is_text() {
        assert_eq!(
            shown("a < b <3 </ >"),
            ["\"a \"", "\"<\"", "\" b \"", "\"<\"", "\"3 \"", "\"<\"", "\"/ >\""]
        );
        assert_eq!(shown("x<b"), ["\"x\"", "\"<\"", "\"b\""]);
    }

    #[test]
    fn a_quote_that_never_closes_ends_with_its_tag() {
        assert_eq!(shown("<a href=\"x>y</a>"), ["<a href=\"x>", "\"y\"", "</a>"]);
    }

    #[test]
    fn attributes_are_found_however_they_are_written() {
        let Some(Piece::Open(tag, None)) = Pieces::new("<a =x b C='1 2' d = \"&amp;\" e=f/g h/i>").next() else {
            panic!()
        };
        let values = ["b", "c", "d", "e", "h", "i", "z"].map(|name| tag.attribute(name));
        assert_eq!(
            values.each_ref().map(Option::as_deref),
            [Some(""), Some("1 2"), Some("&"), Some("f/g"), Some(""), Some(""), None]
        );
    }

    proptest! {
        #[test]
        fn pieces_never_hold_more_than_the_page(html in "(</?[a-zA-Z!?-]{0,7}[ =\"'a-z]{0,8}>?|[a-z &;#\n<>\"']{0,8}|\\PC){0,40}") {
            let held = Pieces::new(&html).map(|piece| match piece {
                Piece::Text(text) => text.len(),
                Piece::Open(tag, raw) => tag.name.len() + tag.attributes.len() + raw.map_or(0, str::len),
                Piece::Close(tag) => tag.name.len() + tag.attributes.len(),
            });
            prop_assert!(held.sum::<usize>() <= html.len());
        }

        #[test]
        fn any_attributes_are_searched(attributes in "[ =\"'a-c/&;ü]{0,30}") {
            let tag = Tag { name: "a".into(), attributes: &attributes };
            let _ = (tag.attribute("a"), tag.attribute("zzz"));
        }
    }
}
