//! Chunks: sections cut into pieces that fit, each beginning with the tail of the one before.

use std::ops::Range;

use crate::cut::{Border, Cut, best_end, cuts};
use crate::section::{Format, Section, sections};

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
        Self {
            max_chars: 1_000,
            overlap_chars: None,
            format: Format::Markdown,
        }
    }
}

/// Why nothing was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionsError {
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
pub fn split<'t>(text: &'t str, options: &Options) -> Result<Vec<Chunk<'t>>, OptionsError> {
    let max = options.max_chars;
    if max == 0 || max > MAX_CHARS_CEILING {
        return Err(OptionsError::BadMaxChars(max));
    }
    let overlap = options.overlap_chars.unwrap_or_else(|| (max / 4).min(100));
    if overlap > 0 && overlap.saturating_mul(2) >= max {
        return Err(OptionsError::BadOverlapChars(overlap));
    }
    let mut chunks = Vec::new();
    for section in sections(text, options.format) {
        for piece in pieces(text, &section, max as usize, overlap as usize) {
            push(text, &section, piece, &mut chunks);
        }
    }
    Ok(chunks)
}

/// The pieces of a section, as bytes of it: each within the limit, each going further than the one before.
fn pieces(text: &str, section: &Section<'_>, max: usize, overlap: usize) -> Vec<Range<usize>> {
    let body = text.get(section.range.clone()).unwrap_or_default();
    let inner = |fence: &Range<usize>| fence.start - section.range.start..fence.end - section.range.start;
    let fences: Vec<_> = section.fences.iter().map(inner).collect();
    let cuts = cuts(body, &fences, max);
    let mut pieces = Vec::new();
    let mut begin = Cut {
        at: 0,
        chars: 0,
        border: Border::Paragraph,
    };
    // How far the pieces reach.
    let mut covered = begin;
    while covered.at < body.len() {
        let ahead = cuts.partition_point(|cut| cut.at <= covered.at);
        let within = cuts.partition_point(|cut| cut.chars <= begin.chars + max);
        let ends = cuts.get(ahead..within).unwrap_or_default();
        let end = match ends.last() {
            Some(last) if last.at == body.len() => *last,
            Some(_) => best_end(ends, begin, max).unwrap_or(covered),
            // Nothing new fits behind what would be repeated: repeat nothing.
            None if begin.at < covered.at => {
                begin = covered;
                continue;
            }
            None => forced_end(body, begin, max),
        };
        pieces.push(begin.at..end.at);
        covered = end;
        begin = repeat_from(&cuts, begin, end, overlap);
    }
    pieces
}

/// A cut through a word, or a line of code, that is longer than a piece may be.
fn forced_end(body: &str, begin: Cut, max: usize) -> Cut {
    let rest = body.get(begin.at..).unwrap_or_default();
    let length = rest.char_indices().nth(max).map_or(rest.len(), |(length, _)| length);
    Cut {
        at: begin.at + length,
        chars: begin.chars + max,
        border: Border::Character,
    }
}

/// Where the piece after the one from `begin` to `end` begins: at the best border within the overlap, the earliest of its
/// kind, which repeats most; else at `end`.
fn repeat_from(cuts: &[Cut], begin: Cut, end: Cut, overlap: usize) -> Cut {
    let from = cuts.partition_point(|cut| cut.at <= begin.at || cut.chars + overlap < end.chars);
    let to = cuts.partition_point(|cut| cut.at < end.at);
    let repeated = cuts.get(from..to).unwrap_or_default();
    repeated
        .iter()
        .rev()
        .max_by_key(|cut| cut.border)
        .copied()
        .unwrap_or(end)
}

/// Adds a piece without the white space at its ends, unless nothing is left or nothing is new.
fn push<'t>(text: &'t str, section: &Section<'t>, piece: Range<usize>, chunks: &mut Vec<Chunk<'t>>) {
    let from = section.range.start + piece.start;
    let whole = text.get(from..section.range.start + piece.end).unwrap_or_default();
    let trimmed = whole.trim();
    let start = from + (whole.len() - whole.trim_start().len());
    let end = start + trimmed.len();
    if trimmed.is_empty() || chunks.last().is_some_and(|before| end <= before.end) {
        return;
    }
    let index = u32::try_from(chunks.len()).unwrap_or(u32::MAX);
    chunks.push(Chunk {
        index,
        text: trimmed,
        start,
        end,
        headings: section.headings.clone(),
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn options(max_chars: u32, overlap_chars: u32) -> Options {
        Options {
            max_chars,
            overlap_chars: Some(overlap_chars),
            format: Format::Markdown,
        }
    }

    fn texts(text: &str, max: u32, overlap: u32) -> Vec<&str> {
        split(text, &options(max, overlap))
            .unwrap()
            .into_iter()
            .map(|chunk| chunk.text)
            .collect()
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
        assert_eq!(
            chunks.iter().map(|c| c.text).collect::<Vec<_>>(),
            ["# A\n\none", "## B\n\ntwo"]
        );
        assert_eq!(chunks[1].headings, ["A", "B"]);
    }

    #[test]
    fn fenced_code_that_fits_stays_whole() {
        let code = "```rust\nfn a() {}\n\nfn b() {}\n```\n";
        let text = format!("Some words before it. More words.\n\n{code}\nAnd words after it, too.");
        let chunks = texts(&text, 45, 0);
        assert!(chunks.contains(&code.trim()), "{chunks:?}");
        // Also when it begins early in a piece, and when the overlap would leave no room for it.
        for overlap in [0, 20] {
            let text = format!(
                "Hi.\n\n{}\n```\n{}```\nBye.",
                "word ".repeat(20),
                "let a = b;\n".repeat(8)
            );
            let chunks = texts(&text, 100, overlap);
            assert!(
                chunks.iter().any(|chunk| chunk.matches("let a = b;").count() == 8),
                "{chunks:?}"
            );
        }
    }

    #[test]
    fn a_word_longer_than_a_chunk_is_cut_between_characters() {
        assert_eq!(texts("aa üüüüüüü b", 3, 0), ["aa", "üüü", "üüü", "ü b"]);
    }

    #[test]
    fn options_that_make_no_sense_are_refused() {
        assert_eq!(split("a", &options(0, 0)), Err(OptionsError::BadMaxChars(0)));
        assert_eq!(
            split("a", &options(100_001, 0)),
            Err(OptionsError::BadMaxChars(100_001))
        );
        assert_eq!(split("a", &options(10, 5)), Err(OptionsError::BadOverlapChars(5)));
    }

    #[test]
    fn long_hostile_text_takes_linear_time() {
        for piece in [
            "a", "a ", ". ", "\n", "# \n", "```\n", "-\n", "\" ", "a\n-\n", "---\n", "~~~ `\n",
        ] {
            let started = std::time::Instant::now();
            split(&piece.repeat(1_000_000 / piece.len()), &options(100, 10)).unwrap();
            assert!(started.elapsed().as_secs() < 120, "{piece:?}");
        }
    }

    fn texts_of_all_kinds() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            "[a-z .!\n#`ü]{0,30}",
            "(# |## |```\n|~~~\n|\n\n|===\n|---\n|- |。|\r\n)",
            any::<String>()
        ];
        prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn chunks_cover_everything_but_white_space_in_order_within_the_limit(
            text in texts_of_all_kinds(),
            max in 1..80_u32,
            share in 0..50_u32,
        ) {
            let overlap = (max * share / 100).min(max.saturating_sub(1) / 2);
            let chunks = split(&text, &options(max, overlap)).unwrap();
            for section in sections(&text, Format::Markdown) {
                for fence in section.fences.into_iter().filter(|fence| text[fence.clone()].chars().count() <= max as usize) {
                    let whole = text[fence.clone()].trim();
                    prop_assert!(chunks.iter().any(|chunk| chunk.text.contains(whole)), "{:?} is split", whole);
                }
            }
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
