//! Calls: what they answer, in JSON and in bytes, and what is refused before they run.

use kinetic_gateway::GatewayConfig;
use kinetic_model::Digest;
use reqwest::Method;
use serde_json::{Value, json};

use crate::host::{ECHO, Host, json_of, problem};

const EXECUTE: &str = "/api/v1/capabilities/execute";

#[tokio::test]
async fn a_call_answers_its_output_what_it_used_and_what_ran() {
    let host = Host::start().await;
    let answer = json_of(host.call("echo", json!({ "text": "hellö" })).await).await;
    assert_eq!((&answer["success"], &answer["output"]), (&json!(true), &json!("hellö")));
    assert_eq!(
        answer["intent_hash"],
        Digest::of(r#"{"text":"hellö"}"#.as_bytes()).hex()
    );
    assert_eq!(answer["function"], "echo");
    assert_eq!(answer["capsule"]["urn"], ECHO);
    assert_eq!(answer["capsule"]["version"], "1.0.0");
    assert_eq!(answer["capsule"]["generation"], 1);
    assert_eq!(
        answer["capsule"]["digest"],
        Digest::of(&crate::host::component()).to_string()
    );
    assert_eq!(
        answer["logs"],
        json!({ "stdout": "", "stderr": "", "dropped_bytes": 0 })
    );
    let telemetry = answer["telemetry"].as_object().unwrap();
    for used in [
        "latency_ns",
        "peak_memory_bytes",
        "fuel",
        "guest_time_ns",
        "wall_time_ns",
        "input_bytes",
        "output_bytes",
    ] {
        assert!(telemetry[used].as_u64().unwrap() > 0, "{used}");
    }
    for there in ["instantiation_fuel", "log_bytes", "handles", "host_call_bytes"] {
        assert!(telemetry[there].is_u64(), "{there}");
    }
}

#[tokio::test]
async fn a_functions_own_error_is_an_answer_without_success() {
    let host = Host::start().await;
    let answer = json_of(host.call("fail", json!({ "text": "no" })).await).await;
    assert_eq!((&answer["success"], &answer["output"]), (&json!(false), &json!("no")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_and_a_limit_are_problems_that_say_what_was_used_and_the_next_call_is_unaffected() {
    let host = Host::start().await;
    let trapped = problem(host.call("boom", json!({})).await, 422, "KIN-ENG-0020").await;
    assert_eq!(
        (&trapped["function"], &trapped["capsule"]["urn"]),
        (&json!("boom"), &json!(ECHO))
    );
    assert!(trapped["logs"]["stderr"].is_string());
    let spun = problem(host.call("spin", json!({})).await, 504, "KIN-ENG-0016").await;
    assert!(spun["telemetry"]["guest_time_ns"].as_u64().unwrap() > 300_000_000);
    json_of(host.call("echo", json!({ "text": "still here" })).await).await;
}

#[tokio::test]
async fn what_did_not_run_is_a_problem_without_telemetry() {
    let host = Host::start().await;
    let unknown = host
        .execute(json!({ "toolName": "urn:acme:actionspace:solver:none:v1", "intent": {} }))
        .await;
    assert!(problem(unknown, 404, "KIN-KER-0007").await.get("telemetry").is_none());
    problem(host.call("none", json!({})).await, 404, "KIN-ENG-0010").await;
    problem(
        host.execute(json!({ "toolName": ECHO, "intent": {} })).await,
        400,
        "KIN-ENG-0011",
    )
    .await;
    let wrong = problem(host.call("echo", json!({ "text": 5 })).await, 400, "KIN-ENG-0012").await;
    assert!(wrong["detail"].as_str().unwrap().contains("text"));
    let pinned = host
        .execute(json!({ "toolName": format!("{ECHO}@1.0.1"), "function": "echo", "intent": {} }))
        .await;
    problem(pinned, 404, "KIN-KER-0007").await;
}

#[tokio::test]
async fn a_pinned_reference_runs_that_version() {
    let host = Host::start().await;
    host.publish("echo", "1.1.0").await;
    for (what, version) in [(ECHO.to_string(), "1.1.0"), (format!("{ECHO}@1.0.0"), "1.0.0")] {
        let body = json!({ "toolName": what, "function": "echo", "intent": { "text": "x" } });
        assert_eq!(json_of(host.execute(body).await).await["capsule"]["version"], version);
    }
}

#[tokio::test]
async fn the_request_is_closed_and_says_what_is_wrong_with_it() {
    let host = Host::start().await;
    for (body, path) in [
        (json!({ "toolName": ECHO, "intent": {}, "extra": 1 }), "extra"),
        (json!({ "intent": {} }), "toolName"),
        (json!({ "toolName": ECHO }), "intent"),
        (json!({ "toolName": 5, "intent": {} }), "toolName"),
        (json!({ "toolName": "redact", "intent": {} }), "toolName"),
        (json!({ "toolName": ECHO, "intent": [] }), "intent"),
        (json!([]), "the body"),
    ] {
        let refused = problem(host.execute(body).await, 400, "KIN-GWY-0016").await;
        assert!(refused["detail"].as_str().unwrap().starts_with(path), "{refused}");
    }
}

#[tokio::test]
async fn state_goes_to_the_parameter_of_that_name_or_is_refused_but_never_dropped() {
    let host = Host::start().await;
    let with = |function: &str, intent: Value, state: Value| {
        host.execute(json!({ "toolName": ECHO, "function": function, "intent": intent, "state": state }))
    };
    let kept = json_of(with("remember", json!({}), json!({ "count": 7 })).await).await;
    assert_eq!(kept["output"], 7);
    // The hash is over the intent as it was sent.
    assert_eq!(kept["intent_hash"], Digest::of(b"{}").hex());
    json_of(with("echo", json!({ "text": "x" }), json!({})).await).await;
    json_of(with("echo", json!({ "text": "x" }), Value::Null).await).await;
    problem(
        with("echo", json!({ "text": "x" }), json!({ "count": 7 })).await,
        400,
        "KIN-GWY-0017",
    )
    .await;
    let twice = with("remember", json!({ "state": { "count": 1 } }), json!({ "count": 2 })).await;
    problem(twice, 400, "KIN-GWY-0017").await;
}

#[tokio::test]
async fn syntax_doubled_members_depth_size_and_media_type_each_have_a_code() {
    let host = Host::with(|config: &mut GatewayConfig| config.body_bytes_max = 4_096).await;
    let post = |body: String| {
        host.request(Method::POST, EXECUTE)
            .header("content-type", "application/json")
            .body(body)
            .send()
    };
    let syntax = problem(post("{\n \"toolName\": }".into()).await.unwrap(), 400, "KIN-GWY-0013").await;
    assert!(
        syntax["detail"].as_str().unwrap().contains("line 2 column 14"),
        "{syntax}"
    );
    problem(post(String::new()).await.unwrap(), 400, "KIN-GWY-0013").await;
    let doubled = format!(r#"{{"toolName":"{ECHO}","intent":{{"a":1,"a":2}}}}"#);
    problem(post(doubled).await.unwrap(), 400, "KIN-GWY-0014").await;
    let deep = format!(
        r#"{{"toolName":"{ECHO}","intent":{{"a":{}{}}}}}"#,
        "[".repeat(64),
        "]".repeat(64)
    );
    problem(post(deep).await.unwrap(), 400, "KIN-GWY-0015").await;
    problem(post("x".repeat(5_000)).await.unwrap(), 413, "KIN-GWY-0010").await;
    problem(post("x".repeat(3_000_000)).await.unwrap(), 413, "KIN-GWY-0010").await;
    let plain = host
        .request(Method::POST, EXECUTE)
        .header("content-type", "text/plain")
        .body("{}")
        .send()
        .await
        .unwrap();
    problem(plain, 415, "KIN-GWY-0009").await;
}

#[tokio::test]
async fn ten_megabytes_go_in_and_out_as_bytes() {
    let host = Host::start().await;
    let path = format!("/api/v1/capabilities/{ECHO}/execute?function=raw");
    let sent: Vec<u8> = (0..10 << 20)
        .map(|index: u32| index.to_le_bytes()[0] ^ index.to_le_bytes()[1])
        .collect();
    let request = host
        .request(Method::POST, &path)
        .header("content-type", "application/octet-stream");
    let response = request
        .header("accept", "application/octet-stream")
        .body(sent.clone())
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/octet-stream");
    assert_eq!(response.headers()["x-kinetic-success"], "true");
    assert_eq!(response.headers()["x-kinetic-function"], "raw");
    let telemetry: Value = serde_json::from_str(response.headers()["x-kinetic-telemetry"].to_str().unwrap()).unwrap();
    assert_eq!(telemetry["input_bytes"], 10 << 20);
    let capsule: Value = serde_json::from_str(response.headers()["x-kinetic-capsule"].to_str().unwrap()).unwrap();
    assert_eq!(capsule["urn"], ECHO);
    assert!(response.bytes().await.unwrap() == sent);
}

#[tokio::test]
async fn bytes_and_json_can_be_mixed_in_either_direction() {
    let host = Host::start().await;
    let post = |query: &str, body: &'static [u8]| {
        let path = format!("/api/v1/capabilities/{ECHO}/execute?{query}");
        host.request(Method::POST, &path)
            .header("content-type", "application/octet-stream")
            .body(body)
    };
    // Bytes in, JSON out.
    let answer = json_of(post("function=raw", b"\x00\xff").send().await.unwrap()).await;
    assert_eq!(answer["output"], "AP8=");
    assert!(answer.get("intent_hash").is_none());
    let measured = json_of(post("function=measure", b"four").send().await.unwrap()).await;
    assert_eq!(measured["output"], json!({ "bytes": 4 }));
    // JSON in, bytes out.
    let body = json!({ "toolName": ECHO, "function": "raw", "intent": { "data": "AP8=" } });
    let request = host
        .request(Method::POST, EXECUTE)
        .json(&body)
        .header("accept", "application/octet-stream");
    assert_eq!(
        request.send().await.unwrap().bytes().await.unwrap().as_ref(),
        b"\x00\xff"
    );
    // Text and records have a bare form too.
    let text = post("function=echo", b"plain")
        .header("accept", "application/octet-stream")
        .send()
        .await
        .unwrap();
    assert_eq!(text.text().await.unwrap(), "plain");
    let record = post("function=measure", b"abc")
        .header("accept", "application/octet-stream")
        .send()
        .await
        .unwrap();
    assert_eq!(record.headers()["content-type"], "application/json");
    assert_eq!(record.text().await.unwrap(), r#"{"bytes":3}"#);
    let failed = post("function=fail", b"no")
        .header("accept", "application/octet-stream")
        .send()
        .await
        .unwrap();
    assert_eq!(failed.headers()["x-kinetic-success"], "false");
    assert_eq!(failed.text().await.unwrap(), "no");
}

#[tokio::test]
async fn arguments_in_the_query_are_read_as_their_type_and_strangers_are_refused() {
    let host = Host::start().await;
    let post = |query: &str| {
        let path = format!("/api/v1/capabilities/{ECHO}/execute?{query}");
        host.request(Method::POST, &path)
            .header("content-type", "application/octet-stream")
            .send()
    };
    // The only parameter is given by name, so nothing is left to take the bytes.
    problem(post("function=echo&arg.text=5").await.unwrap(), 400, "KIN-ENG-0028").await;
    problem(
        post("function=remember&arg.state=%7B").await.unwrap(),
        400,
        "KIN-GWY-0016",
    )
    .await;
    problem(post("function=echo&text=5").await.unwrap(), 400, "KIN-GWY-0016").await;
    problem(
        post("function=echo&arg.text=5&arg.text=6").await.unwrap(),
        400,
        "KIN-GWY-0016",
    )
    .await;
    let utf8 = host
        .request(
            Method::POST,
            &format!("/api/v1/capabilities/{ECHO}/execute?function=echo"),
        )
        .header("content-type", "application/octet-stream")
        .body(vec![0xff])
        .send();
    problem(utf8.await.unwrap(), 400, "KIN-ENG-0029").await;
}

#[tokio::test]
async fn many_calls_at_once_all_answer_their_own_caller() {
    let host = Host::start().await;
    let calls = (0..200).map(|number| {
        let host = &host;
        async move {
            let answer = json_of(host.call("echo", json!({ "text": format!("call {number}") })).await).await;
            assert_eq!(answer["output"], format!("call {number}"));
            answer["request_id"].as_str().unwrap().to_string()
        }
    });
    let ids: std::collections::HashSet<_> = futures_util::future::join_all(calls).await.into_iter().collect();
    assert_eq!(ids.len(), 200);
}
