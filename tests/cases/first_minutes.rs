//! What a newcomer types in the first ten minutes.

use kinetic_testkit::guests::root;
use kinetic_testkit::host::{Host, kinetic_in};
use serde_json::{Value, json};

const REDACT: &str = "urn:kinetic:actionspace:solver:redact:v1";

#[test]
fn a_fresh_host_serves_the_four_examples() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start_in(folder.path(), &[]);
    let urns: Vec<_> = host.announced["capsules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["urn"].clone())
        .collect();
    for name in ["redact", "chunk", "profile", "fetch"] {
        assert!(
            urns.iter()
                .any(|urn| urn.as_str().unwrap().contains(&format!(":{name}:v1"))),
            "{name}: {urns:?}"
        );
    }
    assert_eq!(host.announced["refused"], json!([]));
    assert_eq!(host.get("/healthz").status, 200);
    assert_eq!(host.get("/readyz").status, 200);
}

#[test]
fn redact_answers_real_results_on_real_input_with_what_it_consumed() {
    let host = Host::start();
    let file = root().join("tests/data/llm-stream.jsonl");
    let said = host
        .kinetic(&["call", REDACT, "--file", file.to_str().unwrap()])
        .fine()
        .json();
    assert_eq!(said["success"], json!(true));
    let text = said["output"]["text"].as_str().unwrap();
    let original = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count(), original.lines().count());
    assert!(
        text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()),
        "each line is still JSON"
    );
    let usage = &said["telemetry"];
    assert_eq!(usage["input_bytes"], json!(original.len()));
    for consumed in [
        "fuel",
        "peak_memory_bytes",
        "guest_time_ns",
        "wall_time_ns",
        "output_bytes",
        "latency_ns",
    ] {
        assert!(
            usage[consumed].as_u64().is_some_and(|value| value > 0),
            "{consumed}: {usage:#}"
        );
    }
}

#[test]
fn redact_finds_what_is_secret_where_it_is() {
    let host = Host::start();
    let text = "mail ann@example.com or pay 4111 1111 1111 1111";
    let said = host
        .kinetic(&["call", REDACT, "--arg", &format!("text={text}")])
        .fine()
        .json();
    let findings = said["output"]["findings"].as_array().unwrap();
    let spans: Vec<_> = findings
        .iter()
        .map(|finding| {
            let (start, end) = (
                finding["start"].as_u64().unwrap() as usize,
                finding["end"].as_u64().unwrap() as usize,
            );
            (finding["kind"].as_str().unwrap(), &text[start..end])
        })
        .collect();
    assert_eq!(
        spans,
        [("email", "ann@example.com"), ("payment-card", "4111 1111 1111 1111")]
    );
    let scrubbed = said["output"]["text"].as_str().unwrap();
    assert!(!scrubbed.contains("ann@") && !scrubbed.contains("4111"), "{scrubbed}");
}

#[test]
fn a_call_needs_no_running_host_when_a_data_folder_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let args = [
        "--output",
        "json",
        "--data",
        "data",
        "call",
        REDACT,
        "--arg",
        "text=ann@example.com",
    ];
    let said = kinetic_in(folder.path(), &[], &args).fine().json();
    assert_eq!(said["output"]["findings"][0]["kind"], json!("email"));
}

#[test]
fn list_and_inspect_show_every_function_with_its_description() {
    let host = Host::start();
    let list = host.kinetic(&["list"]).fine().json().to_string();
    assert!(list.contains(REDACT), "{list}");
    let inspected = host.kinetic(&["inspect", REDACT]).fine().json().to_string();
    for word in ["scrub", "func(text: string) -> redaction", "UTF-8", "digest", "fuel"] {
        assert!(inspected.contains(word), "{word}: {inspected}");
    }
}

#[test]
fn the_default_configuration_is_a_manual_that_parses_back() {
    let folder = tempfile::tempdir().unwrap();
    let manual = kinetic_in(folder.path(), &[], &["config", "default"]).fine().stdout;
    assert!(
        manual.lines().filter(|line| line.starts_with('#')).count() > 20,
        "{manual}"
    );
    std::fs::write(folder.path().join("kinetic.toml"), &manual).unwrap();
    kinetic_in(folder.path(), &[], &["config", "show"]).fine();
    std::fs::write(
        folder.path().join("kinetic.toml"),
        manual.replacen("\nlisten", "\nlisen", 1),
    )
    .unwrap();
    let refused = kinetic_in(folder.path(), &[], &["--output", "json", "config", "show"]);
    assert!(refused.code().starts_with("KIN-CLI-"), "{refused:?}");
    assert!(
        refused.stdout.contains("listen"),
        "it names the nearest key: {refused:?}"
    );
    let refused = kinetic_in(
        folder.path(),
        &[("KINETIC_HOST__LISEN", "x")],
        &["--output", "json", "config", "show"],
    );
    refused.code();
}

#[test]
fn doctor_completions_errors_and_help_answer() {
    let host = Host::start();
    let doctor = host.kinetic(&["doctor"]);
    assert!(doctor.json().to_string().contains("ticker"), "{doctor:?}");
    for shell in ["bash", "zsh", "fish"] {
        let folder = tempfile::tempdir().unwrap();
        assert!(
            kinetic_in(folder.path(), &[], &["completions", shell])
                .fine()
                .stdout
                .contains("inspect")
        );
    }
    let errors = host.kinetic(&["errors"]).fine().json().to_string();
    assert!(
        errors.contains("KIN-ENG-0014") && errors.contains("KIN-GWY-"),
        "{errors}"
    );
    let help = kinetic_in(&host.folder, &[], &["help"]).fine().stdout;
    for command in [
        "up", "call", "list", "inspect", "new", "build", "publish", "keys", "doctor", "config", "mcp",
    ] {
        assert!(help.contains(command), "{command}: {help}");
    }
}

#[test]
fn mistakes_on_the_command_line_say_what_to_do() {
    let host = Host::start();
    let missing = host.kinetic(&["call", "urn:kinetic:actionspace:solver:nobody:v1"]);
    assert_eq!(missing.status, 3);
    missing.code();
    let wrong = host.kinetic(&["call", "redact"]);
    assert!(
        wrong.code().starts_with("KIN-MOD-") || wrong.code().starts_with("KIN-CLI-"),
        "{wrong:?}"
    );
    let argument = host.kinetic(&["call", REDACT, "--arg", "txt=a"]);
    assert!(
        argument.stdout.contains("text"),
        "it names the parameter there is: {argument:?}"
    );
    let nobody = kinetic_in(
        &host.folder,
        &[],
        &["--output", "json", "--host", "http://127.0.0.1:1", "list"],
    );
    assert!(nobody.code().starts_with("KIN-"), "{nobody:?}");
}
