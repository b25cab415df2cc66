//! MCP over streamable HTTP, on the wire: sessions, tools, failures, notices, and the version without sessions.

use futures_util::StreamExt as _;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::host::{ECHO, Host, PATIENCE, problem};

const VERSION: &str = "2025-06-18";
const ACCEPT: &str = "application/json, text/event-stream";

/// A session of a client of the versions that have sessions.
pub struct Session(String);

impl Session {
    pub async fn open(host: &Host) -> Self {
        let response = initialize(host).await;
        let id = response.headers()["mcp-session-id"].to_str().unwrap().to_string();
        let info = message(response).await;
        assert_eq!(info["result"]["capabilities"]["tools"]["listChanged"], true);
        let session = Self(id);
        let accepted = session
            .send(host, json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))
            .await;
        assert_eq!(accepted.status(), 202);
        session
    }

    pub async fn send(&self, host: &Host, body: Value) -> Response {
        let request = host
            .request(Method::POST, "/mcp")
            .header("accept", ACCEPT)
            .header("mcp-session-id", &self.0);
        request
            .header("mcp-protocol-version", VERSION)
            .json(&body)
            .send()
            .await
            .unwrap()
    }

    pub async fn request(&self, host: &Host, method: &str, params: Value) -> Value {
        let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
        message(self.send(host, body).await).await
    }

    pub async fn call(&self, host: &Host, tool: &str, arguments: Value) -> Value {
        self.request(host, "tools/call", json!({ "name": tool, "arguments": arguments }))
            .await["result"]
            .clone()
    }

    /// The stream on which the server speaks first.
    pub async fn stream(&self, host: &Host) -> Response {
        let request = host.request(Method::GET, "/mcp").header("accept", "text/event-stream");
        let request = request
            .header("mcp-session-id", &self.0)
            .header("mcp-protocol-version", VERSION);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        response
    }
}

async fn initialize(host: &Host) -> Response {
    let params =
        json!({ "protocolVersion": VERSION, "capabilities": {}, "clientInfo": { "name": "test", "version": "1" } });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params });
    host.request(Method::POST, "/mcp")
        .header("accept", ACCEPT)
        .json(&body)
        .send()
        .await
        .unwrap()
}

/// The first JSON-RPC message of a response, as an event or as the body.
async fn message(response: Response) -> Value {
    let mut read = String::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = timeout(PATIENCE, chunks.next()).await.unwrap() {
        read.push_str(&String::from_utf8_lossy(&chunk.unwrap()));
        let lines = read
            .lines()
            .map(|line| line.strip_prefix("data:").unwrap_or(line).trim());
        if let Some(message) = lines
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find(|v| v["jsonrpc"] == "2.0")
        {
            return message;
        }
    }
    panic!("no message in {read}");
}

#[tokio::test]
async fn every_function_is_a_tool_with_its_schema_and_description() {
    let host = Host::start().await;
    let session = Session::open(&host).await;
    let listed = session.request(&host, "tools/list", json!({})).await;
    let tools = listed["result"]["tools"].as_array().unwrap();
    assert_eq!(tools.len(), 7);
    let named = |name: &str| tools.iter().find(|tool| tool["name"] == name).unwrap();
    assert_eq!(named("echo.echo")["description"], "Gives back the text.");
    assert_eq!(named("echo.echo")["inputSchema"]["required"], json!(["text"]));
    assert!(named("echo.echo").get("outputSchema").is_none());
    assert_eq!(named("echo.measure")["outputSchema"]["type"], "object");
}

#[tokio::test]
async fn a_result_is_text_and_where_promised_structure_and_says_what_it_cost() {
    let host = Host::start().await;
    let session = Session::open(&host).await;
    let text = session.call(&host, "echo.echo", json!({ "text": "hi" })).await;
    assert_eq!(
        (&text["isError"], &text["content"][0]["text"]),
        (&json!(false), &json!("hi"))
    );
    assert!(text["_meta"]["kinetic/telemetry"]["fuel"].as_u64().unwrap() > 0);
    assert_eq!(text["_meta"]["kinetic/capsule"]["urn"], ECHO);
    let record = session.call(&host, "echo.measure", json!({ "text": "four" })).await;
    assert_eq!(record["structuredContent"], json!({ "bytes": 4 }));
    assert_eq!(record["content"][0]["text"], r#"{"bytes":4}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_tool_errors_with_code_and_fix_and_a_guests_error_is_its_value() {
    let host = Host::start().await;
    let session = Session::open(&host).await;
    let own = session.call(&host, "echo.fail", json!({ "text": "no" })).await;
    assert_eq!(
        (&own["isError"], &own["content"][0]["text"]),
        (&json!(true), &json!("no"))
    );
    for (tool, arguments, code) in [
        ("echo.boom", json!({}), "KIN-ENG-0020"),
        ("echo.spin", json!({}), "KIN-ENG-0016"),
        ("echo.echo", json!({}), "KIN-ENG-0012"),
    ] {
        let failed = session.call(&host, tool, arguments).await;
        assert_eq!(failed["isError"], true, "{tool}");
        assert_eq!(failed["structuredContent"]["code"], code, "{failed}");
        assert!(failed["structuredContent"]["fix"].is_string() && failed["structuredContent"]["telemetry"].is_object());
        assert!(failed["content"][0]["text"].as_str().unwrap().starts_with(code));
    }
    let unknown = session
        .request(&host, "tools/call", json!({ "name": "echo.none" }))
        .await;
    assert_eq!(
        (&unknown["error"]["code"], &unknown["error"]["data"]["code"]),
        (&json!(-32602), &json!("KIN-GWY-0025"))
    );
}

#[tokio::test]
async fn a_change_of_the_capsules_is_announced_and_listed() {
    let host = Host::start().await;
    let session = Session::open(&host).await;
    let stream = session.stream(&host).await;
    host.publish("other", "1.0.0").await;
    assert_eq!(message(stream).await["method"], "notifications/tools/list_changed");
    let listed = session.request(&host, "tools/list", json!({})).await;
    let tools = listed["result"]["tools"].as_array().unwrap();
    assert!(tools.iter().any(|tool| tool["name"] == "other.echo"));
    assert_eq!(
        session.call(&host, "other.echo", json!({ "text": "hi" })).await["content"][0]["text"],
        "hi"
    );
}

/// A request of the version that has no sessions.
async fn modern(host: &Host, method: &str, name: Option<&str>, mut params: Value) -> Response {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let mut request = host.request(Method::POST, "/mcp").header("accept", ACCEPT);
    request = request
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", method);
    if let Some(name) = name {
        request = request.header("mcp-name", name);
    }
    request
        .json(&json!({ "jsonrpc": "2.0", "id": 3, "method": method, "params": params }))
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn a_client_without_sessions_lists_calls_and_subscribes() {
    let host = Host::start().await;
    let listed = message(modern(&host, "tools/list", None, json!({})).await).await;
    assert_eq!(listed["result"]["tools"].as_array().unwrap().len(), 7);
    let params = json!({ "name": "echo.echo", "arguments": { "text": "hi" } });
    let called = message(modern(&host, "tools/call", Some("echo.echo"), params).await).await;
    assert_eq!(called["result"]["content"][0]["text"], "hi");
    let params = json!({ "notifications": { "toolsListChanged": true } });
    let mut stream = modern(&host, "subscriptions/listen", None, params).await.bytes_stream();
    let mut read = String::new();
    while !read.contains("acknowledged") {
        read.push_str(&String::from_utf8_lossy(&stream.next().await.unwrap().unwrap()));
    }
    host.publish("other", "1.0.0").await;
    while !read.contains("notifications/tools/list_changed") {
        let next = timeout(PATIENCE, stream.next()).await.unwrap().unwrap();
        read.push_str(&String::from_utf8_lossy(&next.unwrap()));
    }
}

#[tokio::test]
async fn sessions_are_bounded_and_a_closed_one_makes_room() {
    let host = Host::with(|config| config.mcp_sessions_max = 1).await;
    let session = Session::open(&host).await;
    problem(initialize(&host).await, 503, "KIN-GWY-0023").await;
    let close = host
        .request(Method::DELETE, "/mcp")
        .header("mcp-session-id", &session.0);
    assert_eq!(close.send().await.unwrap().status(), 204);
    let closed = session
        .send(&host, json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }))
        .await;
    problem(closed, 404, "KIN-GWY-0024").await;
    Session::open(&host).await;
}

#[tokio::test]
async fn what_the_transport_refuses_is_a_problem_with_the_transports_status() {
    let host = Host::start().await;
    let gone = Session("no-such-session".into());
    problem(
        gone.send(&host, json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }))
            .await,
        404,
        "KIN-GWY-0024",
    )
    .await;
    let picky = host
        .request(Method::POST, "/mcp")
        .header("accept", "text/html")
        .json(&json!({}))
        .send()
        .await
        .unwrap();
    problem(picky, 406, "KIN-GWY-0024").await;
    let body = r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#;
    let doubled = host
        .request(Method::POST, "/mcp")
        .header("accept", ACCEPT)
        .header("content-type", "application/json");
    problem(doubled.body(body).send().await.unwrap(), 400, "KIN-GWY-0014").await;
}
