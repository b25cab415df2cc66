//! The life of capsules over HTTP: how they stand, swapping, suspending, limits, and the way out of quarantine.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::host::{ECHO, Host, Publication, json_of, problem};

const ROUTE: &str = "/api/v1/capsules";

async fn post(host: &Host, path: &str, body: Value) -> Response {
    host.request(Method::POST, path).json(&body).send().await.unwrap()
}

async fn swap(host: &Host, body: Value) -> Response {
    post(host, &format!("{ROUTE}/{ECHO}/swap"), body).await
}

async fn echo(host: &Host) -> Value {
    json_of(host.get(&format!("{ROUTE}/{ECHO}")).await).await
}

/// Publishes over HTTP, without the version becoming active.
async fn stage(host: &Host, version: &str) -> Value {
    let Publication {
        manifest,
        receipt,
        component,
    } = host.publication("echo", version);
    let source = kinetic_registry::HttpSource::new(&host.url, &kinetic_registry::HttpOptions::default()).unwrap();
    let staged = source.stage(&manifest, &receipt, &component).await.unwrap();
    serde_json::to_value(staged).unwrap()
}

#[tokio::test]
async fn a_version_is_staged_planned_swapped_to_and_gone_back_from() {
    let host = Host::start().await;
    assert_eq!(stage(&host, "1.1.0").await["version"], "1.1.0");
    assert_eq!(echo(&host).await["version"], "1.0.0", "staging activates nothing");

    let plan = json_of(swap(&host, json!({ "to": "newest", "plan": true })).await).await;
    assert_eq!(
        (&plan["from"]["version"], &plan["to"]["version"]),
        (&json!("1.0.0"), &json!("1.1.0"))
    );
    assert!(
        plan["steps"].as_array().is_some_and(|steps| !steps.is_empty()),
        "{plan}"
    );
    assert_eq!(echo(&host).await["version"], "1.0.0", "a plan changes nothing");

    let swapped = json_of(swap(&host, json!({ "to": "1.1.0" })).await).await;
    assert_eq!(swapped["to"]["version"], "1.1.0");
    let process = echo(&host).await;
    assert_eq!(
        (&process["version"], &process["state"], &process["stands_by"]),
        (&json!("1.1.0"), &json!("active"), &json!("1.0.0"))
    );
    problem(swap(&host, json!({ "to": "1.1.0" })).await, 409, "KIN-KER-0014").await;
    problem(swap(&host, json!({ "to": "1.9.0" })).await, 404, "KIN-KER-0007").await;

    // Without a body, as `curl -X POST` sends it.
    let back = host.request(Method::POST, &format!("{ROUTE}/{ECHO}/rollback"));
    let back = json_of(back.send().await.unwrap()).await;
    assert_eq!(back["to"]["version"], "1.0.0");
    let listed = json_of(host.get(ROUTE).await).await;
    assert_eq!(listed["capsules"][0]["version"], "1.0.0");
    assert_eq!(listed["capsules"][0]["limits"]["guest_time_ms"], 400);
}

#[tokio::test]
async fn a_swap_is_answered_although_it_takes_longer_than_a_request_may() {
    let host = Host::with(|config| config.request_timeout_ms = 1).await;
    let Publication {
        manifest,
        receipt,
        component,
    } = host.publication("echo", "1.1.0");
    host.kernel.stage(manifest, receipt, component.into()).await.unwrap();
    let swapped = json_of(swap(&host, json!({ "to": "1.1.0" })).await).await;
    assert_eq!(swapped["to"]["version"], "1.1.0");
}

#[tokio::test]
async fn what_is_suspended_answers_503_with_the_reason_until_it_is_resumed() {
    let host = Host::start().await;
    let suspend = format!("{ROUTE}/{ECHO}/suspend");
    for bad in [
        json!({}),
        json!({ "reason": " " }),
        json!({ "reason": "x", "why": "y" }),
    ] {
        problem(post(&host, &suspend, bad).await, 400, "KIN-GWY-0016").await;
    }
    let process = json_of(post(&host, &suspend, json!({ "reason": "repairs until noon" })).await).await;
    assert_eq!(
        (&process["state"], &process["reason"]),
        (&json!("suspended"), &json!("repairs until noon"))
    );
    let refused = problem(host.call("echo", json!({ "text": "x" })).await, 503, "KIN-KER-0022").await;
    assert!(refused["detail"].as_str().unwrap().contains("repairs until noon"));
    let metrics = host.get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("kinetic_capsules_suspended 1") && metrics.contains("kinetic_capsules_active 0"));

    let resume = format!("{ROUTE}/{ECHO}/resume");
    assert_eq!(json_of(post(&host, &resume, json!({})).await).await["state"], "active");
    json_of(host.call("echo", json!({ "text": "x" })).await).await;
    problem(post(&host, &resume, json!({})).await, 409, "KIN-KER-0012").await;
}

#[tokio::test]
async fn limits_are_lowered_for_the_next_call_and_go_back_to_the_manifests_when_they_are_left_out() {
    let host = Host::start().await;
    let put = async |body: Value| {
        let request = host.request(Method::PUT, &format!("{ROUTE}/{ECHO}/limits"));
        request.json(&body).send().await.unwrap()
    };
    let limited = json_of(put(json!({ "input_bytes": 10 })).await).await;
    assert_eq!(limited["limits"]["input_bytes"], 10);
    assert_eq!(
        limited["limits"]["guest_time_ms"], 400,
        "what is not named stays as the manifest says"
    );
    let call = host.call("echo", json!({ "text": "more than ten bytes" })).await;
    assert_eq!(call.status(), 413);
    for bad in [
        json!({ "input_bytes": 20_000_001 }),
        json!({ "fuel": 0 }),
        json!({ "memory_mb": 1 }),
    ] {
        problem(put(bad).await, 400, "KIN-GWY-0016").await;
    }
    let back = json_of(put(json!({})).await).await;
    assert_eq!(back["limits"]["input_bytes"], 20_000_000);
    json_of(host.call("echo", json!({ "text": "more than ten bytes" })).await).await;
}

#[tokio::test]
async fn nothing_leaves_quarantine_without_a_signature_and_strangers_to_a_route_are_refused() {
    let host = Host::start().await;
    let new = host.publication("echo", "1.1.0");
    let other = host.publication("other", "1.0.0");
    let refused = host
        .kernel
        .publish(new.manifest, other.receipt, new.component.into())
        .await;
    assert!(refused.is_err());
    let listed = json_of(host.get("/api/v1/quarantine").await).await;
    let digest = listed["quarantined"][0]["digest"].as_str().unwrap();
    let route = format!("/api/v1/quarantine/{digest}");
    assert_eq!(json_of(host.get(&route).await).await["step"], "receipt");
    problem(
        post(&host, &format!("{route}/release"), json!({})).await,
        403,
        "KIN-KER-0027",
    )
    .await;
    assert_eq!(
        json_of(host.get(&route).await).await["digest"],
        digest,
        "it is still there"
    );

    let unknown = format!("/api/v1/quarantine/sha256:{}", "0".repeat(64));
    problem(host.get(&unknown).await, 404, "KIN-KER-0026").await;
    problem(host.get("/api/v1/quarantine/x").await, 400, "KIN-GWY-0016").await;
    problem(host.get(&format!("{ROUTE}/{ECHO}@1.5.0")).await, 404, "KIN-KER-0013").await;
    let pinned = format!("{ROUTE}/{ECHO}@1.0.0/swap");
    problem(
        post(&host, &pinned, json!({ "to": "newest" })).await,
        400,
        "KIN-GWY-0016",
    )
    .await;
    problem(
        swap(&host, json!({ "to": "1.1.0", "force": true })).await,
        400,
        "KIN-GWY-0016",
    )
    .await;
    let publish = "/api/v1/registry/capabilities/publish?activate=perhaps";
    problem(post(&host, publish, json!({})).await, 400, "KIN-GWY-0016").await;
}
