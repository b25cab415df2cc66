//! Sections: stretches of text under one heading. Only headings decide; everything else is `cut`'s work.

use std::ops::Range;

/// How a text is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// ATX and setext headings and fenced code are seen.
    #[default]
    Markdown,
    /// Everything is text.
    Plain,
}

/// The longest heading that is repeated with each chunk under it, in characters.
const HEADING_CHARS_MAX: usize = 200;

/// A stretch of text, its heading line included, the headings above it, and the fenced code in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Section<'t> {
    pub(crate) range: Range<usize>,
    pub(crate) headings: Vec<&'t str>,
    pub(crate) fences: Vec<Range<usize>>,
}

/// An open code fence: where it began, its character, and how many of them.
#[derive(Clone, Copy)]
struct Fence {
    start: usize,
    mark: char,
    count: usize,
}

impl Fence {
    fn opened_by(line: &str, start: usize) -> Option<Self> {
        let text = line.trim_start_matches(' ');
        let mark = text.chars().next().filter(|mark| matches!(mark, '`' | '~'))?;
        let info = text.trim_start_matches(mark);
        let count = text.len() - info.len();
        // An info string with a backtick is inline code, not a fence.
        let opens = count >= 3 && line.len() - text.len() <= 3 && !(mark == '`' && info.contains(mark));
        opens.then_some(Self { start, mark, count })
    }

    fn is_closed_by(self, line: &str) -> bool {
        let text = line.trim_start_matches(' ');
        let rest = text.trim_start_matches(self.mark);
        text.len() - rest.len() >= self.count && rest.trim().is_empty() && line.len() - text.len() <= 3
    }
}

/// `## Title ##` is a heading of level 2 called `Title`.
fn atx(line: &str) -> Option<(usize, &str)> {
    let indent = line.len() - line.trim_start_matches(' ').len();
    let line = line.trim();
    let level = line.bytes().take_while(|byte| *byte == b'#').count();
    let rest = line.get(level..)?;
    if indent > 3 || !(1..=6).contains(&level) || !(rest.is_empty() || rest.starts_with([' ', '\t'])) {
        return None;
    }
    let title = rest.trim();
    let closed = title.trim_end_matches('#');
    let title = if closed.is_empty() || closed.ends_with([' ', '\t']) {
        closed.trim_end()
    } else {
        title
    };
    Some((level, title))
}

/// `===` under a line makes it a heading of level 1, `---` one of level 2.
fn setext(line: &str) -> Option<usize> {
    let line = line.trim();
    match line.bytes().next()? {
        mark @ (b'=' | b'-') if line.bytes().all(|byte| byte == mark) => Some(if mark == b'=' { 1 } else { 2 }),
        _ => None,
    }
}

/// Whether a line could be the text of a setext heading: prose, not a list item, quote, table, or heading.
fn may_be_title(line: &str) -> bool {
    let text = line.trim_start();
    let item = text.split_once(' ').is_some_and(|(mark, _)| {
        matches!(mark, "-" | "*" | "+") || mark.strip_suffix(['.', ')']).is_some_and(|n| n.parse::<u32>().is_ok())
    });
    !text.trim().is_empty() && !item && !text.starts_with(['>', '#', '|']) && line.len() - text.len() <= 3
}

/// How many bytes of YAML front matter a text begins with: its `---` underlines nothing.
fn front_matter(text: &str) -> usize {
    let is_rule = |line: &str| line.trim_end() == "---";
    let mut lines = text.split_inclusive('\n');
    let Some(first) = lines.next().filter(|line| is_rule(line)) else {
        return 0;
    };
    let mut length = first.len();
    for line in lines {
        length += line.len();
        if is_rule(line) {
            return length;
        }
    }
    0
}

fn shortened(heading: &str) -> &str {
    heading
        .char_indices()
        .nth(HEADING_CHARS_MAX)
        .and_then(|(end, _)| heading.get(..end))
        .unwrap_or(heading)
}

/// The sections of a text, in order, covering all of it.
pub(crate) fn sections(text: &str, format: Format) -> Vec<Section<'_>> {
    let mut open = Section {
        range: 0..text.len(),
        headings: Vec::new(),
        fences: Vec::new(),
    };
    if format == Format::Plain {
        return vec![open];
    }
    let mut sections = Vec::new();
    let mut levels: Vec<(usize, &str)> = Vec::new();
    let mut fence: Option<Fence> = None;
    // The line before, when it may become a setext heading.
    let mut title: Option<(usize, &str)> = None;
    let mut at = front_matter(text);
    for line in text.get(at..).unwrap_or_default().split_inclusive('\n') {
        let start = at;
        at += line.len();
        if let Some(inside) = fence {
            if inside.is_closed_by(line) {
                open.fences.push(inside.start..at);
                fence = None;
            }
            continue;
        }
        fence = Fence::opened_by(line, start);
        if fence.is_some() {
            title = None;
            continue;
        }
        let underlined = || title.zip(setext(line)).map(|((from, name), level)| (level, name, from));
        let heading = atx(line).map(|(level, name)| (level, name, start)).or_else(underlined);
        title = None;
        if let Some((level, name, from)) = heading {
            levels.retain(|(above, _)| *above < level);
            levels.push((level, shortened(name)));
            let headings = levels.iter().map(|(_, name)| *name).collect();
            let next = Section {
                range: from..text.len(),
                headings,
                fences: Vec::new(),
            };
            open.range.end = from;
            sections.push(std::mem::replace(&mut open, next));
        } else if may_be_title(line) {
            title = Some((start, line.trim()));
        }
    }
    // A fence that nothing closes reaches to the end.
    open.fences.extend(fence.map(|fence| fence.start..text.len()));
    sections.push(open);
    sections.retain(|section| !section.range.is_empty());
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<(String, Vec<&str>)> {
        sections(text, Format::Markdown)
            .into_iter()
            .map(|s| (text[s.range].to_string(), s.headings))
            .collect()
    }

    #[test]
    fn headings_nest_by_their_level() {
        let text = "intro\n# A\na\n## B ##\nb\n# C\nc\n";
        let found = names(text);
        assert_eq!(
            found.iter().map(|(_, headings)| headings.clone()).collect::<Vec<_>>(),
            [vec![], vec!["A"], vec!["A", "B"], vec!["C"]]
        );
        assert_eq!(found.iter().map(|(part, _)| part.as_str()).collect::<String>(), text);
    }

    #[test]
    fn underlined_titles_are_headings_and_rules_and_lists_are_not() {
        assert_eq!(
            names("Title\n=====\ntext\n\nSub\n---\nmore\n").last().unwrap().1,
            ["Title", "Sub"]
        );
        assert_eq!(names("text\n\n---\n\nmore\n").len(), 1);
        assert_eq!(names("- item\n---\n").len(), 1);
    }

    #[test]
    fn a_hash_in_code_is_not_a_heading() {
        assert_eq!(names("# A\n```sh\n# comment\n```\n~~~\n# other\n~~~\nend\n").len(), 1);
        assert_eq!(names("#hashtag\n####### seven\n").len(), 1);
    }

    #[test]
    fn a_fence_is_closed_by_its_own_mark_alone() {
        let fences = |text| {
            sections(text, Format::Markdown)
                .remove(0)
                .fences
                .iter()
                .map(|f| (f.start, f.end))
                .collect::<Vec<_>>()
        };
        assert_eq!(fences("```\na\n```\nb\n"), [(0, 10)]);
        assert_eq!(fences("````\n```\n~~~~\n```` \nb\n"), [(0, 20)]);
        assert_eq!(
            fences("```\n```rust\nb\n"),
            [(0, 14)],
            "an info string opens, it does not close"
        );
        assert_eq!(fences("a ``` b\n``` `c`\n"), []);
    }

    #[test]
    fn front_matter_underlines_nothing() {
        assert_eq!(
            names("---\ntitle: a\n---\n# B\n")
                .into_iter()
                .map(|(_, h)| h)
                .collect::<Vec<_>>(),
            [vec![], vec!["B"]]
        );
        assert_eq!(names("---\ntext\n").len(), 1);
    }

    #[test]
    fn a_long_heading_is_shortened() {
        let text = format!("# {}\n", "ü".repeat(1_000));
        assert_eq!(names(&text)[0].1, ["ü".repeat(200)]);
    }

    #[test]
    fn plain_text_has_one_section() {
        assert_eq!(sections("# A\n# B\n", Format::Plain).len(), 1);
    }
}
