//! Writes readable lines: decides where words part, lines end, and Markdown's marks for headings, lists and links go.

/// How deep lists are indented; deeper ones stay at this depth.
const LIST_DEPTH_MAX: usize = 8;
const FENCE: &str = "```\n";

/// Text that grows word by word.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    text: String,
    bytes_max: usize,
    full: bool,
    /// Line ends that are owed before the next word, and whether a blank is.
    breaks: usize,
    blank: bool,
    /// What stands before the next word on its line; an element without words leaves no mark.
    mark: String,
    preformatted: bool,
    /// Where the open link leads, and where its words begin once there are some.
    link: Option<(String, Option<usize>)>,
    /// The open lists: the number of the next item where they are numbered.
    lists: Vec<Option<u32>>,
    /// Lists open beyond those.
    lists_beyond: usize,
}

impl Layout {
    /// A text of at most so many bytes.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            ..Self::default()
        }
    }

    /// The text, and whether there was more than it may hold.
    pub(crate) fn finish(mut self) -> (String, bool) {
        self.close_link();
        self.close_preformatted();
        let length = self.text.trim_end().len();
        self.text.truncate(length);
        (self.text, self.full)
    }

    /// Whether nothing more is taken.
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    /// Line ends before the next word, at least so many.
    pub(crate) fn owe(&mut self, breaks: usize) {
        self.breaks = self.breaks.max(breaks);
        // The end of a line swallows the blank.
        self.blank &= breaks == 0;
    }

    /// Words; white space between them counts once, unless it is preformatted.
    pub(crate) fn words(&mut self, text: &str) {
        if self.preformatted {
            // The line end right after the tag is no part of it (HTML, 13.2.6.4.7).
            let text = if self.mark == FENCE {
                text.strip_prefix('\n').unwrap_or(text)
            } else {
                text
            };
            if !text.is_empty() {
                self.flush();
                self.put(text);
            }
            return;
        }
        self.blank |= text.starts_with(char::is_whitespace);
        let mut words = text.split_whitespace().peekable();
        while let Some(word) = words.next() {
            self.flush();
            if let Some((_, from @ None)) = &mut self.link {
                *from = Some(self.text.len());
            }
            self.put(word);
            self.blank = words.peek().is_some();
        }
        self.blank |= text.ends_with(char::is_whitespace);
    }

    /// The heading's mark stands before the next words.
    pub(crate) fn heading(&mut self, level: usize) {
        self.owe(2);
        self.mark = format!("{} ", "#".repeat(level));
    }

    /// Ends a heading or an item: without words it leaves no mark.
    pub(crate) fn end_mark(&mut self, breaks: usize) {
        self.owe(breaks);
        self.mark.clear();
    }

    pub(crate) fn open_list(&mut self, first: Option<u32>) {
        self.owe(if self.lists.is_empty() { 2 } else { 1 });
        if self.lists.len() < LIST_DEPTH_MAX {
            self.lists.push(first);
        } else {
            self.lists_beyond += 1;
        }
    }

    pub(crate) fn close_list(&mut self) {
        if self.lists_beyond > 0 {
            self.lists_beyond -= 1;
        } else {
            self.lists.pop();
        }
        self.end_mark(if self.lists.is_empty() { 2 } else { 1 });
    }

    /// The item's mark stands before the next words.
    pub(crate) fn item(&mut self) {
        self.owe(1);
        let indent = "  ".repeat(self.lists.len().saturating_sub(1));
        self.mark = match self.lists.last_mut() {
            Some(Some(number)) => {
                let mark = format!("{indent}{number}. ");
                *number = number.saturating_add(1);
                mark
            }
            _ => format!("{indent}- "),
        };
    }

    /// A mark between two things on one line; none at its start.
    pub(crate) fn separate(&mut self, mark: &str) {
        if self.breaks == 0 && !self.text.is_empty() && !self.text.ends_with('\n') {
            self.blank = false;
            self.put(mark);
        }
    }

    pub(crate) fn open_preformatted(&mut self) {
        if !self.preformatted {
            self.close_link();
            self.owe(2);
            self.mark = FENCE.into();
            self.preformatted = true;
        }
    }

    pub(crate) fn close_preformatted(&mut self) {
        if !self.preformatted {
            return;
        }
        if self.mark != FENCE {
            let line_end = if self.text.ends_with('\n') { "" } else { "\n" };
            self.put(line_end);
            self.put("```");
        }
        self.preformatted = false;
        (self.breaks, self.blank) = (0, false);
        self.end_mark(2);
    }

    /// The words from here on lead to `target`.
    pub(crate) fn open_link(&mut self, target: Option<String>) {
        self.close_link();
        self.link = target.map(|target| (target, None)).filter(|_| !self.preformatted);
    }

    /// Puts Markdown's brackets around the first line of the words since the link opened.
    pub(crate) fn close_link(&mut self) {
        let Some((target, Some(from))) = self.link.take() else {
            return;
        };
        if self.full || self.text.len() + target.len() + "[]()".len() > self.bytes_max {
            return;
        }
        let words = self.text.split_off(from);
        let (label, rest) = words
            .split_at_checked(words.find('\n').unwrap_or(words.len()))
            .unwrap_or((&words, ""));
        for part in ["[", label, "](", &target, ")", rest] {
            self.text.push_str(part);
        }
    }

    /// Writes what is owed before the next word.
    fn flush(&mut self) {
        let at_mark = self.text.is_empty() || self.text.ends_with([' ', '\n']);
        if self.breaks > 0 {
            if !self.text.is_empty() {
                let standing = self
                    .text
                    .bytes()
                    .rev()
                    .take(2)
                    .take_while(|byte| *byte == b'\n')
                    .count();
                self.put(
                    "\n\n"
                        .get(standing.min(2)..self.breaks.max(standing).min(2))
                        .unwrap_or_default(),
                );
            }
        } else if self.blank && !at_mark {
            self.put(" ");
        }
        let mark = std::mem::take(&mut self.mark);
        self.put(&mark);
        (self.breaks, self.blank) = (0, false);
    }

    fn put(&mut self, text: &str) {
        if self.full {
            return;
        }
        let room = self.bytes_max - self.text.len();
        self.full = text.len() > room;
        self.text
            .push_str(text.get(..text.floor_char_boundary(room)).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl Fn(&mut Layout)) -> String {
        let mut layout = Layout::new(1_000);
        write(&mut layout);
        layout.finish().0
    }

    #[test]
    fn what_has_no_words_leaves_no_mark() {
        let text = written(|layout| {
            layout.heading(2);
            layout.end_mark(2);
            layout.open_list(None);
            layout.item();
            layout.item();
            layout.words("a");
            layout.close_list();
            layout.open_link(Some("http://a/".into()));
            layout.close_link();
            layout.open_preformatted();
            layout.close_preformatted();
        });
        assert_eq!(text, "- a");
    }

    #[test]
    fn a_full_text_ends_at_a_whole_character() {
        let mut layout = Layout::new(5);
        layout.open_link(Some("http://a/".into()));
        layout.words("ab üüü");
        assert!(layout.is_full());
        assert_eq!(layout.finish(), ("ab ü".to_string(), true));
    }

    #[test]
    fn only_the_first_line_of_a_link_is_put_in_brackets() {
        let text = written(|layout| {
            layout.open_link(Some("http://a/".into()));
            layout.heading(3);
            layout.words("one two");
            layout.owe(2);
            layout.words("three");
            layout.close_link();
        });
        assert_eq!(text, "### [one two](http://a/)\n\nthree");
    }
}
