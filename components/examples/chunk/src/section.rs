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

/// A stretch of text, its heading line included, and the headings above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Section<'t> {
    pub(crate) range: Range<usize>,
    pub(crate) headings: Vec<&'t str>,
}

/// The fence a line opens or closes: its character and how many of them.
pub(crate) fn fence(line: &str) -> Option<(char, usize)> {
    let line = line.trim_start_matches(' ');
    let mark = line.chars().next().filter(|mark| matches!(mark, '`' | '~'))?;
    let count = line.chars().take_while(|c| *c == mark).count();
    // An info string with a backtick is inline code, not a fence.
    let opens = count >= 3 && !(mark == '`' && line.trim_start_matches(mark).contains(mark));
    opens.then_some((mark, count))
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
    let title = if closed.is_empty() || closed.ends_with([' ', '\t']) { closed.trim_end() } else { title };
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

/// The sections of a text, in order, covering all of it.
pub(crate) fn sections(text: &str, format: Format) -> Vec<Section<'_>> {
    let mut sections = Vec::new();
    let mut open = Section { range: 0..0, headings: Vec::new() };
    let mut levels: Vec<(usize, &str)> = Vec::new();
    let mut fenced: Option<(char, usize)> = None;
    // The line before, when it may become a setext heading.
    let mut title: Option<(usize, &str)> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let start = at;
        at += line.len();
        if format == Format::Plain {
            continue;
        }
        if let Some((mark, count)) = fenced {
            if fence(line).is_some_and(|(m, n)| m == mark && n >= count) {
                fenced = None;
            }
            continue;
        }
        fenced = fence(line);
        let heading = if fenced.is_some() {
            None
        } else if let Some((level, name)) = atx(line) {
            Some((level, name, start))
        } else {
            title.zip(setext(line)).map(|((from, name), level)| (level, name, from))
        };
        title = None;
        match heading {
            Some((level, name, from)) => {
                open.range.end = from;
                let headings = Vec::new();
                sections.push(std::mem::replace(&mut open, Section { range: from..from, headings }));
                levels.retain(|(above, _)| *above < level);
                levels.push((level, name));
                open.headings = levels.iter().map(|(_, name)| *name).collect();
            }
            None if fenced.is_none() && may_be_title(line) => title = Some((start, line.trim())),
            None => {}
        }
    }
    open.range.end = text.len();
    sections.push(open);
    sections.retain(|section| !section.range.is_empty());
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<(String, Vec<&str>)> {
        sections(text, Format::Markdown).into_iter().map(|s| (text[s.range].to_string(), s.headings)).collect()
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
        assert_eq!(names("Title\n=====\ntext\n\nSub\n---\nmore\n").last().unwrap().1, ["Title", "Sub"]);
        assert_eq!(names("text\n\n---\n\nmore\n").len(), 1);
        assert_eq!(names("- item\n---\n").len(), 1);
    }

    #[test]
    fn a_hash_in_code_is_not_a_heading() {
        assert_eq!(names("# A\n```sh\n# comment\n```\n~~~\n# other\n~~~\nend\n").len(), 1);
        assert_eq!(names("#hashtag\n####### seven\n").len(), 1);
    }

    #[test]
    fn plain_text_has_one_section() {
        assert_eq!(sections("# A\n# B\n", Format::Plain).len(), 1);
    }
}
