//! Readable text of HTML: one pass, no tree, so that broken or hostile markup costs no more than its length.

use crate::entity::decoded;

/// The readable part of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readable {
    /// What stands in `<title>`.
    pub title: Option<String>,
    /// The text, with Markdown's marks for headings, lists, links and code blocks.
    pub text: String,
}

/// Elements whose content is not for reading.
const SKIPPED: [&str; 9] = ["script", "style", "noscript", "template", "svg", "iframe", "object", "head", "nav"];
/// Elements that stand on lines of their own.
const BLOCKS: [&str; 30] = [
    "p", "div", "section", "article", "main", "header", "footer", "aside", "ul", "ol", "dl", "dt", "dd", "table", "tr",
    "blockquote", "pre", "figure", "figcaption", "form", "fieldset", "address", "h1", "h2", "h3", "h4", "h5", "h6", "hr",
    "details",
];
/// The longest tag read, in bytes (images may stand in one as data); a longer one is text.
const TAG_BYTES_MAX: usize = 1 << 20;
/// When so many bytes were looked at for ends of tags that never came, tags may only be short: else a page of nothing
/// but `<` would take the square of its length.
const VAIN_BYTES_MAX: usize = 16 << 20;
const TAG_BYTES_MAX_THEN: usize = 256;

struct Tag<'h> {
    name: String,
    closing: bool,
    attributes: &'h str,
}

/// What is written so far.
#[derive(Default)]
struct Page {
    text: String,
    title: Option<String>,
    /// Line ends that are owed before the next word.
    breaks: usize,
    blank: bool,
    preformatted: bool,
    link: Option<(String, usize)>,
    /// Bytes looked at in vain.
    vain: usize,
    /// A head was opened that never closes.
    open_head: bool,
}

/// Makes readable text of HTML.
pub fn readable(html: &str) -> Readable {
    let mut page = Page::default();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        let (words, from) = rest.split_at(at);
        page.words(words);
        rest = match from {
            _ if from.starts_with("<!--") => after(from, "-->"),
            _ if from.starts_with("<!") || from.starts_with("<?") => after(from, ">"),
            _ => match tag(from, if page.vain > VAIN_BYTES_MAX { TAG_BYTES_MAX_THEN } else { TAG_BYTES_MAX }) {
                Some((tag, length)) => {
                    let next = from.get(length..).unwrap_or_default();
                    page.tag(&tag, next)
                }
                None => {
                    page.vain += from.len().min(TAG_BYTES_MAX);
                    page.words("<");
                    from.get(1..).unwrap_or_default()
                }
            },
        };
    }
    page.words(rest);
    page.close_link();
    Readable { title: page.title, text: page.text.trim().to_string() }
}

/// What comes after `mark`; nothing when it never comes.
fn after<'h>(text: &'h str, mark: &str) -> &'h str {
    text.find(mark).and_then(|at| text.get(at + mark.len()..)).unwrap_or_default()
}

/// The tag that begins here and its length; none when it is a lone `<`.
fn tag(text: &str, bytes_max: usize) -> Option<(Tag<'_>, usize)> {
    let inside = text.get(1..)?;
    let closing = inside.starts_with('/');
    let name_at = 1 + usize::from(closing);
    let name_text = text.get(name_at..)?;
    let name_length = name_text.bytes().take(32).take_while(u8::is_ascii_alphanumeric).count();
    if name_length == 0 || !name_text.as_bytes().first()?.is_ascii_alphabetic() {
        return None;
    }
    let mut quote = None;
    let mut end = None;
    for (at, byte) in text.bytes().enumerate().take(bytes_max).skip(name_at + name_length) {
        match (quote, byte) {
            (None, b'>') => {
                end = Some(at);
                break;
            }
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), byte) if byte == open => quote = None,
            _ => {}
        }
    }
    // A quote that never closes ends with the tag's first `>`.
    let end = end.or_else(|| text.bytes().take(bytes_max).position(|byte| byte == b'>'))?;
    let name = name_text.get(..name_length)?.to_ascii_lowercase();
    let attributes = text.get(name_at + name_length..end).unwrap_or_default();
    Some((Tag { name, closing, attributes }, end + 1))
}

/// The value of an attribute, its references decoded.
fn attribute(attributes: &str, wanted: &str) -> Option<String> {
    let mut rest = attributes;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '/');
        let name_end = rest.find(|c: char| c.is_whitespace() || c == '=' || c == '/').unwrap_or(rest.len());
        let (name, tail) = rest.split_at(name_end);
        if name.is_empty() && tail.is_empty() {
            return None;
        }
        let tail = tail.trim_start();
        let Some(value) = tail.strip_prefix('=') else {
            rest = tail;
            continue;
        };
        let value = value.trim_start();
        let (value, next) = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let inner = value.get(1..).unwrap_or_default();
                let end = inner.find(quote).unwrap_or(inner.len());
                (inner.get(..end).unwrap_or_default(), inner.get(end + 1..).unwrap_or_default())
            }
            _ => value.split_at(value.find(char::is_whitespace).unwrap_or(value.len())),
        };
        if name.eq_ignore_ascii_case(wanted) {
            return Some(decoded(value));
        }
        rest = next;
    }
}

impl Page {
    /// Takes a tag in; answers where reading goes on.
    fn tag<'h>(&mut self, tag: &Tag<'_>, next: &'h str) -> &'h str {
        let name = tag.name.as_str();
        if !tag.closing && SKIPPED.contains(&name) {
            return self.skip(name, next);
        }
        match name {
            "title" if !tag.closing => return self.take_title(next),
            "br" => self.owe(1),
            "li" if !tag.closing => self.start("- ", 1),
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" if !tag.closing => {
                let level = name.as_bytes().get(1).map_or(1, |digit| usize::from(digit - b'0'));
                self.start(&format!("{} ", "#".repeat(level)), 2);
            }
            "pre" => {
                self.start("```", if tag.closing { 1 } else { 2 });
                self.owe(if tag.closing { 2 } else { 1 });
                self.preformatted = !tag.closing;
            }
            "td" | "th" if !tag.closing => self.separate(" | "),
            "a" if tag.closing => self.close_link(),
            "a" => {
                self.close_link();
                let href = attribute(tag.attributes, "href");
                if let Some(href) = href.filter(|href| href.starts_with("http://") || href.starts_with("https://")) {
                    self.flush();
                    self.link = Some((href, self.text.len()));
                }
            }
            "img" => {
                let alt = attribute(tag.attributes, "alt").filter(|alt| !alt.trim().is_empty());
                if let Some(alt) = alt {
                    self.words(&format!("[{}]", alt.trim()));
                }
            }
            _ if BLOCKS.contains(&name) => self.owe(2),
            _ => {}
        }
        next
    }

    /// Goes past an element that is not for reading; of `<head>` the title is kept.
    fn skip<'h>(&mut self, name: &str, next: &'h str) -> &'h str {
        if name == "head" && self.open_head {
            return next;
        }
        let end = find_closing(next, name);
        let inside = next.get(..end).unwrap_or_default();
        if name == "head"
            && self.title.is_none()
            && let Some(at) = find_ignoring_case(inside, "<title")
            && let Some((_, length)) = tag(inside.get(at..).unwrap_or_default(), TAG_BYTES_MAX)
        {
            self.take_title(inside.get(at + length..).unwrap_or_default());
        }
        let rest = next.get(end..).unwrap_or_default();
        // A head that never closes must not hide the page.
        if rest.is_empty() && name == "head" {
            self.open_head = true;
            return next;
        }
        rest
    }

    fn take_title<'h>(&mut self, next: &'h str) -> &'h str {
        let end = find_closing(next, "title");
        let title = decoded(next.get(..end).unwrap_or_default());
        let title = title.split_whitespace().collect::<Vec<_>>().join(" ");
        if self.title.is_none() && !title.is_empty() {
            self.title = Some(title);
        }
        next.get(end..).unwrap_or_default()
    }

    fn words(&mut self, html: &str) {
        let text = decoded(html);
        if self.preformatted {
            if !text.is_empty() {
                self.flush();
                self.text.push_str(&text);
            }
            return;
        }
        if text.starts_with(char::is_whitespace) {
            self.blank = true;
        }
        let mut words = text.split_whitespace().peekable();
        while let Some(word) = words.next() {
            self.flush();
            self.text.push_str(word);
            self.blank = words.peek().is_some();
        }
        if text.ends_with(char::is_whitespace) {
            self.blank = true;
        }
    }

    /// Line ends before the next word, at least so many.
    fn owe(&mut self, breaks: usize) {
        self.breaks = self.breaks.max(breaks);
        self.blank = false;
    }

    /// Writes what is owed.
    fn flush(&mut self) {
        if self.text.is_empty() {
            (self.breaks, self.blank) = (0, false);
        }
        let standing = self.text.bytes().rev().take_while(|byte| *byte == b'\n').count();
        for _ in standing..self.breaks {
            self.text.push('\n');
        }
        let at_mark = self.text.ends_with([' ', '\n']);
        if self.breaks == 0 && self.blank && !at_mark {
            self.text.push(' ');
        }
        (self.breaks, self.blank) = (0, false);
    }

    /// A mark at the start of a line.
    fn start(&mut self, mark: &str, breaks: usize) {
        self.owe(breaks);
        self.flush();
        self.text.push_str(mark);
    }

    /// A mark between two things on one line; none at its start.
    fn separate(&mut self, mark: &str) {
        if self.breaks == 0 && !self.text.is_empty() && !self.text.ends_with('\n') {
            self.blank = false;
            self.text.push_str(mark);
        }
    }

    /// Puts Markdown's brackets around what was written since the link opened.
    fn close_link(&mut self) {
        let Some((href, from)) = self.link.take() else { return };
        let label = self.text.get(from..).map(|label| label.trim().to_string()).unwrap_or_default();
        if !label.is_empty() && !label.contains('\n') {
            self.text.truncate(from);
            self.text.push_str(&format!("[{label}]({href})"));
        }
    }
}

/// Where `</name` begins, or the end.
fn find_closing(text: &str, name: &str) -> usize {
    find_ignoring_case(text, &format!("</{name}")).unwrap_or(text.len())
}

fn find_ignoring_case(text: &str, wanted: &str) -> Option<usize> {
    let wanted = wanted.as_bytes();
    text.as_bytes().windows(wanted.len()).position(|window| window.eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(html: &str) -> String {
        readable(html).text
    }

    #[test]
    fn headings_lists_links_and_code_keep_their_shape() {
        let html = "<h1>Big</h1><p>One <b>two</b>\n three.<ul><li>a<li>b</ul><p><a href='https://x.y/'>link</a>, \
                    <a href='/in'>in</a><pre>  x\n  y</pre>end";
        assert_eq!(
            text(html),
            "# Big\n\nOne two three.\n\n- a\n- b\n\n[link](https://x.y/), in\n\n```\n  x\n  y\n```\n\nend"
        );
    }

    #[test]
    fn scripts_styles_and_comments_are_left_out_and_the_title_is_kept() {
        let html = "<!DOCTYPE html><html><head><TITLE>A &amp; B</TITLE><style>p{}</style></head><body>\
                    <script>if (a < b) {}</script><!-- <p>no</p> --><p>yes</p></body></html>";
        let page = readable(html);
        assert_eq!((page.title.as_deref(), page.text.as_str()), (Some("A & B"), "yes"));
    }

    #[test]
    fn tables_and_images_read_as_lines() {
        assert_eq!(text("<table><tr><td>a<td>b<tr><td>c<td>d</table><img alt='a cat'>"), "a | b\n\nc | d\n\n[a cat]");
    }

    #[test]
    fn broken_markup_is_read_as_far_as_it_goes() {
        assert_eq!(text("a < b and c > d"), "a < b and c > d");
        assert_eq!(text("<p>open <b>bold"), "open bold");
        assert_eq!(text("<a href=\"https://x.y/>never closed</a> text"), "[never closed](https://x.y/) text");
        assert_eq!(readable("<head><title>t</title><p>no end").text, "no end");
        assert_eq!(text("<!-- never closed"), "");
    }

    #[test]
    fn hostile_markup_takes_linear_time() {
        for piece in ["<", "<a ", "<a href=\"", "<!--", "<p", "<script", "<head>", "<title>", "&", "<li>", "<a href=x>", "<pre>"] {
            let started = std::time::Instant::now();
            readable(&piece.repeat(400_000 / piece.len()));
            assert!(started.elapsed().as_secs() < 20, "{piece}");
        }
    }

    proptest! {
        #[test]
        fn any_html_is_read_without_a_mark_of_a_script(html in "(<[a-z/!]{0,6}[ =\"'a-z]{0,8}>?|[a-z &;#\n]{0,8}|\\PC){0,40}") {
            let page = readable(&html);
            prop_assert!(page.text.len() <= html.len() * 8 + 16);
        }
    }
}
