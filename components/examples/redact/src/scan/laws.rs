//! What holds for every text.

use super::*;
use proptest::prelude::*;
use serde_json::Value;

/// Text in which secrets, near-secrets, and two of them side by side are likely.
fn texts() -> impl Strategy<Value = String> {
    let secrets = [
        "ann@example.com",
        "4111 1111 1111 1111",
        "4111111111111111",
        "378282246310005",
        "DE89370400440532013000",
        "GB29 NWBK 6016 1331 9268 19",
        "AKIAIOSFODNN7EXAMPLE",
        "AIzaaB3aB3aB3aB3aB3aB3aB3aB3aB3aB3aB3aB",
        "ya29.aB3aB3aB3aB3aB3aB3aB3aB3",
        "npm_aB3aB3aB3aB3aB3aB3aB3aB3aB3aB3aB3aB3",
        "Bearer 0123456789abcdef",
        "authorization: Bearer ",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3",
        "eyJhbGciOiJIUzI1NiJ9.",
        "-----BEGIN PRIVATE KEY-----",
        "-----END PRIVATE KEY-----",
        "MIGHAgEA",
        "\\n",
        "\\u00e4",
        "\\\\",
    ];
    let piece = prop_oneof![
        2 => any::<String>(),
        2 => "[a-z@. ]{0,20}",
        2 => "[0-9 -]{0,24}",
        3 => "[-. @_:\"\\\\/,\\[{n]{1,2}",
        12 => prop::sample::select(secrets.to_vec()).prop_map(str::to_string),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn documents() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        Just(4_111_111_111_111_111_i64),
        Just(-4_111_111_111_111_111_i64),
        Just(378_282_246_310_005),
        any::<i64>()
    ];
    let leaf = prop_oneof![
        texts().prop_map(Value::from),
        number.prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    let inner = leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(texts(), inner, 0..4).prop_map(|map| map.into_iter().collect()),
        ]
    });
    prop::collection::vec(inner, 0..4).prop_map(Value::from)
}

/// The same document with every escape that writers use: `\u00e4` for `ä`, `\/` for `/`.
fn escaped(json: &str) -> String {
    let mut out = String::new();
    for char in json.chars() {
        if char.is_ascii() {
            out.push_str(if char == '/' { "\\/" } else { "" });
            out.extend((char != '/').then_some(char));
        } else {
            out.extend(
                char.encode_utf16(&mut [0; 2])
                    .iter()
                    .map(|unit| format!("\\u{unit:04x}")),
            );
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_second_pass_finds_nothing(text in texts()) {
        let once = scrub(&text).text;
        let twice = scrub(&once);
        prop_assert_eq!(twice.findings, [], "{:?} became {:?}", text, once);
    }

    #[test]
    fn spans_are_in_order_apart_and_on_character_borders(text in texts()) {
        let mut last = 0;
        for finding in scrub(&text).findings {
            prop_assert!(finding.start >= last && finding.start < finding.end && finding.end <= text.len());
            prop_assert!(text.is_char_boundary(finding.start) && text.is_char_boundary(finding.end));
            last = finding.end;
        }
    }

    #[test]
    fn what_is_outside_the_spans_is_unchanged(text in texts()) {
        let redaction = scrub(&text);
        let (mut rest, mut at) = (redaction.text.as_str(), 0);
        for finding in &redaction.findings {
            rest = rest.strip_prefix(&text[at..finding.start]).unwrap();
            let quoted = format!("\"{}\"", finding.kind.mark());
            rest = rest.strip_prefix(&quoted).or_else(|| rest.strip_prefix(finding.kind.mark())).unwrap();
            at = finding.end;
        }
        prop_assert_eq!(rest, &text[at..]);
    }

    #[test]
    fn json_stays_json(document in documents()) {
        let json = document.to_string();
        for text in [escaped(&json), serde_json::to_string_pretty(&document).unwrap(), json] {
            prop_assert!(serde_json::from_str::<Value>(&text).is_ok());
            let scrubbed = scrub(&text).text;
            prop_assert!(serde_json::from_str::<Value>(&scrubbed).is_ok(), "{} became {}", text, scrubbed);
        }
    }
}
