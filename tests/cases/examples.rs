//! The example capsules as a user calls them: through the host, as components.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use kinetic_testkit::host::Host;
use serde_json::json;

#[test]
fn chunk_cuts_a_document_into_pieces_that_know_their_headings() {
    let host = Host::start();
    let text = "# One\n\nFirst part.\n\n## Two\n\nSecond part, which is a little longer.\n";
    let reply = host.execute(
        "urn:kinetic:actionspace:solver:chunk:v1",
        "split",
        json!({ "text": text, "options": { "max-chars": 40, "overlap-chars": 0 } }),
    );
    let answer = reply.json();
    let chunks = answer["output"].as_array().unwrap_or_else(|| panic!("{answer:#}"));
    assert!(chunks.len() >= 2, "{answer:#}");
    assert!(
        chunks
            .iter()
            .all(|chunk| chunk["text"].as_str().unwrap().chars().count() <= 40)
    );
    assert!(
        chunks.last().unwrap()["headings"].to_string().contains("Two"),
        "{answer:#}"
    );
}

#[test]
fn profile_describes_the_columns_of_real_telemetry() {
    let host = Host::start();
    let file = kinetic_testkit::guests::root().join("tests/data/llm-stream.jsonl");
    let urn = "urn:kinetic:actionspace:solver:profile:v1";
    let args = ["call", urn, "--file", file.to_str().unwrap(), "--arg", "options={}"];
    let answer = host.kinetic(&args).fine().json();
    let columns = answer["output"]["columns"]
        .as_array()
        .unwrap_or_else(|| panic!("{answer:#}"));
    let names: Vec<_> = columns.iter().map(|column| column["name"].as_str().unwrap()).collect();
    assert_eq!(answer["output"]["rows"], json!(8372));
    for name in [
        "received_unix_ns",
        "workflow_id",
        "intent_id",
        "node_cid",
        "sequence",
        "data",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
}

/// A page server for one request; answers the request it got.
fn serve_once(page: &'static str) -> (u16, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let read = stream.read(&mut request).unwrap();
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\n\r\n{page}",
            page.len()
        );
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8_lossy(&request[..read]).into_owned()
    });
    (port, served)
}

const FETCH: &str = "urn:kinetic:actionspace:effector:fetch:v1";

#[test]
fn fetch_reads_a_page_that_manifest_and_operator_both_allow() {
    let host = Host::start_with(&[("KINETIC_HTTP__ALLOWED_HOSTS", "127.0.0.1:*")]);
    let page =
        "<html><head><title>Hello</title><script>no()</script></head><body><h1>Big</h1><p>A &amp; B</p></body></html>";
    let (port, served) = serve_once(page);
    let answer = host
        .execute(FETCH, "get", json!({ "url": format!("http://127.0.0.1:{port}/") }))
        .json();
    let request = served.join().unwrap();
    assert!(request.starts_with("GET / HTTP/1.1"), "{request}");
    assert_eq!(answer["output"]["title"], json!("Hello"), "{answer:#}");
    let text = answer["output"]["text"].as_str().unwrap();
    assert!(
        text.contains("Big") && text.contains("A & B") && !text.contains("no()"),
        "{text}"
    );
}

#[test]
fn fetch_reaches_nothing_the_operator_did_not_allow() {
    let host = Host::start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://127.0.0.1:{}/", listener.local_addr().unwrap().port());
    let answer = host.execute(FETCH, "get", json!({ "url": url })).json();
    assert_eq!(answer["success"], json!(false), "{answer:#}");
    assert!(answer["output"].to_string().contains("denied"), "{answer:#}");
    assert!(listener.accept().is_err(), "something connected");
}
