//! The HTTP API: validated at the door, one problem for every failure.

use kinetic_testkit::host::Host;
use serde_json::json;

const EXECUTE: &str = "/api/v1/capabilities/execute";
const REDACT: &str = "urn:kinetic:actionspace:solver:redact:v1";
const CHUNK: &str = "urn:kinetic:actionspace:solver:chunk:v1";

#[test]
fn execute_answers_output_logs_telemetry_and_the_hash_of_the_intent() {
    let host = Host::start();
    let answer = host
        .execute(REDACT, "scrub", json!({ "text": "ann@example.com" }))
        .json();
    assert_eq!(answer["success"], json!(true));
    assert_eq!(answer["logs"]["stdout"], json!(""));
    // SHA-256 of {"text":"ann@example.com"}
    let hash = kinetic_model::Digest::of(br#"{"text":"ann@example.com"}"#).to_string();
    assert!(hash.ends_with(answer["intent_hash"].as_str().unwrap()), "{answer:#}");
    assert_eq!(
        (&answer["capsule"]["urn"], &answer["capsule"]["generation"]),
        (&json!(REDACT), &json!(1))
    );
    // The only function need not be named.
    let same = host
        .post(
            EXECUTE,
            &json!({ "toolName": REDACT, "intent": { "text": "ann@example.com" } }),
        )
        .json();
    assert_eq!(same["output"], answer["output"]);
}

#[test]
fn the_hash_does_not_depend_on_the_order_of_members() {
    let host = Host::start();
    let hash = |body: &str| {
        let headers = [("content-type", "application/json")];
        host.send("POST", EXECUTE, &headers, body.to_string()).json()["intent_hash"].clone()
    };
    let one = hash(r#"{"toolName":"urn:kinetic:actionspace:solver:chunk:v1","intent":{"text":"a","options":{}}}"#);
    let two = hash(r#"{"intent":{"options":{}, "text":"a"},"toolName":"urn:kinetic:actionspace:solver:chunk:v1"}"#);
    assert_eq!(one, two);
    assert!(one.is_string());
}

#[test]
fn bytes_go_in_as_they_are() {
    let host = Host::start();
    let path = format!("/api/v1/capabilities/{REDACT}/execute");
    let reply = host.send(
        "POST",
        &path,
        &[("content-type", "application/octet-stream")],
        "ann@example.com",
    );
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.json()["output"]["findings"][0]["kind"], json!("email"));
}

#[test]
fn a_functions_own_error_is_an_answer() {
    let host = Host::start();
    let options = json!({ "max-chars": 0 });
    let reply = host.execute(CHUNK, "split", json!({ "text": "a", "options": options }));
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.json()["success"], json!(false));
}

#[test]
fn every_failure_is_a_problem_with_a_stable_code() {
    let host = Host::start();
    let json_type = [("content-type", "application/json")];
    let post = |body: &str| host.send("POST", EXECUTE, &json_type, body.to_string());
    let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    let cases = [
        (404, host.get("/nowhere")),
        (405, host.send("DELETE", EXECUTE, &[], "")),
        (415, host.send("POST", EXECUTE, &[("content-type", "text/plain")], "{}")),
        (400, post("{")),
        (400, post("[]")),
        (400, post(r#"{"toolName": "redact", "intent": {}}"#)),
        (
            400,
            post(&format!(r#"{{"toolName": "{REDACT}", "intent": {{}}, "sudo": true}}"#)),
        ),
        (
            400,
            post(&format!(
                r#"{{"toolName": "{REDACT}", "toolName": "{REDACT}", "intent": {{}}}}"#
            )),
        ),
        (
            400,
            post(&format!(r#"{{"toolName": "{REDACT}", "intent": {{"text": {deep}}}}}"#)),
        ),
        (400, host.execute(REDACT, "scrub", json!({}))),
        (400, host.execute(REDACT, "scrub", json!({ "text": 1 }))),
        (404, host.execute(REDACT, "no-such-function", json!({}))),
        (
            404,
            host.execute("urn:kinetic:actionspace:solver:nobody:v1", "f", json!({})),
        ),
        (
            413,
            post(&format!(
                r#"{{"toolName": "{REDACT}", "intent": {{"text": "{}"}}}}"#,
                "x".repeat(16 << 20)
            )),
        ),
    ];
    for (status, reply) in cases {
        let code = reply.problem(status);
        assert!(code.starts_with("KIN-"), "{code}");
        let page = host.get(&format!("/errors/{code}"));
        assert_eq!(page.status, 200, "the problem's type leads somewhere: {code}");
    }
    assert_eq!(
        host.execute(REDACT, "scrub", json!({ "text": "still here" })).status,
        200
    );
}

#[test]
fn a_request_keeps_its_id_and_gets_one_when_it_has_none() {
    let host = Host::start();
    let given = host.send("GET", "/nowhere", &[("x-request-id", "abc-123")], "");
    assert_eq!(given.headers["x-request-id"], "abc-123");
    assert_eq!(given.json()["request_id"], json!("abc-123"));
    let made = host.get("/healthz");
    assert!(made.headers["x-request-id"].len() >= 16);
}

#[test]
fn the_catalogue_has_a_json_schema_for_every_function() {
    let host = Host::start();
    let list = host.get("/api/v1/capabilities").json();
    assert_eq!(list["capabilities"].as_array().unwrap().len(), 4, "{list:#}");
    let one = host.get(&format!("/api/v1/capabilities/{REDACT}")).json();
    let text = one.to_string();
    assert!(
        text.contains("\"findings\"") && text.contains("UTF-8") && text.contains("additionalProperties"),
        "{one:#}"
    );
}

#[test]
fn metrics_count_calls_and_openapi_names_every_route() {
    let host = Host::start();
    for _ in 0..3 {
        host.execute(REDACT, "scrub", json!({ "text": "x" }));
    }
    host.execute(REDACT, "scrub", json!({}));
    let metrics = host.get("/metrics").text();
    assert!(
        metrics.contains("kinetic_calls_total") && metrics.contains(REDACT),
        "{metrics}"
    );
    assert!(
        metrics
            .lines()
            .any(|line| line.starts_with("kinetic_calls_total") && line.ends_with(" 3")),
        "{metrics}"
    );
    let api = host.get("/openapi.json").json();
    for path in [
        EXECUTE,
        "/api/v1/capabilities",
        "/api/v1/capabilities/{urn}",
        "/healthz",
        "/readyz",
        "/metrics",
    ] {
        assert!(
            api["paths"][path].is_object(),
            "{path}: {:?}",
            api["paths"].as_object().map(|p| p.keys().collect::<Vec<_>>())
        );
    }
}

#[test]
fn a_page_in_a_browser_cannot_reach_a_host_on_loopback() {
    let host = Host::start();
    let body = json!({ "toolName": REDACT, "intent": { "text": "a" } }).to_string();
    let json_type = ("content-type", "application/json");
    host.send(
        "POST",
        EXECUTE,
        &[json_type, ("origin", "http://evil.example")],
        body.clone(),
    )
    .problem(403);
    host.send("POST", EXECUTE, &[json_type, ("host", "evil.example")], body)
        .problem(403);
}

#[test]
fn elsewhere_than_loopback_a_token_is_needed() {
    use kinetic_testkit::host::kinetic_in;
    let folder = tempfile::tempdir().unwrap();
    let refused = kinetic_in(
        folder.path(),
        &[],
        &["--output", "json", "up", "--listen", "0.0.0.0:0", "--data", "data"],
    );
    assert!(refused.code().starts_with("KIN-"), "{refused:?}");
    let token = "correct-horse-battery-staple-0123456789";
    let hash = kinetic_model::Digest::of(token.as_bytes()).to_string();
    let host = Host::start_with(&[("KINETIC_HOST__TOKEN_SHA256", hash.trim_start_matches("sha256:"))]);
    host.get("/api/v1/capabilities").problem(401);
    host.send("GET", "/api/v1/capabilities", &[("authorization", "Bearer wrong")], "")
        .problem(401);
    let right = format!("Bearer {token}");
    assert_eq!(
        host.send("GET", "/api/v1/capabilities", &[("authorization", &right)], "")
            .status,
        200
    );
    assert_eq!(host.get("/healthz").status, 200);
    host.get("/mcp").problem(401);
}
