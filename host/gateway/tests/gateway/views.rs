//! What can be looked at: capsules, health, metrics, the description of the API, the error pages.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::host::{ECHO, Host, json_of, problem};

#[tokio::test]
async fn active_capsules_are_listed_with_functions_limits_and_signer() {
    let host = Host::start().await;
    let list = json_of(host.get("/api/v1/capabilities").await).await;
    let capsule = &list["capabilities"][0];
    assert_eq!(
        (&capsule["urn"], &capsule["version"], &capsule["generation"]),
        (&json!(ECHO), &json!("1.0.0"), &json!(1))
    );
    assert_eq!(capsule["limits"]["guest_time_ms"], 400);
    assert!(capsule["signer"].as_str().is_some_and(|signer| !signer.is_empty()));
    let echo = capsule["functions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|function| function["name"] == "echo")
        .unwrap();
    assert_eq!(echo["signature"], "echo: func(text: string) -> string");
    assert_eq!(echo["description"], "Gives back the text.");
}

#[tokio::test]
async fn one_capsule_is_shown_with_the_schemas_of_its_functions() {
    let host = Host::start().await;
    let capsule = json_of(host.get(&format!("/api/v1/capabilities/{ECHO}")).await).await;
    assert_eq!(capsule["manifest"]["id"], ECHO);
    let functions = capsule["functions"].as_array().unwrap();
    let named = |name: &str| functions.iter().find(|function| function["name"] == name).unwrap();
    assert_eq!(named("echo")["inputSchema"]["required"], json!(["text"]));
    assert_eq!(
        named("measure")["outputSchema"]["properties"]["bytes"]["type"],
        "integer"
    );
    assert_eq!(named("fail")["errorSchema"], json!({ "type": "string" }));
    assert!(capsule["imports"].is_array() && capsule["unsupported"].is_array());
    problem(
        host.get("/api/v1/capabilities/urn:acme:actionspace:solver:none:v1")
            .await,
        404,
        "KIN-KER-0007",
    )
    .await;
    problem(host.get("/api/v1/capabilities/nonsense").await, 400, "KIN-GWY-0016").await;
}

#[tokio::test]
async fn probes_tell_alive_from_ready() {
    let host = Host::start().await;
    assert_eq!(json_of(host.get("/healthz").await).await["status"], "alive");
    assert_eq!(
        json_of(host.get("/readyz").await).await,
        json!({ "status": "ready", "capsules": 1 })
    );
}

#[tokio::test]
async fn a_host_that_activates_is_alive_but_not_ready() {
    let host = Host::empty(|_| {}).await;
    let config = kinetic_gateway::GatewayConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        ..Default::default()
    };
    let bound = kinetic_gateway::bind(config, host.kernel.clone(), &[]).await.unwrap();
    let url = format!("http://{}", bound.local_addr());
    let activating = bound.activating();
    tokio::spawn(bound.serve(std::future::pending()));
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .build()
        .unwrap();
    let get = |path: &str| client.get(format!("{url}{path}")).send();
    assert_eq!(get("/healthz").await.unwrap().status(), 200);
    problem(get("/readyz").await.unwrap(), 503, "KIN-GWY-0020").await;
    drop(activating);
    assert_eq!(get("/readyz").await.unwrap().status(), 200);
}

#[tokio::test]
async fn metrics_count_calls_by_outcome_failures_by_code_and_show_the_pool() {
    let host = Host::start().await;
    host.call("echo", json!({ "text": "x" })).await;
    host.call("fail", json!({ "text": "x" })).await;
    host.call("boom", json!({})).await;
    host.get("/none").await;
    let response = host.get("/metrics").await;
    assert!(
        response.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("application/openmetrics-text")
    );
    let text = response.text().await.unwrap();
    for line in [
        format!(r#"kinetic_calls_total{{urn="{ECHO}",function="echo",outcome="ok"}} 1"#),
        format!(r#"kinetic_calls_total{{urn="{ECHO}",function="fail",outcome="err"}} 1"#),
        format!(r#"kinetic_calls_total{{urn="{ECHO}",function="boom",outcome="KIN-ENG-0020"}} 1"#),
        format!(r#"kinetic_call_guest_time_seconds_count{{urn="{ECHO}",function="echo"}} 1"#),
        r#"kinetic_problems_total{code="KIN-GWY-0007"} 1"#.to_string(),
        r#"kinetic_http_responses_total{class="2xx"} 2"#.to_string(),
        "kinetic_compilations_total 1".to_string(),
        "kinetic_capsules_active 1".to_string(),
        "kinetic_capsules_quarantined 0".to_string(),
        "kinetic_pool_sandboxes_max 16".to_string(),
        "kinetic_pool_sandboxes_in_use 0".to_string(),
        "kinetic_calls_in_flight 0".to_string(),
        "kinetic_http_requests_in_flight 1".to_string(),
        "kinetic_build_info{version=".to_string(),
        "# EOF".to_string(),
    ] {
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn every_code_has_the_page_its_problems_point_to_for_people_and_for_programs() {
    let host = Host::start().await;
    let refused = problem(host.get("/none").await, 404, "KIN-GWY-0007").await;
    let page = json_of(host.get(refused["type"].as_str().unwrap()).await).await;
    assert_eq!((&page["code"], &page["status"]), (&json!("KIN-GWY-0007"), &json!(404)));
    let all = json_of(host.get("/errors").await).await;
    assert!(all["errors"].as_array().unwrap().len() > 50);
    for path in ["/errors", "/errors/kin-eng-0014"] {
        let html = host
            .request(Method::GET, path)
            .header("accept", "text/html")
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        assert!(
            html.contains("KIN-ENG-0014") && html.contains("raise limits.fuel"),
            "{html}"
        );
    }
    problem(host.get("/errors/KIN-XXX-0001").await, 404, "KIN-GWY-0022").await;
}

#[tokio::test]
async fn the_description_of_the_api_is_complete_and_its_references_hold() {
    let host = Host::start().await;
    let document = json_of(host.get("/openapi.json").await).await;
    assert_eq!(document, kinetic_gateway::openapi());
    assert_eq!(document["openapi"], "3.1.0");
    let mut references = BTreeSet::new();
    collect(&document, &mut references);
    for reference in references {
        assert!(
            document.pointer(reference.trim_start_matches('#')).is_some(),
            "{reference}"
        );
    }
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let at = format!("{method} {path}");
            assert!(
                operation["summary"].is_string() && operation["operationId"].is_string(),
                "{at}"
            );
            assert!(
                operation["responses"]["default"].is_object(),
                "{at} does not say how it fails"
            );
            // What is described exists: a stranger to the router would be answered 404 and KIN-GWY-0007.
            let method: Method = method.to_uppercase().parse().unwrap();
            let path = path
                .replace("{urn}", ECHO)
                .replace("{reference}", ECHO)
                .replace("{code}", "KIN-GWY-0001");
            let response = host.request(method, &path).send().await.unwrap();
            assert_ne!(response.status(), 405, "{at}");
            let text = response.text().await.unwrap();
            let answer = serde_json::from_str::<Value>(&text).unwrap_or_default();
            assert_ne!(answer["code"], "KIN-GWY-0007", "{at}");
        }
    }
}

fn collect(value: &Value, references: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                references.insert(reference.clone());
            }
            members.values().for_each(|member| collect(member, references));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        _ => {}
    }
}
