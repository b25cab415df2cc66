//! Character references of HTML: the numeric ones and the names that occur in practice.

use std::borrow::Cow;

/// The names of U+00A0 to U+00FF, in their order.
const LATIN_1: [&str; 96] = [
    "nbsp", "iexcl", "cent", "pound", "curren", "yen", "brvbar", "sect", "uml", "copy", "ordf", "laquo", "not", "shy",
    "reg", "macr", "deg", "plusmn", "sup2", "sup3", "acute", "micro", "para", "middot", "cedil", "sup1", "ordm",
    "raquo", "frac14", "frac12", "frac34", "iquest", "Agrave", "Aacute", "Acirc", "Atilde", "Auml", "Aring", "AElig",
    "Ccedil", "Egrave", "Eacute", "Ecirc", "Euml", "Igrave", "Iacute", "Icirc", "Iuml", "ETH", "Ntilde", "Ograve",
    "Oacute", "Ocirc", "Otilde", "Ouml", "times", "Oslash", "Ugrave", "Uacute", "Ucirc", "Uuml", "Yacute", "THORN",
    "szlig", "agrave", "aacute", "acirc", "atilde", "auml", "aring", "aelig", "ccedil", "egrave", "eacute", "ecirc",
    "euml", "igrave", "iacute", "icirc", "iuml", "eth", "ntilde", "ograve", "oacute", "ocirc", "otilde", "ouml",
    "divide", "oslash", "ugrave", "uacute", "ucirc", "uuml", "yacute", "thorn", "yuml",
];
/// Other names and what they stand for.
const NAMES: [(&str, char); 38] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("ensp", ' '),
    ("emsp", ' '),
    ("thinsp", ' '),
    ("zwnj", '\u{200c}'),
    ("zwj", '\u{200d}'),
    ("trade", '™'),
    ("hellip", '…'),
    ("mdash", '—'),
    ("ndash", '–'),
    ("minus", '−'),
    ("lsquo", '‘'),
    ("rsquo", '’'),
    ("sbquo", '‚'),
    ("ldquo", '“'),
    ("rdquo", '”'),
    ("bdquo", '„'),
    ("lsaquo", '‹'),
    ("rsaquo", '›'),
    ("bull", '•'),
    ("dagger", '†'),
    ("permil", '‰'),
    ("euro", '€'),
    ("larr", '←'),
    ("rarr", '→'),
    ("uarr", '↑'),
    ("darr", '↓'),
    ("le", '≤'),
    ("ge", '≥'),
    ("ne", '≠'),
    ("asymp", '≈'),
    ("infin", '∞'),
    ("OElig", 'Œ'),
    ("oelig", 'œ'),
];
/// What the numbers 128 to 159 mean: Windows' characters, as every browser reads them.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘', '’',
    '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];
/// The longest reference looked at, in bytes after the `&`.
const REFERENCE_BYTES_MAX: usize = 12;

/// The text with its references replaced; what is none stays as it is.
pub(crate) fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let end = after.bytes().take(REFERENCE_BYTES_MAX).position(|byte| byte == b';');
        let reference = end.and_then(|end| Some((after.get(..end)?, after.get(end + 1..)?)));
        if let Some((char, next)) = reference.and_then(|(name, next)| Some((meaning(name)?, next))) {
            out.push(char);
            rest = next;
        } else {
            out.push('&');
            rest = after;
        }
    }
    out.push_str(rest);
    out.into()
}

fn meaning(reference: &str) -> Option<char> {
    if let Some(number) = reference.strip_prefix('#') {
        return numbered(number);
    }
    let named = NAMES.iter().find(|(name, _)| *name == reference).map(|(_, char)| *char);
    let latin = || ('\u{a0}'..='\u{ff}').zip(LATIN_1).find(|(_, name)| *name == reference);
    named.or_else(|| latin().map(|(char, _)| char))
}

fn numbered(number: &str) -> Option<char> {
    let (digits, radix) = number.strip_prefix(['x', 'X']).map_or((number, 10), |hex| (hex, 16));
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    // What is no character, too large included, is replaced, as browsers do.
    let code = u32::from_str_radix(digits, radix).unwrap_or(u32::MAX);
    let windows = code
        .checked_sub(128)
        .and_then(|at| WINDOWS_1252.get(usize::try_from(at).ok()?))
        .copied();
    let char = windows.or_else(|| char::from_u32(code));
    Some(
        char.filter(|char| !char.is_control() || char.is_whitespace())
            .unwrap_or(char::REPLACEMENT_CHARACTER),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn references_become_characters() {
        assert_eq!(
            decoded("A &amp; B &lt;&#246;&#xFC;&Xi; &mdash;&yuml;&nbsp;&euro;"),
            "A & B <öü&Xi; —ÿ\u{a0}€"
        );
        assert_eq!(decoded("it&#146;s &#128; 5 &#8364;"), "it’s € 5 €");
    }

    #[test]
    fn what_is_no_reference_stays_and_what_is_no_character_is_replaced() {
        for same in [
            "R&D, a & b; &unknown; &#; &#x; &#12",
            "&",
            "&&&",
            "&#-1; &#x+1;",
            "&amp",
            "&aaaaaaaaaaaaaaaa;",
            "&ä;",
        ] {
            assert_eq!(decoded(same), same);
        }
        assert_eq!(decoded("&#0;&#x110000;&#xD800;&#7;&#99999999;"), "\u{fffd}".repeat(5));
    }

    #[test]
    fn a_reference_is_not_read_twice() {
        assert_eq!(decoded("&amp;lt;"), "&lt;");
    }

    proptest! {
        #[test]
        fn escaped_text_is_read_back(text in "\\PC{0,40}") {
            let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&#34;");
            prop_assert_eq!(decoded(&escaped), text);
        }

        #[test]
        fn text_only_gets_shorter(text in "(&#?x?[0-9a-z]{0,9};?|\\PC){0,20}") {
            prop_assert!(decoded(&text).len() <= text.len());
        }
    }
}
