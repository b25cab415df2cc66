//! Where to cut within a section: its borders, and the best of them that keeps a piece short enough.

use std::ops::Range;

/// How good a border is: a larger one is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Border {
    /// Between two characters, where nothing better fits.
    Character,
    /// Between two words.
    Word,
    /// After a line.
    Line,
    /// After a sentence.
    Sentence,
    /// After a blank line, or around fenced code.
    Paragraph,
}

/// A place where a piece may end or begin, and how many characters come before it in the section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) at: usize,
    pub(crate) chars: usize,
    pub(crate) border: Border,
}

/// The cuts of a section from words upwards, in order; the last is its end. Inside a fence that fits into a piece there
/// is none, inside a longer one there are only lines.
pub(crate) fn cuts(text: &str, fences: &[Range<usize>], chars_max: usize) -> Vec<Cut> {
    let mut cuts = Vec::new();
    let mut fences = fences.iter().peekable();
    // Of the fence the walk is in, whether it fits.
    let mut fits = false;
    let (mut chars, mut before, mut blank, mut ended) = (0, '\n', true, false);
    for (at, char) in text.char_indices() {
        let edge = fences.peek().is_some_and(|fence| fence.start == at || fence.end == at);
        fences.next_if(|fence| fence.end <= at);
        let fence = fences.peek().filter(|fence| fence.contains(&at));
        if let Some(code) = fence
            .filter(|fence| fence.start == at)
            .and_then(|fence| text.get((*fence).clone()))
        {
            fits = code.chars().take(chars_max + 1).count() <= chars_max;
        }
        let border = if at == 0 {
            None
        } else if edge {
            Some(Border::Paragraph)
        } else if fence.is_some() {
            (!fits && before == '\n').then_some(Border::Line)
        } else if before == '\n' {
            Some(if blank {
                Border::Paragraph
            } else if ended {
                Border::Sentence
            } else {
                Border::Line
            })
        } else if before.is_whitespace() && !char.is_whitespace() {
            Some(if ended { Border::Sentence } else { Border::Word })
        } else {
            // Chinese and Japanese write no space after a sentence.
            matches!(before, '。' | '！' | '？').then_some(Border::Sentence)
        };
        cuts.extend(border.map(|border| Cut { at, chars, border }));
        blank = char.is_whitespace() && (blank || before == '\n');
        ended = match char {
            '.' | '!' | '?' | '…' | '。' | '！' | '？' => true,
            // What may stand between a sentence's last mark and the next sentence.
            '"' | '\'' | ')' | ']' | '”' | '’' | '»' | '*' | '_' => ended,
            _ => ended && char.is_whitespace(),
        };
        before = char;
        chars += 1;
    }
    cuts.push(Cut {
        at: text.len(),
        chars,
        border: Border::Paragraph,
    });
    cuts
}

/// Which of these cuts, all behind `begin` and within the limit, ends a piece best: the best border in the second half of
/// what is allowed, the last of its kind; else the last there is.
pub(crate) fn best_end(cuts: &[Cut], begin: Cut, chars_max: usize) -> Option<Cut> {
    let half = cuts.partition_point(|cut| cut.chars - begin.chars < chars_max.div_ceil(2));
    let late = cuts.get(half..).unwrap_or_default();
    late.iter()
        .max_by_key(|cut| (cut.border, cut.at))
        .or(cuts.last())
        .copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn borders(text: &str, wanted: Border) -> Vec<&str> {
        let mut from = 0;
        let mut parts = Vec::new();
        for cut in cuts(text, &[], 100).iter().filter(|cut| cut.border >= wanted) {
            parts.push(&text[from..cut.at]);
            from = cut.at;
        }
        parts
    }

    #[test]
    fn paragraphs_sentences_lines_and_words_are_told_apart() {
        assert_eq!(
            borders("One two. Three!\n\nFour", Border::Paragraph),
            ["One two. Three!\n\n", "Four"]
        );
        assert_eq!(borders("One\r\n \r\nTwo", Border::Paragraph), ["One\r\n \r\n", "Two"]);
        assert_eq!(
            borders("One two. (Three!) **Four.** 5.5 six", Border::Sentence),
            ["One two. ", "(Three!) ", "**Four.** ", "5.5 six"]
        );
        assert_eq!(borders("One.\nTwo\nthree", Border::Sentence), ["One.\n", "Two\nthree"]);
        assert_eq!(borders("One\ntwo three", Border::Line), ["One\n", "two three"]);
        assert_eq!(borders("One two", Border::Word), ["One ", "two"]);
        assert_eq!(borders("你好。再见", Border::Sentence), ["你好。", "再见"]);
    }

    #[test]
    fn code_that_fits_has_no_cuts_and_longer_code_has_its_lines() {
        let text = "a b\n```\nc d\n\ne\n```\nf";
        let at = |chars_max| {
            cuts(text, &[Range { start: 4, end: 19 }], chars_max)
                .iter()
                .map(|cut| cut.at)
                .collect::<Vec<_>>()
        };
        assert_eq!(at(15), [2, 4, 19, 20]);
        assert_eq!(at(14), [2, 4, 8, 12, 13, 15, 19, 20]);
    }

    #[test]
    fn the_best_border_in_the_second_half_wins() {
        let text = "One two. Three four five";
        let begin = Cut {
            at: 0,
            chars: 0,
            border: Border::Paragraph,
        };
        let cuts = cuts(text, &[], 14);
        let within: Vec<_> = cuts.into_iter().filter(|cut| cut.chars <= 14).collect();
        assert_eq!(
            best_end(&within, begin, 14).map(|cut| &text[..cut.at]),
            Some("One two. ")
        );
    }
}
