//! Shutting down: calls in flight finish, nothing new begins, and nobody can hold the host up.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::host::{Host, PATIENCE, SPINNER, problem};

#[tokio::test(flavor = "multi_thread")]
async fn a_call_in_flight_finishes_and_nothing_new_is_accepted() {
    let mut host = Host::with(|config| config.drain_timeout_ms = 120_000).await;
    host.publish_spinner(3_000).await;
    let body = json!({ "toolName": SPINNER, "function": "spin", "intent": {} });
    let call = host
        .request(Method::POST, "/api/v1/capabilities/execute")
        .json(&body)
        .send();
    let call = tokio::spawn(call);
    host.until_called(SPINNER).await;
    host.stop();
    let refused = async {
        while TcpStream::connect(host.url.trim_start_matches("http://")).await.is_ok() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, refused).await.expect("it still accepts");
    // It ran to its own limit, not to the end of the host.
    problem(call.await.unwrap().unwrap(), 504, "KIN-ENG-0016").await;
    timeout(PATIENCE, host.stopped()).await.unwrap();
}

#[tokio::test]
async fn idle_connections_do_not_delay_the_shutdown() {
    let mut host = Host::with(|config| config.drain_timeout_ms = 120_000).await;
    host.get("/healthz").await;
    let _idle = TcpStream::connect(host.url.trim_start_matches("http://"))
        .await
        .unwrap();
    sleep(Duration::from_millis(50)).await;
    timeout(PATIENCE, host.stopped()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_finish_in_time_is_closed() {
    let mut host = Host::with(|config| config.drain_timeout_ms = 100).await;
    host.publish_spinner(30_000).await;
    let body = json!({ "toolName": SPINNER, "function": "spin", "intent": {} });
    let call = tokio::spawn(
        host.request(Method::POST, "/api/v1/capabilities/execute")
            .json(&body)
            .send(),
    );
    host.until_called(SPINNER).await;
    let started = Instant::now();
    timeout(PATIENCE, host.stopped()).await.unwrap();
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "before the call's own end: {:?}",
        started.elapsed()
    );
    assert!(call.await.unwrap().is_err());
}

#[tokio::test]
async fn an_open_mcp_session_does_not_delay_the_shutdown() {
    let mut host = Host::with(|config| config.drain_timeout_ms = 120_000).await;
    let session = crate::mcp::Session::open(&host).await;
    let _stream = session.stream(&host).await;
    timeout(PATIENCE, host.stopped()).await.unwrap();
}
