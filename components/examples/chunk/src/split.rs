//! Chunks: sections cut into pieces that fit, each beginning with the tail of the one before.

use crate::cut::{Border, Cut, cuts, end_of};
use crate::section::{Format, Section, fence, sections};

/// The largest `max_chars`.
const MAX_CHARS_CEILING: u32 = 100_000;

/// How to cut.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The longest chunk, in characters.
    pub max_chars: u32,
    /// How many characters a chunk may repeat; by default 100, or a quarter of a small `max_chars`.
    pub overlap_chars: Option<u32>,
    /// How the text is read.
    pub format: Format,
}

impl Default for Options {
    fn default() -> Self {
        Self { max_chars: 1_000, overlap_chars: None, format: Format::Markdown }
    }
}

/// Why nothing was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Zero or above the ceiling.
    BadMaxChars(u32),
    /// Not less than half of `max_chars`.
    BadOverlapChars(u32),
}

/// One piece of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk<'t> {
    /// Its place among the chunks.
    pub index: u32,
    /// The piece, without white space at its ends.
    pub text: &'t str,
    /// Its first byte.
    pub start: usize,
    /// The byte after its last.
    pub end: usize,
    /// The headings it stands under, outermost first.
    pub headings: Vec<&'t str>,
}

/// Cuts a text.
///
/// # Errors
/// When the options make no sense.
pub fn split<'t>(text: &'t str, options: &Options) -> Result<Vec<Chunk<'t>>, Refusal> {
    let max = options.max_chars;
    if max == 0 || max > MAX_CHARS_CEILING {
        return Err(Refusal::BadMaxChars(max));
    }
    let overlap = options.overlap_chars.unwrap_or_else(|| (max / 4).min(100));
    if overlap > 0 && overlap.saturating_mul(2) >= max {
        return Err(Refusal::BadOverlapChars(overlap));
    }
    let fenced = fenced_bytes(text, options.format);
    let mut chunks = Vec::new();
    for section in sections(text, options.format) {
        cut_section(text, &section, &fenced, max as usize, overlap as usize, &mut chunks);
    }
    Ok(chunks)
}

/// For each byte, whether it lies in fenced code, fences included.
fn fenced_bytes(text: &str, format: Format) -> Vec<bool> {
    let mut fenced = Vec::with_capacity(text.len());
    let mut open: Option<(char, usize)> = None;
    for line in text.split_inclusive('\n') {
        let mark = if format == Format::Markdown { fence(line) } else { None };
        let inside = open.is_some() || mark.is_some();
        open = match (open, mark) {
            (Some((with, count)), Some((m, n))) if m == with && n >= count => None,
            (None, mark) => mark,
            (open, _) => open,
        };
        fenced.resize(fenced.len() + line.len(), inside);
    }
    fenced
}

fn cut_section<'t>(
    text: &'t str,
    section: &Section<'t>,
    fenced: &[bool],
    max: usize,
    overlap: usize,
    chunks: &mut Vec<Chunk<'t>>,
) {
    let Some(body) = text.get(section.range.clone()) else { return };
    let cuts = cuts(body, fenced.get(section.range.clone()).unwrap_or_default());
    // The beginning of a piece: where, after how many characters, and which cut comes next.
    let mut begin = Cut { at: 0, chars: 0, border: Border::Paragraph };
    let mut next = 0;
    while let Some(last) = end_of(&cuts, next, begin.chars, max) {
        let Some(end) = cuts.get(last) else { return };
        push(text, section, begin.at..end.at, chunks);
        if end.at == body.len() {
            return;
        }
        // The next piece begins at the best border within the overlap, or where this one ended.
        let repeated = cuts.get(next..last).unwrap_or_default();
        let from = repeated.partition_point(|cut| end.chars - cut.chars > overlap);
        let best = repeated.iter().enumerate().skip(from).filter(|(_, cut)| cut.border >= Border::Word);
        // Ties go to the earliest, which repeats most.
        let best = best.rev().max_by_key(|(_, cut)| cut.border).map(|(place, cut)| (next + place, *cut));
        let (place, cut) = best.unwrap_or((last, *end));
        begin = cut;
        // What was already covered must not be all that the next piece holds.
        next = place.max(last) + 1;
    }
}

fn push<'t>(text: &'t str, section: &Section<'t>, piece: std::ops::Range<usize>, chunks: &mut Vec<Chunk<'t>>) {
    let (from, to) = (section.range.start + piece.start, section.range.start + piece.end);
    let whole = text.get(from..to).unwrap_or_default();
    let trimmed = whole.trim();
    let start = from + (whole.len() - whole.trim_start().len());
    // Nothing, or nothing but what the chunk before holds already.
    let known = chunks.last().is_some_and(|before| start + trimmed.len() <= before.end);
    if trimmed.is_empty() || known {
        return;
    }
    let index = u32::try_from(chunks.len()).unwrap_or(u32::MAX);
    chunks.push(Chunk { index, text: trimmed, start, end: start + trimmed.len(), headings: section.headings.clone() });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn options(max_chars: u32, overlap_chars: u32) -> Options {
        Options { max_chars, overlap_chars: Some(overlap_chars), format: Format::Markdown }
    }

    fn texts(text: &str, max: u32, overlap: u32) -> Vec<&str> {
        split(text, &options(max, overlap)).unwrap().into_iter().map(|chunk| chunk.text).collect()
    }

    #[test]
    fn a_short_text_is_one_chunk_and_white_space_is_none() {
        assert_eq!(texts("One two.", 100, 10), ["One two."]);
        assert!(texts(" \n\n ", 100, 10).is_empty());
        assert!(texts("", 100, 10).is_empty());
    }

    #[test]
    fn chunks_end_at_sentences_and_repeat_whole_words() {
        let text = "Alpha beta gamma. Delta epsilon zeta. Eta theta iota. Kappa lambda mu.";
        let chunks = texts(text, 40, 15);
        assert_eq!(chunks[0], "Alpha beta gamma. Delta epsilon zeta.");
        assert!(chunks[1].starts_with("epsilon zeta. Eta"), "{chunks:?}");
    }

    #[test]
    fn a_chunk_never_spans_two_headings_and_knows_them() {
        let chunks = split("# A\n\none\n\n## B\n\ntwo\n", &options(100, 0)).unwrap();
        assert_eq!(chunks.iter().map(|c| c.text).collect::<Vec<_>>(), ["# A\n\none", "## B\n\ntwo"]);
        assert_eq!(chunks[1].headings, ["A", "B"]);
    }

    #[test]
    fn fenced_code_that_fits_stays_whole() {
        let code = "```rust\nfn a() {}\n\nfn b() {}\n```\n";
        let text = format!("Some words before it. More words.\n\n{code}\nAnd words after it, too.");
        let chunks = texts(&text, 45, 0);
        assert!(chunks.contains(&code.trim()), "{chunks:?}");
    }

    #[test]
    fn options_that_make_no_sense_are_refused() {
        assert_eq!(split("a", &options(0, 0)), Err(Refusal::BadMaxChars(0)));
        assert_eq!(split("a", &options(100_001, 0)), Err(Refusal::BadMaxChars(100_001)));
        assert_eq!(split("a", &options(10, 5)), Err(Refusal::BadOverlapChars(5)));
    }

    #[test]
    fn long_hostile_text_takes_linear_time() {
        for piece in ["a", "a ", ". ", "\n", "# \n", "```\n", "-\n"] {
            let started = std::time::Instant::now();
            split(&piece.repeat(1_000_000 / piece.len()), &options(100, 10)).unwrap();
            assert!(started.elapsed().as_secs() < 20, "{piece:?}");
        }
    }

    proptest! {
        #[test]
        fn chunks_cover_everything_but_white_space_in_order_within_the_limit(
            text in "([a-z .!\n#`ü]{0,30}|# |```\n|\n\n){0,30}",
            max in 1..80_u32,
            share in 0..50_u32,
        ) {
            let overlap = (max * share / 100).min(max.saturating_sub(1) / 2);
            let chunks = split(&text, &options(max, overlap)).unwrap();
            let mut covered = 0;
            let mut last_start = 0;
            for (index, chunk) in chunks.iter().enumerate() {
                prop_assert_eq!(chunk.index as usize, index);
                prop_assert!(chunk.text.chars().count() <= max as usize, "{:?}", chunk);
                prop_assert_eq!(&text[chunk.start..chunk.end], chunk.text);
                prop_assert!(chunk.start >= last_start);
                if chunk.start > covered {
                    prop_assert_eq!(text[covered..chunk.start].trim(), "");
                }
                prop_assert!(chunk.end > covered, "a chunk that only repeats: {:?}", chunk);
                (covered, last_start) = (chunk.end, chunk.start);
            }
            prop_assert_eq!(text[covered..].trim(), "");
        }
    }
}
