//! Finding capsules by words over HTTP.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::host::{ECHO, Host, Publication, json_of, problem};

const ROUTE: &str = "/api/v1/discovery/search";

async fn ask(host: &Host, body: Value) -> Response {
    host.request(Method::POST, ROUTE).json(&body).send().await.unwrap()
}

async fn search(host: &Host, query: &str) -> Value {
    json_of(ask(host, json!({ "query": query })).await).await
}

#[tokio::test]
async fn an_active_capsule_is_found_by_its_words_and_says_why() {
    let host = Host::start().await;
    let found = search(&host, "echo text").await;
    let hit = &found["hits"][0];
    assert_eq!(
        (&hit["urn"], &hit["version"], &hit["active"]),
        (&json!(ECHO), &json!("1.0.0"), &json!(true))
    );
    let why = hit["why"].as_array().unwrap();
    assert!(
        why.iter()
            .any(|why| why["word"] == "text" && why["field"] == "function_text"),
        "{hit:#}"
    );
    let points: u64 = why.iter().map(|why| why["points"].as_u64().unwrap()).sum();
    assert_eq!(hit["score"], json!(points));
    let guessed = search(&host, "functoin").await;
    assert_eq!(guessed["hits"][0]["why"][0]["spelled_like"], "function", "{guessed:#}");
    let unknown = search(&host, "zzyzx").await;
    assert_eq!((&unknown["hits"], &unknown["unknown"]), (&json!([]), &json!(["zzyzx"])));
}

#[tokio::test]
async fn what_is_only_stored_is_found_until_it_is_quarantined() {
    let host = Host::empty(|_| {}).await;
    let Publication {
        manifest,
        receipt,
        component,
    } = host.publication("echo", "1.0.0");
    host.kernel.stage(manifest, receipt, component.into()).await.unwrap();
    assert_eq!(search(&host, "echo").await["hits"][0]["active"], json!(false));

    host.call("echo", json!({ "text": "x" })).await;
    assert_eq!(search(&host, "echo").await["hits"][0]["active"], json!(true));
    // Its key is not trusted any more.
    host.trust_nobody();
    assert_eq!(host.kernel.check_trust().await.unwrap().len(), 1);
    let found = search(&host, "echo").await;
    assert_eq!(
        (&found["hits"], &found["searched"]),
        (&json!([]), &json!(0)),
        "{found:#}"
    );
}

#[tokio::test]
async fn a_newer_version_is_found_in_the_place_of_the_one_before() {
    let host = Host::start().await;
    host.publish("echo", "1.1.0").await;
    let found = search(&host, "echo").await;
    assert_eq!(
        (&found["found"], &found["hits"][0]["version"]),
        (&json!(1), &json!("1.1.0"))
    );
}

#[tokio::test]
async fn a_query_beyond_the_limits_is_refused_before_anything_is_looked_at() {
    let host = Host::start().await;
    for bad in [
        json!({ "query": " " }),
        json!({ "query": "x".repeat(1_025) }),
        json!({ "query": (0..17).map(|n| format!("w{n}")).collect::<Vec<_>>().join(" ") }),
        json!({ "query": "echo", "limit": 0 }),
        json!({ "query": "echo", "limit": 101 }),
    ] {
        problem(ask(&host, bad).await, 400, "KIN-KER-0030").await;
    }
    for bad in [
        json!({}),
        json!({ "query": 1 }),
        json!({ "query": "echo", "from": 1 }),
        json!([]),
    ] {
        problem(ask(&host, bad).await, 400, "KIN-GWY-0016").await;
    }
    let twice = host
        .request(Method::POST, ROUTE)
        .header("content-type", "application/json");
    let twice = twice.body(r#"{"query":"a","query":"b"}"#).send().await.unwrap();
    problem(twice, 400, "KIN-GWY-0014").await;
}
