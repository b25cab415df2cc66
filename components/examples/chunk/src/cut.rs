//! Where to cut within a section: the best border that keeps a piece short enough.

/// How good a border is: a larger number is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Border {
    /// Between two characters.
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

/// A place where a piece may end, and how many characters come before it in the section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) at: usize,
    pub(crate) chars: usize,
    pub(crate) border: Border,
}

/// The cuts of a section, in order; the last is its end. `fenced` says whether a byte of the section lies in fenced code,
/// where sentences and blank lines mean nothing.
pub(crate) fn cuts(text: &str, fenced: &[bool]) -> Vec<Cut> {
    let mut cuts = Vec::with_capacity(text.len() / 4 + 1);
    let mut chars = 0;
    let mut before = '\n';
    let mut blank = true;
    for (at, char) in text.char_indices() {
        let code = fenced.get(at).copied().unwrap_or(false);
        let was_code = at > 0 && fenced.get(at - 1).copied().unwrap_or(false);
        let border = if at == 0 {
            None
        } else if code != was_code {
            Some(Border::Paragraph)
        } else if code {
            Some(if before == '\n' { Border::Line } else { Border::Character })
        } else if before == '\n' && blank {
            Some(Border::Paragraph)
        } else if before == '\n' {
            Some(Border::Line)
        } else if before.is_whitespace() && !char.is_whitespace() {
            let spaced = text.get(..at).unwrap_or_default().trim_end();
            let ended = spaced.trim_end_matches(['"', '\'', ')', ']', '”', '’', '»']).ends_with(['.', '!', '?', '…']);
            Some(if ended { Border::Sentence } else { Border::Word })
        } else if matches!(before, '。' | '！' | '？') {
            Some(Border::Sentence)
        } else {
            Some(Border::Character)
        };
        if let Some(border) = border {
            cuts.push(Cut { at, chars, border });
        }
        blank = if before == '\n' { char.is_whitespace() } else { blank && char.is_whitespace() };
        before = char;
        chars += 1;
    }
    cuts.push(Cut { at: text.len(), chars, border: Border::Paragraph });
    cuts
}

/// The cut that ends a piece that begins at `from` (as an index into `cuts`, exclusive): the best border in the second
/// half of what is allowed, the last of its kind; else the last that fits.
pub(crate) fn end_of(cuts: &[Cut], from: usize, chars_from: usize, chars_max: usize) -> Option<usize> {
    let rest = cuts.get(from..)?;
    let within = rest.partition_point(|cut| cut.chars - chars_from.min(cut.chars) <= chars_max);
    let allowed = rest.get(..within)?;
    if within == rest.len() {
        return from.checked_add(within)?.checked_sub(1);
    }
    let half = allowed.partition_point(|cut| cut.chars.saturating_sub(chars_from) < chars_max.div_ceil(2));
    let late = allowed.get(half..)?;
    let best = late.iter().enumerate().max_by_key(|(place, cut)| (cut.border, *place)).map(|(place, _)| half + place);
    best.or_else(|| within.checked_sub(1)).map(|place| from + place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn borders(text: &str, wanted: Border) -> Vec<&str> {
        let cuts = cuts(text, &vec![false; text.len()]);
        let mut from = 0;
        let mut parts = Vec::new();
        for cut in cuts.iter().filter(|cut| cut.border >= wanted) {
            parts.push(&text[from..cut.at]);
            from = cut.at;
        }
        parts
    }

    #[test]
    fn paragraphs_sentences_and_words_are_told_apart() {
        assert_eq!(borders("One two. Three!\n\nFour", Border::Paragraph), ["One two. Three!\n\n", "Four"]);
        assert_eq!(borders("One two. (Three!) Four", Border::Sentence), ["One two. ", "(Three!) ", "Four"]);
        assert_eq!(borders("One two", Border::Word), ["One ", "two"]);
        assert_eq!(borders("你好。再见", Border::Sentence), ["你好。", "再见"]);
    }

    #[test]
    fn the_best_border_in_the_second_half_wins() {
        let text = "One two. Three four five";
        let cuts = cuts(text, &vec![false; text.len()]);
        let end = end_of(&cuts, 0, 0, 14).unwrap();
        assert_eq!(&text[..cuts[end].at], "One two. ");
    }
}
