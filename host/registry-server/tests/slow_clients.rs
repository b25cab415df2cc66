//! Slow clients at a registry's own sockets: the limit that applies ends each, and nobody else waits for them.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use kinetic_identity::{BuildInfo, BuildSubject, Receipt, SigningKey, TrustRoot};
use kinetic_model::Digest;
use kinetic_registry_server::{Namespaces, NewToken, Quota, Right, Settings, StoreAddress, add_token, bind};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// How long a test waits for what has to come.
const PATIENCE: Duration = Duration::from_secs(30);
/// No limit but the one of the test is to apply before this.
const LONG_MS: u64 = 600_000;
/// How often a slow client sends a byte: often enough that a limit which each byte renews would never apply.
const DRIP: Duration = Duration::from_millis(50);
const CAPABILITIES: &str = "/api/v1/registry/capabilities";
const URN: &str = "urn:acme:actionspace:solver:words:v1";

/// A registry on a port of its own with room for two connections, and a publisher.
struct Place {
    address: SocketAddr,
    token: String,
    key: SigningKey,
    serving: JoinHandle<()>,
    _folder: TempDir,
}

impl Place {
    async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let key = SigningKey::generate().unwrap();
        let mut trust = TrustRoot::default();
        trust.add("acme", key.public(), "").unwrap();
        trust.save(&path("trust.json")).unwrap();
        let new = NewToken {
            name: "ci".into(),
            rights: vec![Right::Publish],
            namespaces: Namespaces::Only(vec!["acme".into()]),
            quota: Quota::default(),
        };
        let token = add_token(&path("tokens.json"), new).unwrap();
        let store = StoreAddress::Folder(path("store"));
        let mut settings = Settings::new(store, SigningKey::generate().unwrap(), path("trust.json"));
        settings.tokens = Some(path("tokens.json"));
        settings.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        settings.connections_max = 2;
        settings.publications_max = 1;
        for limit in [
            &mut settings.header_timeout_ms,
            &mut settings.body_timeout_ms,
            &mut settings.request_timeout_ms,
            &mut settings.write_stall_ms,
        ] {
            *limit = LONG_MS;
        }
        change(&mut settings);
        let bound = bind(settings).await.unwrap();
        Self {
            address: bound.local_addr(),
            token,
            key,
            serving: tokio::spawn(bound.serve(std::future::pending())),
            _folder: folder,
        }
    }

    /// The head of a publication of so many bytes.
    fn publishing(&self, bytes: usize) -> String {
        format!(
            "POST {CAPABILITIES}/publish HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {bytes}\r\nConnection: close\r\n\r\n",
            self.token
        )
    }

    async fn publishes(&self, component: &[u8]) {
        let manifest = json!({ "id": URN, "version": "1.0.0", "description": "Counts words." }).to_string();
        let subject = BuildSubject {
            urn: URN.parse().unwrap(),
            version: "1.0.0".parse().unwrap(),
            component: Digest::of(component),
            component_bytes: component.len() as u64,
            manifest: Digest::of(manifest.as_bytes()),
        };
        let receipt = Receipt::sign(&subject, &BuildInfo::default(), &self.key).unwrap();
        let body =
            json!({ "manifest": manifest, "receipt": receipt.to_value(), "component": BASE64.encode(component) });
        let body = body.to_string();
        let answer = exchanged(self.address, &format!("{}{body}", self.publishing(body.len()))).await;
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }

    /// Somebody else is answered, on a connection of his own.
    async fn answers_others(&self) {
        let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let answer = exchanged(self.address, request).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Sends and reads until the other side closes.
async fn exchanged(address: SocketAddr, sent: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = timeout(PATIENCE, stream.read_to_string(&mut answer)).await;
    read.expect("nobody answers").unwrap();
    answer
}

/// Sends the beginning, and then a byte now and then, until the other side ends the connection; what that said before.
async fn dripped(stream: TcpStream, beginning: String) -> String {
    let (mut reading, mut writing) = stream.into_split();
    writing.write_all(beginning.as_bytes()).await.unwrap();
    let dripping = tokio::spawn(async move {
        // Nothing can be sent any more once the connection has ended.
        while writing.write_all(b"x").await.is_ok() {
            sleep(DRIP).await;
        }
    });
    let mut answer = Vec::new();
    // It ends in order, or broken because bytes were still coming.
    let ended = timeout(PATIENCE, reading.read_to_end(&mut answer)).await;
    dripping.abort();
    drop(ended.expect("no limit ends it"));
    String::from_utf8(answer).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_come_byte_by_byte_end_the_connection_and_free_its_place() {
    let place = Place::with(|settings| settings.header_timeout_ms = 2_000).await;
    // Were a place lost in each round, the second would take the last one.
    for _ in 0..2 {
        let slow = TcpStream::connect(place.address).await.unwrap();
        let slow = tokio::spawn(dripped(
            slow,
            "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ".into(),
        ));
        place.answers_others().await;
        // No answer: there was no request.
        assert_eq!(slow.await.unwrap(), "");
    }
    place.answers_others().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_comes_byte_by_byte_is_answered_408_and_frees_all_that_it_held() {
    let place = Place::with(|settings| settings.body_timeout_ms = 1_000).await;
    for _ in 0..2 {
        let slow = TcpStream::connect(place.address).await.unwrap();
        let slow = tokio::spawn(dripped(slow, place.publishing(100_000)));
        place.answers_others().await;
        // Also in the second round, so the only publication there may be was freed as well.
        let answer = slow.await.unwrap();
        let is_408 = answer.starts_with("HTTP/1.1 408") && answer.contains("KIN-RGS-0013");
        assert!(is_408, "{answer}");
    }
    place.answers_others().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_reads_the_answer_is_cut_off_and_frees_its_place() {
    /// Of a component.
    const BYTES: usize = 4 << 20;
    /// Answers on one connection: together more than the system takes for a client that does not read.
    const ANSWERS: usize = 16;
    let place = Place::with(|settings| settings.write_stall_ms = 1_000).await;
    place.publishes(&vec![7; BYTES]).await;
    let requests = format!("GET {CAPABILITIES}/{URN}/download HTTP/1.1\r\nHost: localhost\r\n\r\n").repeat(ANSWERS);
    let mut unread = Vec::new();
    for _ in 0..2 {
        place.answers_others().await;
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(8_192).unwrap();
        let mut stream = socket.connect(place.address).await.unwrap();
        stream.write_all(requests.as_bytes()).await.unwrap();
        unread.push(stream);
    }
    // Both places were taken by those who do not read.
    place.answers_others().await;
    for mut stream in unread {
        let mut got = Vec::new();
        let ended = timeout(PATIENCE, stream.read_to_end(&mut got)).await;
        drop(ended.expect("it was not cut off"));
        assert!(got.starts_with(b"HTTP/1.1 200"), "it was answered at first");
        assert!(got.len() < BYTES * ANSWERS, "{} bytes came", got.len());
    }
}
