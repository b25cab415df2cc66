//! MCP with the official Python client, over HTTP and standard streams.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use kinetic_identity::SigningKey;
use kinetic_testkit::author::{manifest, publication};
use kinetic_testkit::guests::{self, root};
use kinetic_testkit::host::{Host, binary};
use serde_json::{Value, json};

/// The interpreter that has the client; `make test` installs it and says where.
fn python() -> PathBuf {
    let python =
        std::env::var_os("MCP_PYTHON").map_or_else(|| guests::target().join("servers/mcp/bin/python"), PathBuf::from);
    assert!(
        python.exists(),
        "the MCP client is not installed; run `make test`, which installs it"
    );
    python
}

fn client(args: &[&str]) -> Command {
    let mut command = Command::new(python());
    command
        .arg(root().join("tests/python/mcp_client.py"))
        .args(["--timeout", "120"])
        .args(args);
    command
}

fn said(mut command: Command) -> Value {
    let output = command.output().unwrap();
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{stdout} {stderr}");
    serde_json::from_str(stdout.trim()).unwrap_or_else(|e| panic!("{e}: {stdout} {stderr}"))
}

fn names(said: &Value) -> Vec<&str> {
    said["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect()
}

#[test]
fn every_function_of_every_capsule_is_a_tool_with_schema_and_description() {
    let host = Host::start();
    let said = said(client(&[
        &format!("{}/mcp", host.url),
        "--tool",
        "redact.scrub",
        "--args",
        r#"{"text": "ann@example.com"}"#,
    ]));
    for name in ["redact.scrub", "chunk.split", "profile.describe", "fetch.get"] {
        assert!(names(&said).contains(&name), "{name}: {:?}", names(&said));
    }
    let scrub = said["tools"]
        .as_array()
        .unwrap()
        .iter()
        .find(|tool| tool["name"] == "redact.scrub")
        .unwrap();
    assert_eq!(scrub["inputSchema"]["required"], json!(["text"]));
    assert!(scrub["description"].as_str().unwrap().len() > 20, "{scrub:#}");
    assert_eq!(said["result"]["isError"], json!(false), "{said:#}");
    assert_eq!(
        said["result"]["structuredContent"]["findings"][0]["kind"],
        json!("email"),
        "{said:#}"
    );
}

#[test]
fn a_failing_call_is_a_tool_error_with_the_stable_code() {
    let host = Host::start();
    let said = said(client(&[
        &format!("{}/mcp", host.url),
        "--tool",
        "redact.scrub",
        "--args",
        r#"{"text": 1}"#,
    ]));
    assert_eq!(said["result"]["isError"], json!(true), "{said:#}");
    assert!(said["result"].to_string().contains("KIN-ENG-0012"), "{said:#}");
}

#[test]
fn a_new_capsule_is_announced_to_connected_clients() {
    let host = Host::start();
    let key = SigningKey::generate().unwrap();
    host.kinetic(&["--data", "data", "keys", "trust", "tests", &key.public().to_string()])
        .fine();
    let mut command = client(&[&format!("{}/mcp", host.url), "--expect-list-changed"]);
    let mut waiting = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(waiting.stderr.take().unwrap()).lines();
    while !said
        .next()
        .expect("the client ended before it listened")
        .unwrap()
        .contains("listening")
    {}
    let body = publication(&manifest("echo", "1.0.0"), &guests::rust("echo"), &key);
    assert_eq!(host.post("/api/v1/registry/capabilities/publish", &body).status, 201);
    let output = waiting.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(names(&said).contains(&"echo.text-back"), "{said:#}");
}

#[test]
fn standard_streams_work_without_a_running_host() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut command = client(&[
        "--tool",
        "redact.scrub",
        "--args",
        r#"{"text": "ann@example.com"}"#,
        "--stdio",
    ]);
    command
        .arg(binary())
        .args(["mcp", "--data"])
        .arg(data)
        .env("HOME", folder.path());
    let said = said(command);
    assert!(names(&said).contains(&"redact.scrub"));
    assert_eq!(
        said["result"]["structuredContent"]["findings"][0]["kind"],
        json!("email"),
        "{said:#}"
    );
}
