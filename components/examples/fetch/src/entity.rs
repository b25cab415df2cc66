//! Character references of HTML: the numeric ones and the names that occur in practice.

/// Names and what they stand for.
const NAMES: &[(&str, &str)] = &[
    ("amp", "&"), ("lt", "<"), ("gt", ">"), ("quot", "\""), ("apos", "'"), ("nbsp", " "), ("ensp", " "), ("emsp", " "),
    ("thinsp", " "), ("shy", ""), ("zwnj", ""), ("zwj", ""), ("copy", "©"), ("reg", "®"), ("trade", "™"), ("hellip", "…"),
    ("mdash", "—"), ("ndash", "–"), ("lsquo", "‘"), ("rsquo", "’"), ("sbquo", "‚"), ("ldquo", "“"), ("rdquo", "”"),
    ("bdquo", "„"), ("laquo", "«"), ("raquo", "»"), ("bull", "•"), ("middot", "·"), ("deg", "°"), ("plusmn", "±"),
    ("times", "×"), ("divide", "÷"), ("frac12", "½"), ("frac14", "¼"), ("frac34", "¾"), ("euro", "€"), ("pound", "£"),
    ("yen", "¥"), ("cent", "¢"), ("sect", "§"), ("para", "¶"), ("larr", "←"), ("rarr", "→"), ("uarr", "↑"), ("darr", "↓"),
    ("le", "≤"), ("ge", "≥"), ("ne", "≠"), ("infin", "∞"), ("micro", "µ"), ("auml", "ä"), ("ouml", "ö"), ("uuml", "ü"),
    ("Auml", "Ä"), ("Ouml", "Ö"), ("Uuml", "Ü"), ("szlig", "ß"), ("eacute", "é"), ("egrave", "è"), ("ecirc", "ê"),
    ("agrave", "à"), ("aacute", "á"), ("acirc", "â"), ("ccedil", "ç"), ("ntilde", "ñ"), ("oacute", "ó"), ("iacute", "í"),
    ("uacute", "ú"), ("aring", "å"), ("aelig", "æ"), ("oslash", "ø"),
];
/// The longest reference looked at, in bytes after the `&`.
const REFERENCE_BYTES_MAX: usize = 12;

/// The text with its references replaced; what is none stays as it is.
pub(crate) fn decoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let after = from.get(1..).unwrap_or_default();
        let end = after.bytes().take(REFERENCE_BYTES_MAX).position(|byte| byte == b';');
        let reference = end.and_then(|end| after.get(..end));
        if let (Some(end), Some(meaning)) = (end, reference.and_then(meaning)) {
            out.push_str(&meaning);
            rest = after.get(end + 1..).unwrap_or_default();
        } else {
            out.push('&');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

fn meaning(reference: &str) -> Option<String> {
    let Some(number) = reference.strip_prefix('#') else {
        return NAMES.iter().find(|(name, _)| *name == reference).map(|(_, text)| (*text).to_string());
    };
    let code = match number.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => number.parse().ok()?,
    };
    let char = char::from_u32(code).filter(|c| *c != '\0' && (!c.is_control() || c.is_whitespace()));
    Some(char.unwrap_or('\u{fffd}').to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_become_characters_and_the_rest_stays() {
        assert_eq!(decoded("A &amp; B &lt;&#246;&#xFC;&gt; &mdash;"), "A & B <öü> —");
        assert_eq!(decoded("R&D, a & b; &unknown; &#; &#x110000; &"), "R&D, a & b; &unknown; &#; \u{fffd} &");
    }
}
