//! What is found and what is left alone, kind by kind.

use super::*;

fn found(text: &str) -> Vec<(Kind, &str)> {
    scrub(text)
        .findings
        .iter()
        .map(|finding| (finding.kind, &text[finding.start..finding.end]))
        .collect()
}

fn alone(kind: Kind, secret: &str) {
    for (before, after) in [
        ("", ""),
        ("a ", " b"),
        ("\"", "\""),
        ("(", ")"),
        ("k=", ","),
        ("ü ", "."),
        ("\\n", "\\n"),
        ("“", "”"),
        ("：", "。"),
        ("\\u201c", "\\u201d"),
    ] {
        assert_eq!(
            found(&format!("{before}{secret}{after}")),
            [(kind, secret)],
            "{before}{secret}{after}"
        );
    }
}

#[test]
fn addresses_are_found_wherever_they_stand() {
    for address in [
        "ann@example.com",
        "a.b+c@sub.example.co.uk",
        "x_y@e-x.org",
        "1@a.io",
        "a@163.com",
        "a@b.example-shop.de",
        "a@example.xn--p1ai",
    ] {
        alone(Kind::Email, address);
    }
    assert_eq!(
        found("<ann@example.com>, bob@example.org."),
        [(Kind::Email, "ann@example.com"), (Kind::Email, "bob@example.org")]
    );
    // The label that begins with `com` is longer than any may be, but what follows the hyphen becomes a mark.
    let key = format!("AIza{}{}", "aB3".repeat(12), "4".repeat(30));
    assert_eq!(
        found(&format!("ann@example.com-{key}")).first(),
        Some(&(Kind::Email, "ann@example.com"))
    );
    for other in [
        "@rust",
        "a@b",
        "a@b.1",
        "user@localhost",
        "x@@y.com",
        "npm i @scope/pkg@1.2.3",
        "a.@b.com",
        "a@.com",
        "react@18.0.0-rc.next",
    ] {
        assert_eq!(found(other), [], "{other}");
    }
}

#[test]
fn cards_need_an_issuer_a_length_and_a_check_digit() {
    for card in [
        "4111111111111111",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "5555555555554444",
        "378282246310005",
        "3782 822463 10005",
        "6011111111111117",
        "30569309025904",
        "2223003122003222",
        "6200000000000005",
        "36227206271667",
        "3530111333300000",
        "6011000991300009",
    ] {
        alone(Kind::PaymentCard, card);
    }
    for other in [
        "4111111111111112",
        "1234567890123456",
        "41111111111111111111111",
        "0.4111111111111111",
        "4111111111111111.5",
        "411111111111111-1",
        "a4111111111111111",
        "4111111111111111x",
        "4444444444444444444444",
        "4111  1111 1111 1111",
        "1-4111111111111111",
    ] {
        assert_eq!(found(other), [], "{other}");
    }
}

#[test]
fn a_card_is_found_beside_other_numbers() {
    for text in [
        "17,4111111111111111,12/27",
        "4111111111111111 123",
        "4111 1111 1111 1111 123",
        "4111 1111 1111 1111 2027",
        "4111-1111-1111-1111-123",
    ] {
        assert_eq!(found(text).len(), 1, "{text}");
    }
    assert_eq!(found("4111 1111 1111 1111 5555 5555 5555 4444").len(), 2);
    assert_eq!(
        found("4111111111111111@example.com"),
        [(Kind::Email, "4111111111111111@example.com")]
    );
}

#[test]
fn ibans_need_their_countrys_length_and_check_digits() {
    for iban in [
        "DE89370400440532013000",
        "DE89 3704 0044 0532 0130 00",
        "GB29NWBK60161331926819",
        "NO9386011117947",
    ] {
        alone(Kind::Iban, iban);
    }
    for other in [
        "DE89370400440532013001",
        "DE8937040044053201300",
        "XX89370400440532013000",
        "de89370400440532013000",
    ] {
        assert_eq!(found(other), [], "{other}");
    }
}

#[test]
fn keys_are_known_by_their_prefix_and_length() {
    let letters = "aB3".repeat(30);
    for key in [
        "AKIAIOSFODNN7EXAMPLE".to_string(),
        "ASIAIOSFODNN7EXAMPLE".into(),
        format!("AIza{}", &letters[..35]),
        format!("ghp_{}", &letters[..36]),
        format!("github_pat_{}", &letters[..60]),
        format!("xoxb-{}", &letters[..24]),
        format!("sk_live_{}", &letters[..24]),
        format!("sk-{}", &letters[..48]),
        format!("sk-ant-api03-{}", &letters[..60]),
        format!("hf_{}", &letters[..34]),
        format!("SG.{}.{}", &letters[..22], &letters[..43]),
        format!("ya29.{letters}"),
        format!("sk-proj-{}_{}", &letters[..40], &letters[..40]),
        format!("AIza{letters}"),
    ] {
        alone(Kind::CloudKey, &key);
    }
    for other in [
        "AKIA",
        "AKIAIOSFODNN7EXAMPL",
        "AKIAIOSFODNN7EXAMPLEX",
        "ghp_short",
        "sk-learn",
        "sk-",
        "hf_hub",
        "xAKIAIOSFODNN7EXAMPLE",
    ] {
        assert_eq!(found(other), [], "{other}");
    }
}

#[test]
fn private_keys_are_found_with_any_line_ends_and_also_when_cut_off() {
    let pem =
        "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEG\nCCqGSM49AwEHBG0wawIBAQQg\n-----END PRIVATE KEY-----";
    alone(Kind::PrivateKey, pem);
    alone(Kind::PrivateKey, &pem.replace('\n', "\\n"));
    alone(Kind::PrivateKey, &pem.replace("PRIVATE", "RSA PRIVATE"));
    let cut = found(&pem[..60]);
    assert_eq!(cut.len(), 1);
    assert!(cut[0].1.len() >= 59, "{cut:?}");
    assert_eq!(found(&pem.replace("PRIVATE", "PUBLIC")), []);
    let pgp = "-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: GnuPG v2.4 (Linux)\n\nlQOYBFab\n=abcd\n-----END PGP PRIVATE KEY BLOCK-----";
    alone(Kind::PrivateKey, pgp);
    assert_eq!(found(&format!("{pem}\n{pem}")).len(), 2);
}

#[test]
fn bearer_tokens_keep_their_word_and_web_tokens_are_found_without_it() {
    let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U";
    alone(Kind::BearerToken, jwt);
    assert_eq!(
        found(&format!("Authorization: Bearer {jwt}")),
        [(Kind::BearerToken, jwt)]
    );
    assert_eq!(
        found(r#"{"authorization":"bearer 0123456789abcdef0123"}"#),
        [(Kind::BearerToken, "0123456789abcdef0123")]
    );
    assert_eq!(found("Authorization: Bearer abc"), [(Kind::BearerToken, "abc")]);
    assert_eq!(
        found(r#"{"Authorization": "Bearer abc\/d="}"#),
        [(Kind::BearerToken, r"abc\/d=")]
    );
    alone(
        Kind::BearerToken,
        "eyJhbGciOiJSU0EtT0FFUCJ9.OKOawDo13gRp2ojaHV7LFpZcgV7T.48V1_ALb6US04U3b.5eym8TW_c8SuK0lt.XFBoMYUZodet",
    );
    for prose in [
        "an authorization bearer is",
        "the bearer of this letter is honest",
        "bearer tokens",
        "Bearer authenticationsystems are",
        "eyJust.asking.me",
    ] {
        assert_eq!(found(prose), [], "{prose}");
    }
}

#[test]
fn ids_times_and_hashes_are_left_alone() {
    for text in [
        "1763712345678901234",
        "2026-11-21T07:55:47.123456Z",
        "019a3f2e-7c1b-7def-8a90-0123456789ab",
        "3.141592653589793238",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "+49 170 1234567",
        "sha256:4111",
        "v1.2.3",
    ] {
        assert_eq!(found(text), [], "{text}");
    }
}

#[test]
fn a_number_in_json_is_replaced_by_a_string() {
    for (json, scrubbed) in [
        (
            r#"{"card":4111111111111111,"x":"4111111111111111"}"#,
            r#"{"card":"[payment-card]","x":"[payment-card]"}"#,
        ),
        (
            "[4111111111111111, -4111111111111111, 1E-4111111111111111]",
            r#"["[payment-card]", -4111111111111111, 1E-4111111111111111]"#,
        ),
        (
            "{\"a\":\"\\\\\"}\n[4111111111111111]\n",
            "{\"a\":\"\\\\\"}\n[\"[payment-card]\"]\n",
        ),
    ] {
        assert_eq!(scrub(json).text, scrubbed);
        assert!(
            json.lines()
                .chain(scrubbed.lines())
                .all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok())
        );
    }
    assert_eq!(scrub("card 4111111111111111").text, "card [payment-card]");
}

#[test]
fn a_log_line_that_begins_with_a_bracket_is_text() {
    let key = "AKIAIOSFODNN7EXAMPLE";
    assert_eq!(scrub("[INFO] mail ann@example.com").text, "[INFO] mail [email]");
    assert_eq!(scrub(&format!("[INFO] id -{key}")).text, "[INFO] id -[cloud-key]");
    assert_eq!(
        scrub("[INFO] card -4111 1111 1111 1111").text,
        "[INFO] card -[payment-card]"
    );
    assert_eq!(
        scrub("[x] ------BEGIN PRIVATE KEY-----\nMIGH").text,
        "[x] -[private-key]"
    );
    assert_eq!(scrub("{\"a\": 1} -ann@example.com").text, "{\"a\": 1} -[email]");
}

#[test]
fn the_exponent_of_a_number_is_no_card() {
    for number in [
        "1e4111111111111111",
        "1e+4111111111111111",
        "[1E-4111111111111111]",
        "[4111111111111111e5]",
    ] {
        assert_eq!(scrub(number).text, number);
    }
}

#[test]
fn a_backslash_keeps_the_letter_that_makes_it_an_escape() {
    let key = "a1".repeat(20);
    assert_eq!(scrub(&format!(r"\npm_{key}")).text, r"\n[cloud-key]");
    assert_eq!(scrub(&format!(r"\\npm_{key}")).text, r"\\[cloud-key]");
    assert_eq!(scrub(r"\u00e4ann@example.com").text, r"\u00e4[email]");
    assert_eq!(scrub(r"\nann@example.com").text, r"\n[email]");
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
    for piece in [
        "@",
        "a@",
        "a@a.",
        "eyJ",
        "eyJeyJaa.",
        "-----BEGIN PRIVATE KEY-----",
        "4111 ",
        "Bearer ",
        "DE89 ",
        "sk-",
        "-",
        "eyJaaaaaaaaaaaa.",
        "eyJ-",
        "\\",
        "\\n",
        "ya29.",
        "-----BEGIN PRIVATE KEY-----.",
        "4111-",
        "1@1.",
        "Bearer  ",
        "{\"",
        "\\u00e4",
    ] {
        let started = std::time::Instant::now();
        scrub(&piece.repeat(2_000_000 / piece.len()));
        // Linear takes some tens of milliseconds; quadratic takes hours.
        assert!(started.elapsed().as_secs() < 120, "{piece}");
    }
}

#[test]
fn real_telemetry_with_planted_secrets_loses_them_and_stays_json() {
    let secrets = [
        "ann@example.com",
        "4111 1111 1111 1111",
        "DE89 3704 0044 0532 0130 00",
        "AKIAIOSFODNN7EXAMPLE",
        r"-----BEGIN PRIVATE KEY-----\\nMIGHAgEA\\n-----END PRIVATE KEY-----\\n",
        "Bearer 0123456789abcdef",
    ];
    // Each line holds a JSON document as a string of a JSON document.
    let field = r#"\"content\":\""#;
    let lines = include_str!("../../../../../tests/data/llm-stream.jsonl")
        .lines()
        .filter(|line| line.contains(field));
    for (line, secret) in lines.zip(secrets.iter().cycle()) {
        let planted = line.replacen(field, &format!("{field}{secret} "), 1);
        let redaction = scrub(&planted);
        assert_eq!(redaction.findings.len(), 1, "{planted}");
        let outer: serde_json::Value = serde_json::from_str(&redaction.text).unwrap();
        let inner = outer["data"].as_str().unwrap();
        let inner: serde_json::Value = serde_json::from_str(inner).unwrap();
        assert!(inner["choices"].is_array());
    }
}
