//! Shutting down: calls in flight finish, nothing new begins, and nobody can hold the host up.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::host::{ECHO, Host, problem};

#[tokio::test(flavor = "multi_thread")]
async fn a_call_in_flight_finishes_and_nothing_new_is_accepted() {
    let mut host = Host::start().await;
    let body = json!({ "toolName": ECHO, "function": "spin", "intent": {} });
    let call = host
        .request(Method::POST, "/api/v1/capabilities/execute")
        .json(&body)
        .send();
    let call = tokio::spawn(call);
    sleep(Duration::from_millis(100)).await;
    host.stop();
    sleep(Duration::from_millis(50)).await;
    assert!(
        TcpStream::connect(host.url.trim_start_matches("http://"))
            .await
            .is_err()
    );
    // It ran to its own limit, not to the end of the host.
    problem(call.await.unwrap().unwrap(), 504, "KIN-ENG-0016").await;
    timeout(Duration::from_secs(5), host.stopped()).await.unwrap();
}

#[tokio::test]
async fn idle_connections_do_not_delay_the_shutdown() {
    let mut host = Host::start().await;
    host.get("/healthz").await;
    let _idle = TcpStream::connect(host.url.trim_start_matches("http://"))
        .await
        .unwrap();
    sleep(Duration::from_millis(50)).await;
    timeout(Duration::from_secs(2), host.stopped()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_finish_in_time_is_closed() {
    let mut host = Host::with(|config| config.drain_timeout_ms = 100).await;
    let body = json!({ "toolName": ECHO, "function": "spin", "intent": {} });
    let call = tokio::spawn(
        host.request(Method::POST, "/api/v1/capabilities/execute")
            .json(&body)
            .send(),
    );
    sleep(Duration::from_millis(100)).await;
    let started = Instant::now();
    timeout(Duration::from_secs(5), host.stopped()).await.unwrap();
    assert!(
        started.elapsed() < Duration::from_millis(290),
        "{:?}",
        started.elapsed()
    );
    assert!(call.await.unwrap().is_err());
}

#[tokio::test]
async fn an_open_mcp_session_does_not_delay_the_shutdown() {
    let mut host = Host::start().await;
    let session = crate::mcp::Session::open(&host).await;
    let _stream = session.stream(&host).await;
    timeout(Duration::from_secs(2), host.stopped()).await.unwrap();
}
