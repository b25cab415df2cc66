//! Readable text of HTML: one pass, no tree, so that broken or hostile markup costs no more than its length.

use crate::entity::decoded;
use crate::layout::Layout;
use crate::tag::{Piece, Pieces, Tag};
use crate::url::Url;

/// The longest text, in bytes.
const TEXT_BYTES_MAX: usize = 2 << 20;
/// The longest link that is written, and the longest address that links are taken relative to, in bytes: thousands of
/// short links must not each become a long one.
const LINK_BYTES_MAX: usize = 512;
/// The longest title, in characters.
const TITLE_CHARS_MAX: usize = 500;
/// Elements that are not for reading, besides those that hold no markup.
const SKIPPED: [&str; 9] = [
    "svg", "math", "nav", "template", "object", "select", "canvas", "audio", "video",
];

/// The readable part of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readable {
    /// What stands in `<title>`.
    pub title: Option<String>,
    /// The text, with Markdown's marks for headings, lists, links and code blocks.
    pub text: String,
    /// Whether there was more text than the 2 MiB that are kept.
    pub truncated: bool,
}

/// Makes readable text of HTML; relative links are taken from `address`, left out when there is none.
pub fn readable(html: &str, address: Option<&Url>) -> Readable {
    let mut pieces = Pieces::new(html);
    let mut page = Page {
        title: None,
        address: address.cloned(),
        has_base: false,
        layout: Layout::new(TEXT_BYTES_MAX),
    };
    while let Some(piece) = pieces.next().filter(|_| !page.layout.is_full()) {
        match piece {
            Piece::Text(text) => page.layout.words(&decoded(text)),
            Piece::Open(tag, None) if SKIPPED.contains(&tag.name.as_ref()) => pieces.skip_element(&tag),
            Piece::Open(tag, raw) => page.open(&tag, raw),
            Piece::Close(tag) => page.close(&tag.name),
        }
    }
    let (text, truncated) = page.layout.finish();
    Readable {
        title: page.title,
        text,
        truncated,
    }
}

struct Page {
    title: Option<String>,
    address: Option<Url>,
    /// A page's first `<base>` counts (HTML, 4.2.3); were each relative to the last, they could grow.
    has_base: bool,
    layout: Layout,
}

impl Page {
    fn open(&mut self, tag: &Tag<'_>, raw: Option<&str>) {
        let layout = &mut self.layout;
        match tag.name.as_ref() {
            "title" => self.take_title(raw.unwrap_or_default()),
            "base" => self.take_base(tag),
            "ul" | "menu" => layout.open_list(None),
            "ol" => layout.open_list(Some(
                tag.attribute("start").and_then(|start| start.parse().ok()).unwrap_or(1),
            )),
            "li" => layout.item(),
            "pre" => layout.open_preformatted(),
            "td" | "th" => layout.separate(" | "),
            "a" => {
                let target = tag.attribute("href").and_then(|href| self.target(&href));
                self.layout.open_link(target);
            }
            "img" => {
                let alt = tag.attribute("alt").unwrap_or_default();
                if !alt.trim().is_empty() {
                    layout.words(&format!("[{}]", alt.trim()));
                }
            }
            name => match heading(name) {
                Some(level) => layout.heading(level),
                None => layout.owe(breaks(name)),
            },
        }
    }

    fn close(&mut self, name: &str) {
        match name {
            "ul" | "menu" | "ol" => self.layout.close_list(),
            "li" => self.layout.end_mark(1),
            "pre" => self.layout.close_preformatted(),
            "a" => self.layout.close_link(),
            "br" => {}
            name if heading(name).is_some() => self.layout.end_mark(2),
            name => self.layout.owe(breaks(name)),
        }
    }

    fn take_title(&mut self, raw: &str) {
        let title = decoded(raw);
        let words: Vec<_> = title.split_whitespace().collect();
        if self.title.is_none() && !words.is_empty() {
            self.title = Some(words.join(" ").chars().take(TITLE_CHARS_MAX).collect());
        }
    }

    fn take_base(&mut self, tag: &Tag<'_>) {
        if self.has_base {
            return;
        }
        let base = tag.attribute("href").filter(|href| href.len() <= LINK_BYTES_MAX);
        self.has_base = base.is_some();
        if let Some(base) = base.and_then(|href| self.address.as_ref()?.join(&href).ok()) {
            self.address = Some(base);
        }
    }

    /// Where a link leads; none when it stays on the page or leads to no page.
    fn target(&self, href: &str) -> Option<String> {
        let href = href.trim();
        if href.is_empty() || href.starts_with('#') || href.len() > LINK_BYTES_MAX {
            return None;
        }
        let address = self
            .address
            .as_ref()
            .filter(|address| address.path.len() <= LINK_BYTES_MAX);
        let target = address
            .map_or_else(|| Url::parse(href), |address| address.join(href))
            .ok()?
            .to_string();
        (target.len() <= LINK_BYTES_MAX).then_some(target)
    }
}

fn heading(name: &str) -> Option<usize> {
    match name.as_bytes() {
        [b'h', level @ b'1'..=b'6'] => Some(usize::from(level - b'0')),
        _ => None,
    }
}

/// Line ends around an element, as `innerText` has them: words inside a line, lines, or paragraphs.
fn breaks(name: &str) -> usize {
    match name {
        "p" | "blockquote" | "table" | "dl" | "figure" | "section" | "article" | "main" | "aside" | "header"
        | "footer" | "form" | "hr" | "details" => 2,
        "br" | "div" | "tr" | "dt" | "dd" | "caption" | "figcaption" | "fieldset" | "legend" | "address"
        | "summary" | "option" | "body" | "head" | "title" => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
