//! Who may come in, and how: token, Host, Origin, methods, connections, slow clients.

use std::time::Duration;

use kinetic_gateway::{GatewayConfig, GatewayError, bind};
use kinetic_model::Digest;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::host::{Host, PATIENCE, SPINNER, json_of, problem};

async fn connect(host: &Host) -> TcpStream {
    TcpStream::connect(host.url.trim_start_matches("http://"))
        .await
        .unwrap()
}

/// Sends bytes and reads until the other side closes.
async fn exchange(host: &Host, request: &str) -> String {
    let mut stream = connect(host).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .unwrap()
        .unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn an_address_others_can_reach_is_refused_without_a_token() {
    let host = Host::empty(|_| {}).await;
    let config = GatewayConfig {
        listen: "0.0.0.0:0".parse().unwrap(),
        ..GatewayConfig::default()
    };
    let Err(error) = bind(config.clone(), host.kernel.clone(), &[]).await else {
        panic!("bound")
    };
    assert!(matches!(error, GatewayError::TokenNeeded { .. }));
    let closed = GatewayConfig {
        token_sha256: Some(Digest::of(b"secret")),
        ..config
    };
    assert!(bind(closed, host.kernel.clone(), &[]).await.is_ok());
}

#[tokio::test]
async fn a_taken_port_says_so() {
    let host = Host::empty(|_| {}).await;
    let config = GatewayConfig {
        listen: host.url.trim_start_matches("http://").parse().unwrap(),
        ..GatewayConfig::default()
    };
    assert!(matches!(
        bind(config, host.kernel.clone(), &[]).await,
        Err(GatewayError::ListenFailed { .. })
    ));
}

#[tokio::test]
async fn with_a_token_every_route_but_the_probes_demands_it() {
    let host = Host::with(|config| config.token_sha256 = Some(Digest::of(b"secret"))).await;
    let document = kinetic_gateway::openapi();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let path = path
                .replace("{urn}", crate::host::ECHO)
                .replace("{code}", "KIN-GWY-0001");
            let path = path.replace("{reference}", crate::host::ECHO);
            let response = host.request(method.clone(), &path).send().await.unwrap();
            if path == "/healthz" || path == "/readyz" {
                assert_eq!(response.status(), 200, "{path}");
                continue;
            }
            assert_eq!(response.headers()["www-authenticate"], "Bearer", "{method} {path}");
            problem(response, 401, "KIN-GWY-0004").await;
        }
    }
    problem(host.get("/no/such/route").await, 401, "KIN-GWY-0004").await;
    let wrong = host
        .request(Method::GET, "/metrics")
        .bearer_auth("wrong")
        .send()
        .await
        .unwrap();
    problem(wrong, 401, "KIN-GWY-0004").await;
    let right = host
        .request(Method::GET, "/api/v1/capabilities")
        .bearer_auth("secret")
        .send()
        .await
        .unwrap();
    json_of(right).await;
}

#[tokio::test]
async fn a_rebound_name_and_a_foreign_page_are_refused_on_every_route() {
    let host = Host::start().await;
    for path in ["/api/v1/capabilities", "/mcp", "/metrics", "/"] {
        let rebound = host
            .request(Method::GET, path)
            .header("host", "evil.example")
            .send()
            .await
            .unwrap();
        problem(rebound, 403, "KIN-GWY-0005").await;
        let foreign = host
            .request(Method::POST, path)
            .header("origin", "https://evil.example")
            .send()
            .await
            .unwrap();
        assert!(foreign.headers().get("access-control-allow-origin").is_none());
        problem(foreign, 403, "KIN-GWY-0006").await;
    }
    let own = host
        .request(Method::GET, "/api/v1/capabilities")
        .header("origin", &host.url)
        .send()
        .await
        .unwrap();
    json_of(own).await;
}

#[tokio::test]
async fn a_configured_origin_may_send_and_read() {
    let page = "http://localhost:3000";
    let host = Host::with(|config| config.allowed_origins = vec![page.into()]).await;
    let asked = host
        .request(Method::OPTIONS, "/api/v1/capabilities/execute")
        .header("origin", page)
        .send()
        .await
        .unwrap();
    assert_eq!(asked.status(), 204);
    assert_eq!(asked.headers()["access-control-allow-origin"], page);
    assert!(
        asked.headers()["access-control-allow-headers"]
            .to_str()
            .unwrap()
            .contains("authorization")
    );
    let read = host
        .request(Method::GET, "/api/v1/capabilities")
        .header("origin", page)
        .send()
        .await
        .unwrap();
    assert_eq!(read.headers()["access-control-allow-origin"], page);
    let failed = host
        .request(Method::GET, "/none")
        .header("origin", page)
        .send()
        .await
        .unwrap();
    assert_eq!(failed.headers()["access-control-allow-origin"], page);
    problem(failed, 404, "KIN-GWY-0007").await;
}

#[tokio::test]
async fn an_unknown_route_and_a_wrong_method_are_problems() {
    let host = Host::start().await;
    problem(host.get("/nothing/here").await, 404, "KIN-GWY-0007").await;
    let response = host.request(Method::PUT, "/api/v1/capabilities").send().await.unwrap();
    assert!(response.headers()["allow"].to_str().unwrap().contains("GET"));
    problem(response, 405, "KIN-GWY-0008").await;
    let response = host.request(Method::PATCH, "/mcp").send().await.unwrap();
    assert!(response.headers()["allow"].to_str().unwrap().contains("POST"));
    problem(response, 405, "KIN-GWY-0008").await;
}

#[tokio::test]
async fn a_request_id_is_kept_when_harmless_and_replaced_otherwise() {
    let host = Host::start().await;
    let with = |id: &'static str| host.request(Method::GET, "/none").header("x-request-id", id).send();
    assert_eq!(
        problem(with("trace.1").await.unwrap(), 404, "KIN-GWY-0007").await["request_id"],
        "trace.1"
    );
    let replaced = problem(with("a b").await.unwrap(), 404, "KIN-GWY-0007").await;
    assert_eq!(replaced["request_id"].as_str().unwrap().len(), 36);
}

#[tokio::test]
async fn headers_that_do_not_end_close_the_connection() {
    let host = Host::with(|config| config.header_timeout_ms = 300).await;
    let mut stream = connect(&host).await;
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        .await
        .unwrap();
    let started = Instant::now();
    let mut rest = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert!(started.elapsed() >= Duration::from_millis(250));
}

#[tokio::test]
async fn a_body_that_does_not_come_is_a_problem_not_a_hanging_connection() {
    let host = Host::with(|config| config.body_timeout_ms = 200).await;
    let head = "POST /api/v1/capabilities/execute HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Content-Length: 100\r\nConnection: close\r\n\r\n{";
    let answer = exchange(&host, head).await;
    assert!(
        answer.starts_with("HTTP/1.1 408") && answer.contains("KIN-GWY-0011"),
        "{answer}"
    );
}

#[tokio::test]
async fn too_many_headers_are_refused() {
    let host = Host::with(|config| config.headers_max = 10).await;
    let headers = (0..20)
        .map(|number| format!("X-{number}: 1"))
        .collect::<Vec<_>>()
        .join("\r\n");
    let answer = exchange(
        &host,
        &format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n\r\n"),
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

/// A call of [`SPINNER`].
fn spin() -> Value {
    json!({ "toolName": SPINNER, "function": "spin", "intent": {} })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_takes_too_long_is_stopped() {
    let host = Host::with(|config| config.request_timeout_ms = 3_000).await;
    host.publish_spinner(30_000).await;
    problem(host.execute(spin()).await, 504, "KIN-GWY-0018").await;
    json_of(host.call("echo", json!({ "text": "x" })).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_requests_than_allowed_are_told_to_come_back_while_probes_still_answer() {
    let host = Host::with(|config| config.requests_max = 1).await;
    host.publish_spinner(5_000).await;
    let spinning = host.execute(spin());
    let other = async {
        host.until_called(SPINNER).await;
        let refused = host.call("echo", json!({ "text": "x" })).await;
        assert_eq!(
            refused
                .headers()
                .get("retry-after")
                .and_then(|value| value.to_str().ok()),
            Some("1"),
            "{refused:?}"
        );
        problem(refused, 503, "KIN-GWY-0019").await;
        json_of(host.get("/healthz").await).await;
    };
    let (spun, ()) = tokio::join!(spinning, other);
    problem(spun, 504, "KIN-ENG-0016").await;
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_and_are_served_when_one_closes() {
    let host = Host::with(|config| config.connections_max = 1).await;
    let first = connect(&host).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let second = exchange(
        &host,
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    );
    let close = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        drop(first);
    };
    let (answer, ()) = tokio::join!(second, close);
    assert!(answer.starts_with("HTTP/1.1 200"));
}
