use std::path::Path as FilePath;

use axum::body::to_bytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use kinetic_identity::{BuildInfo, BuildSubject, IndexState, Receipt, SignedIndex, SigningKey, TrustRoot, now_unix_ms};
use kinetic_model::{Digest, Urn};
use tempfile::TempDir;
use tower::ServiceExt as _;

use super::*;
use crate::server::open;
use crate::tokens::{Namespaces, NewToken, Quota, add_token};
use crate::{Settings, StoreAddress};

const URN: &str = "urn:acme:actionspace:solver:words:v1";
const CAPABILITIES: &str = "/api/v1/registry/capabilities";

/// A registry in a folder: its trust root lists one key for `acme` and another for `other`.
struct Place {
    folder: TempDir,
    key: SigningKey,
    others: SigningKey,
    token: String,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The code of a problem with that status.
    fn refused(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        assert_eq!(self.headers[CONTENT_TYPE], "application/problem+json");
        let problem = self.json();
        assert!(problem["request_id"].as_str().is_some_and(|id| !id.is_empty()));
        problem["code"].as_str().unwrap().to_string()
    }
}

fn quota() -> Quota {
    Quota {
        publications_per_minute_max: 1_000,
        ..Quota::default()
    }
}

impl Place {
    fn new() -> Self {
        Self::with(quota())
    }

    fn with(quota: Quota) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [key, others, index] = [(); 3].map(|()| SigningKey::generate().unwrap());
        let mut trust = TrustRoot::default();
        trust.add("acme", key.public(), "").unwrap();
        trust.add("acme", index.public(), "").unwrap();
        trust.add("other", others.public(), "").unwrap();
        trust.save(&folder.path().join("trust.json")).unwrap();
        index.save(&folder.path().join("index.pem")).unwrap();
        let new = NewToken {
            name: "ci".into(),
            rights: vec![Right::Publish, Right::Yank, Right::Read],
            namespaces: Namespaces::Only(vec!["acme".into()]),
            quota,
        };
        let token = add_token(&folder.path().join("tokens.json"), new).unwrap();
        Self {
            folder,
            key,
            others,
            token,
        }
    }

    fn path(&self) -> &FilePath {
        self.folder.path()
    }

    fn settings(&self) -> Settings {
        let store = StoreAddress::Folder(self.path().join("store"));
        let index_key = SigningKey::load(&self.path().join("index.pem")).unwrap();
        let mut settings = Settings::new(store, index_key, self.path().join("trust.json"));
        settings.tokens = Some(self.path().join("tokens.json"));
        settings.component_bytes_max = 100_000;
        settings
    }

    /// A server that starts now on what the store holds.
    async fn starts(&self) -> Router {
        Self::starts_as(self.settings()).await
    }

    async fn starts_as(settings: Settings) -> Router {
        let (app, _) = open(settings).await.unwrap();
        router(&app)
    }

    fn publication(&self, version: &str, component: &[u8]) -> Value {
        publication(URN, version, component, &self.key)
    }

    async fn publishes(&self, server: &Router, publication: &Value) -> Answer {
        post_as(
            server,
            &format!("{CAPABILITIES}/publish"),
            Some(&self.token),
            publication.to_string(),
        )
        .await
    }

    async fn post(&self, server: &Router, below: &str, body: &Value) -> Answer {
        post_as(
            server,
            &format!("{CAPABILITIES}/{below}"),
            Some(&self.token),
            body.to_string(),
        )
        .await
    }

    /// The index as a client believes it, that has seen those before.
    fn believed(&self, answer: &Answer, seen: &mut IndexState, before: &mut Option<kinetic_identity::Index>) {
        let root = TrustRoot::load(&self.path().join("trust.json")).unwrap();
        let signed = SignedIndex::from_json(&answer.body).unwrap();
        let index = signed.verify(&root, seen, before.as_ref(), now_unix_ms()).unwrap();
        seen.remember(&index).unwrap();
        *before = Some(index);
    }
}

fn manifest(urn: &str, version: &str) -> String {
    json!({
        "id": urn, "version": version, "title": "Word counter", "description": "Counts words of a text.",
        "functions": { "count": { "description": "How many there are." } },
    })
    .to_string()
}

fn publication(urn: &str, version: &str, component: &[u8], key: &SigningKey) -> Value {
    let manifest = manifest(urn, version);
    let subject = BuildSubject {
        urn: urn.parse().unwrap(),
        version: version.parse().unwrap(),
        component: Digest::of(component),
        component_bytes: component.len() as u64,
        manifest: Digest::of(manifest.as_bytes()),
    };
    let receipt = Receipt::sign(&subject, &BuildInfo::default(), key).unwrap().to_value();
    json!({ "manifest": manifest, "receipt": receipt, "component": BASE64.encode(component) })
}

async fn send(server: &Router, request: http::Request<Body>) -> Answer {
    let (head, body) = server.clone().oneshot(request).await.unwrap().into_parts();
    Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        body: to_bytes(body, usize::MAX).await.unwrap().to_vec(),
    }
}

async fn get_with(server: &Router, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = http::Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(server, request.body(Body::empty()).unwrap()).await
}

async fn get_from(server: &Router, path: &str) -> Answer {
    get_with(server, path, &[]).await
}

async fn post_as(server: &Router, path: &str, token: Option<&str>, body: String) -> Answer {
    let mut request = http::Request::post(path).header(CONTENT_TYPE, "application/json");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    send(server, request.body(Body::from(body)).unwrap()).await
}

#[tokio::test]
async fn what_is_published_is_described_and_downloaded_byte_for_byte() {
    let place = Place::new();
    let server = place.starts().await;
    let publication = place.publication("1.0.0", b"component");
    let published = place.publishes(&server, &publication).await;
    assert_eq!(published.status, 201);
    let digest = Digest::of(b"component").to_string();
    let expected = json!({ "urn": URN, "version": "1.0.0", "digest": digest });
    assert_eq!(published.json(), expected);
    let again = place.publishes(&server, &publication).await;
    assert_eq!((again.status, again.json()), (200, expected));
    for reference in [URN.to_string(), format!("{URN}@1.0.0"), format!("{URN}@{digest}")] {
        let described = get_from(&server, &format!("{CAPABILITIES}/{reference}")).await;
        assert_eq!(described.json()["manifest"], publication["manifest"]);
        assert_eq!(described.json()["receipt"], publication["receipt"]);
        let downloaded = get_from(&server, &format!("{CAPABILITIES}/{reference}/download")).await;
        assert_eq!(
            (downloaded.status, downloaded.body.as_slice()),
            (200, &b"component"[..])
        );
        assert_eq!(downloaded.headers[ETAG], format!("\"{digest}\""));
        assert_eq!(downloaded.headers[CONTENT_LENGTH], "9");
    }
    let list = get_from(&server, CAPABILITIES).await.json();
    assert_eq!(list["capabilities"][0]["size_bytes"], json!(9));
    let missing = get_from(&server, &format!("{CAPABILITIES}/{URN}@1.0.1")).await;
    assert_eq!(missing.refused(404), "KIN-REG-0001");
    assert_eq!(
        get_from(&server, &format!("{CAPABILITIES}/nonsense"))
            .await
            .refused(400),
        "KIN-RGS-0016"
    );
    assert_eq!(get_from(&server, "/nothing").await.refused(404), "KIN-RGS-0018");
    assert_eq!(get_from(&server, "/healthz").await.status, 200);
}

#[tokio::test]
async fn a_download_goes_on_where_it_broke_off() {
    let place = Place::new();
    let server = place.starts().await;
    let component: Vec<u8> = (0..90_000_u32).map(|at| at.to_le_bytes()[0]).collect();
    place.publishes(&server, &place.publication("1.0.0", &component)).await;
    let path = format!("{CAPABILITIES}/{URN}/download");
    let tag = format!("\"{}\"", Digest::of(&component));
    let rest = get_with(&server, &path, &[("range", "bytes=70000-"), ("if-range", &tag)]).await;
    assert_eq!((rest.status, rest.body.as_slice()), (206, &component[70_000..]));
    assert_eq!(rest.headers[CONTENT_RANGE], "bytes 70000-89999/90000");
    assert_eq!(rest.headers[ACCEPT_RANGES], "bytes");
    assert_eq!(rest.headers[ETAG], tag);
    let other = get_with(&server, &path, &[("range", "bytes=70000-"), ("if-range", "\"other\"")]).await;
    assert_eq!((other.status, other.body.len()), (200, 90_000));
    let beyond = get_with(&server, &path, &[("range", "bytes=90000-")]).await;
    assert_eq!(beyond.refused(416), "KIN-RGS-0020");
    assert_eq!(beyond.headers[CONTENT_RANGE], "bytes */90000");
    assert_eq!(get_with(&server, &path, &[("if-none-match", &tag)]).await.status, 304);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_publish_one_version_at_once_one_wins_also_on_two_servers() {
    let place = Place::new();
    let servers = [place.starts().await, place.starts().await];
    for round in 0..10 {
        let version = format!("1.0.{round}");
        let contents = [b"one".as_slice(), b"two"].map(|component| place.publication(&version, component));
        let answers = tokio::join!(
            place.publishes(&servers[0], &contents[0]),
            place.publishes(&servers[1], &contents[1])
        );
        let statuses = [answers.0.status, answers.1.status];
        assert!(statuses == [201, 409] || statuses == [409, 201], "{statuses:?}");
        let component = if statuses[0] == 201 { &b"one"[..] } else { b"two" };
        for server in [&servers[0], &servers[1], &place.starts().await] {
            // What another server published is there as soon as the index was asked for.
            get_from(server, "/api/v1/registry/index/acme").await;
            let path = format!("{CAPABILITIES}/{URN}@{version}/download");
            assert_eq!(get_from(server, &path).await.body, component);
        }
    }
}

#[tokio::test]
async fn a_yanked_version_is_had_only_by_pin_and_the_index_says_why() {
    let place = Place::new();
    let server = place.starts().await;
    for (version, component) in [("1.0.0", b"a"), ("1.1.0", b"b")] {
        place.publishes(&server, &place.publication(version, component)).await;
    }
    let meant = async |server: &Router| {
        let described = get_from(server, &format!("{CAPABILITIES}/{URN}")).await;
        described.json()["version"].clone()
    };
    assert_eq!(meant(&server).await, "1.1.0");
    let unnamed = place
        .post(&server, &format!("{URN}/yank"), &json!({ "reason": "x" }))
        .await;
    assert_eq!(unnamed.refused(400), "KIN-RGS-0016");
    let yank = format!("{URN}@1.1.0/yank");
    for reason in ["", " ", "line\nline", &"x".repeat(201)] {
        assert_eq!(
            place
                .post(&server, &yank, &json!({ "reason": reason }))
                .await
                .refused(400),
            "KIN-RGS-0016"
        );
    }
    let yanked = place.post(&server, &yank, &json!({ "reason": "counts wrong" })).await;
    assert_eq!((yanked.status, &yanked.json()["yanked"]), (200, &json!("counts wrong")));
    for server in [&server, &place.starts().await] {
        assert_eq!(meant(server).await, "1.0.0");
        assert_eq!(
            get_from(server, &format!("{CAPABILITIES}/{URN}@1.1.0/download"))
                .await
                .body,
            b"b"
        );
        assert_eq!(
            get_from(server, CAPABILITIES).await.json()["capabilities"]
                .as_array()
                .unwrap()
                .len(),
            1
        );
        let hits = get_from(server, "/api/v1/registry/search?q=count").await.json();
        assert_eq!(hits["hits"][0]["version"], "1.0.0");
        let index = get_from(server, "/api/v1/registry/index/acme").await;
        let signed = SignedIndex::from_json(&index.body).unwrap();
        let reasons: Vec<_> = signed
            .document()
            .entries
            .iter()
            .map(|entry| entry.yanked.as_deref())
            .collect();
        assert_eq!(reasons, [None, Some("counts wrong")]);
    }
    // Publishing it again does not bring it back.
    assert_eq!(
        place.publishes(&server, &place.publication("1.1.0", b"b")).await.status,
        200
    );
    assert_eq!(meant(&server).await, "1.0.0");
    assert_eq!(
        place
            .post(&server, &format!("{URN}@1.1.0/unyank"), &json!({}))
            .await
            .status,
        200
    );
    assert_eq!(meant(&server).await, "1.1.0");
    let absent = place
        .post(&server, &format!("{URN}@1.9.0/yank"), &json!({ "reason": "x" }))
        .await;
    assert_eq!(absent.refused(404), "KIN-REG-0001");
}

#[tokio::test]
async fn where_all_versions_are_yanked_that_is_said_and_each_is_had_by_pin() {
    let place = Place::new();
    let server = place.starts().await;
    for (version, component) in [("1.0.0", b"a"), ("1.1.0", b"b")] {
        place.publishes(&server, &place.publication(version, component)).await;
        let reason = json!({ "reason": format!("{version} counts wrong") });
        let yanked = place.post(&server, &format!("{URN}@{version}/yank"), &reason).await;
        assert_eq!(yanked.status, 200);
    }
    for server in [&server, &place.starts().await] {
        for route in ["", "/download"] {
            let refused = get_from(server, &format!("{CAPABILITIES}/{URN}{route}")).await;
            assert_eq!(refused.refused(409), "KIN-RGS-0035");
            let problem = refused.json();
            assert!(problem["detail"].as_str().unwrap().contains("1.1.0 counts wrong"));
            assert!(problem["fix"].as_str().unwrap().contains(&format!("{URN}@1.1.0")));
        }
        for pin in ["1.1.0".to_string(), Digest::of(b"b").to_string()] {
            let pinned = get_from(server, &format!("{CAPABILITIES}/{URN}@{pin}/download")).await;
            assert_eq!((pinned.status, pinned.body.as_slice()), (200, &b"b"[..]));
        }
        let absent = get_from(server, &format!("{CAPABILITIES}/{URN}@1.2.0")).await;
        assert_eq!(absent.refused(404), "KIN-REG-0001");
    }
}

#[tokio::test]
async fn a_receipt_signed_anew_takes_the_place_of_the_one_before() {
    let place = Place::new();
    let server = place.starts().await;
    place.publishes(&server, &place.publication("1.0.0", b"a")).await;
    let newer = SigningKey::generate().unwrap();
    let trust = place.path().join("trust.json");
    let mut root = TrustRoot::load(&trust).unwrap();
    root.add("acme", newer.public(), "").unwrap();
    root.save(&trust).unwrap();
    let again = publication(URN, "1.0.0", b"a", &newer);
    assert_eq!(place.publishes(&server, &again).await.status, 200);
    for server in [&server, &place.starts().await] {
        let described = get_from(server, &format!("{CAPABILITIES}/{URN}")).await.json();
        assert_eq!(described["receipt"], again["receipt"]);
        let index = get_from(server, "/api/v1/registry/index/acme").await;
        let signed = SignedIndex::from_json(&index.body).unwrap();
        let receipt = Receipt::from_value(&again["receipt"]).unwrap().to_json();
        assert_eq!(signed.document().entries[0].receipt, Digest::of(&receipt));
    }
}

#[tokio::test]
async fn search_finds_by_name_title_description_and_functions_and_says_why() {
    let place = Place::new();
    let server = place.starts().await;
    place.publishes(&server, &place.publication("1.0.0", b"a")).await;
    place.publishes(&server, &place.publication("1.2.0", b"b")).await;
    let other = "urn:acme:actionspace:solver:text:v1";
    place
        .publishes(&server, &publication(other, "1.0.0", b"c", &place.key))
        .await;
    let found = get_from(&server, "/api/v1/registry/search?q=words&limit=5")
        .await
        .json();
    let hits = found["hits"].as_array().unwrap();
    let first: (Urn, &Value) = (hits[0]["urn"].as_str().unwrap().parse().unwrap(), &hits[0]["version"]);
    assert_eq!(
        (first.0.as_str(), first.1),
        (URN, &json!("1.2.0")),
        "one hit for a URN, of its newest version"
    );
    assert_eq!(hits.len(), 2);
    assert!(hits[0]["score"].as_u64() > hits[1]["score"].as_u64());
    assert_eq!(hits[0]["why"][0], json!({ "field": "name", "word": "words" }));
    for bad in ["", "?q=", "?q=x&limit=0", "?q=x&limit=101", "?q=x&more=1"] {
        let refused = get_from(&server, &format!("/api/v1/registry/search{bad}")).await;
        assert_eq!(refused.refused(400), "KIN-RGS-0016", "{bad}");
    }
}

#[tokio::test]
async fn whoever_looks_through_all_sees_one_moment_and_holds_no_publisher_up() {
    let place = Place::new();
    let (app, registry) = open(place.settings()).await.unwrap();
    let server = router(&app);
    place.publishes(&server, &place.publication("1.0.0", b"a")).await;
    let before = registry.catalogue.read().capsules();
    let published = place.publishes(&server, &place.publication("1.1.0", b"b")).await;
    assert_eq!(published.status, 201);
    let after = registry.catalogue.read().capsules();
    for (capsules, version, versions) in [(before, "1.0.0", 1), (after, "1.1.0", 2)] {
        assert_eq!(capsules.search("words", 5)[0].version.to_string(), version);
        assert_eq!(capsules.list().len(), versions);
    }
}

#[tokio::test]
async fn a_damaged_version_is_not_served_and_keeps_no_other_from_it() {
    let place = Place::new();
    let server = place.starts().await;
    for (version, component) in [("1.0.0", b"a"), ("1.1.0", b"b")] {
        place.publishes(&server, &place.publication(version, component)).await;
    }
    let versions = place.path().join("store/versions/acme/solver/words/v1");
    std::fs::write(versions.join("1.1.0.json"), b"{").unwrap();
    let refused = get_from(&server, &format!("{CAPABILITIES}/{URN}@1.1.0")).await;
    assert_eq!(refused.refused(500), "KIN-RGS-0003");
    let server = place.starts().await;
    assert_eq!(
        get_from(&server, &format!("{CAPABILITIES}/{URN}@1.0.0/download"))
            .await
            .body,
        b"a"
    );
    let blob = place.path().join("store/blobs/sha256").join(Digest::of(b"a").hex());
    std::fs::write(blob, b"cut off").unwrap();
    let refused = get_from(&server, &format!("{CAPABILITIES}/{URN}@1.0.0/download")).await;
    assert_eq!(refused.refused(500), "KIN-RGS-0003");
    assert_eq!(
        place.publishes(&server, &place.publication("1.0.0", b"a")).await.status,
        200,
        "which mends it"
    );
    assert_eq!(
        get_from(&server, &format!("{CAPABILITIES}/{URN}@1.0.0/download"))
            .await
            .body,
        b"a"
    );
}

mod indexes;
mod promotions;
mod refusals;
