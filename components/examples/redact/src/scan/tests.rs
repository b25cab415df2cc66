use super::*;
use proptest::prelude::*;

fn found(text: &str) -> Vec<(Kind, &str)> {
    scrub(text).findings.iter().map(|finding| (finding.kind, &text[finding.start..finding.end])).collect()
}

fn alone(kind: Kind, secret: &str) {
    for (before, after) in [("", ""), ("a ", " b"), ("\"", "\""), ("(", ")"), ("k=", ","), ("ü ", "."), ("\\n", "\\n")] {
        assert_eq!(found(&format!("{before}{secret}{after}")), [(kind, secret)], "{before}{secret}{after}");
    }
}

#[test]
fn addresses_are_found_wherever_they_stand() {
    for address in ["ann@example.com", "a.b+c@sub.example.co.uk", "x_y@e-x.org", "1@a.io"] {
        alone(Kind::Email, address);
    }
    assert_eq!(found("<ann@example.com>, bob@example.org."), [(Kind::Email, "ann@example.com"), (Kind::Email, "bob@example.org")]);
    for other in ["@rust", "a@b", "a@b.1", "user@localhost", "x@@y.com", "npm i @scope/pkg@1.2.3", "a.@b.com", "a@.com"] {
        assert_eq!(found(other), [], "{other}");
    }
}

#[test]
fn cards_need_an_issuer_a_length_and_a_check_digit() {
    for card in [
        "4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "5555555555554444", "378282246310005",
        "3782 822463 10005", "6011111111111117", "30569309025904", "2223003122003222", "6200000000000005",
    ] {
        alone(Kind::PaymentCard, card);
    }
    for other in [
        "4111111111111112", "1234567890123456", "41111111111111111111111", "0.4111111111111111", "4111111111111111.5",
        "a4111111111111111", "4111111111111111x", "4444444444444444444444", "4111  1111 1111 1111", "1-4111111111111111",
    ] {
        assert_eq!(found(other), [], "{other}");
    }
}

#[test]
fn ibans_need_their_countrys_length_and_check_digits() {
    for iban in ["DE89370400440532013000", "DE89 3704 0044 0532 0130 00", "GB29NWBK60161331926819", "NO9386011117947"] {
        alone(Kind::Iban, iban);
    }
    for other in ["DE89370400440532013001", "DE8937040044053201300", "XX89370400440532013000", "de89370400440532013000"] {
        assert_eq!(found(other), [], "{other}");
    }
}

#[test]
fn keys_are_known_by_their_prefix_and_length() {
    let letters = "aB3".repeat(30);
    for key in [
        "AKIAIOSFODNN7EXAMPLE".to_string(), "ASIAIOSFODNN7EXAMPLE".into(), format!("AIza{}", &letters[..35]),
        format!("ghp_{}", &letters[..36]), format!("github_pat_{}", &letters[..60]), format!("xoxb-{}", &letters[..24]),
        format!("sk_live_{}", &letters[..24]), format!("sk-{}", &letters[..48]), format!("sk-ant-api03-{}", &letters[..60]),
        format!("hf_{}", &letters[..34]),
    ] {
        alone(Kind::CloudKey, &key);
    }
    for other in ["AKIA", "AKIAIOSFODNN7EXAMPL", "AKIAIOSFODNN7EXAMPLEX", "ghp_short", "sk-learn", "sk-", "hf_hub", "xAKIAIOSFODNN7EXAMPLE"] {
        assert_eq!(found(other), [], "{other}");
    }
}

#[test]
fn private_keys_are_found_with_any_line_ends_and_also_when_cut_off() {
    let pem = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEG\nCCqGSM49AwEHBG0wawIBAQQg\n-----END PRIVATE KEY-----";
    alone(Kind::PrivateKey, pem);
    alone(Kind::PrivateKey, &pem.replace('\n', "\\n"));
    alone(Kind::PrivateKey, &pem.replace("PRIVATE", "RSA PRIVATE"));
    let cut = found(&pem[..60]);
    assert_eq!(cut.len(), 1);
    assert!(cut[0].1.len() >= 59, "{cut:?}");
    assert_eq!(found(&pem.replace("PRIVATE", "PUBLIC")), []);
}

#[test]
fn bearer_tokens_keep_their_word_and_web_tokens_are_found_without_it() {
    let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U";
    alone(Kind::BearerToken, jwt);
    assert_eq!(found(&format!("Authorization: Bearer {jwt}")), [(Kind::BearerToken, jwt)]);
    assert_eq!(found(r#"{"authorization":"bearer 0123456789abcdef0123"}"#), [(Kind::BearerToken, "0123456789abcdef0123")]);
    for prose in ["the bearer of this letter is honest", "bearer tokens", "Bearer authenticationsystems are", "eyJust.asking.me"] {
        assert_eq!(found(prose), [], "{prose}");
    }
}

#[test]
fn ids_times_and_hashes_are_left_alone() {
    for text in [
        "1763712345678901234", "2026-11-21T07:55:47.123456Z", "019a3f2e-7c1b-7def-8a90-0123456789ab", "3.141592653589793238",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "+49 170 1234567", "sha256:4111", "v1.2.3",
    ] {
        assert_eq!(found(text), [], "{text}");
    }
}

#[test]
fn real_telemetry_has_no_findings_and_stays_what_it_was() {
    let text = include_str!("../../../../../tests/data/llm-stream.jsonl");
    let redaction = scrub(text);
    let shown: Vec<_> = redaction.findings.iter().map(|f| &text[f.start..f.end]).collect();
    assert!(shown.is_empty(), "{shown:?}");
    assert_eq!(redaction.text, text);
}

#[test]
fn hostile_text_takes_linear_time() {
    for piece in ["@", "a@", "a@a.", "eyJ", "eyJeyJaa.", "-----BEGIN PRIVATE KEY-----", "4111 ", "Bearer ", "DE89 ", "sk-", "-"] {
        let started = std::time::Instant::now();
        scrub(&piece.repeat(2_000_000 / piece.len()));
        // Linear takes some tens of milliseconds; quadratic takes hours.
        assert!(started.elapsed().as_secs() < 20, "{piece}");
    }
}

/// Text in which secrets and near-secrets are likely.
fn texts() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<String>(),
        "[a-z@. ]{0,20}",
        "[0-9 -]{0,24}",
        Just("ann@example.com".to_string()),
        Just("4111 1111 1111 1111".to_string()),
        Just("DE89370400440532013000".to_string()),
        Just("AKIAIOSFODNN7EXAMPLE".to_string()),
        Just("Bearer 0123456789abcdef".to_string()),
        Just("-----BEGIN PRIVATE KEY-----\nMIGHAgEA\n".to_string()),
        Just("\\n".to_string()),
        Just("\"".to_string()),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn spans_are_in_order_apart_and_on_character_borders(text in texts()) {
        let redaction = scrub(&text);
        let mut last = 0;
        for finding in &redaction.findings {
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
            rest = rest.strip_prefix(&text[at..finding.start]).unwrap().strip_prefix(finding.kind.mark()).unwrap();
            at = finding.end;
        }
        prop_assert_eq!(rest, &text[at..]);
    }

    #[test]
    fn json_stays_json(texts in proptest::collection::vec(texts(), 0..4)) {
        let json = serde_json::to_string(&texts).unwrap();
        let scrubbed = scrub(&json).text;
        let parsed: Result<Vec<String>, _> = serde_json::from_str(&scrubbed);
        prop_assert_eq!(parsed.map(|list| list.len()).ok(), Some(texts.len()), "{}", scrubbed);
    }
}
