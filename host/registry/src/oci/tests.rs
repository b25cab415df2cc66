//! The client against registries that are honest, and that are not.

mod places;
mod rest;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use parking_lot::Mutex;
use serde_json::json;
use tokio::net::TcpListener;

use super::*;
use crate::fetch;
use crate::store::tests::descriptor;

const COMPONENT: &[u8] = b"component";
const REPOSITORY: &str = "/v2/team/kinetic/solver/redact/v1";

/// What a registry holds: paths below the repository, and what is answered there.
type Held = Arc<Mutex<BTreeMap<String, Bytes>>>;
/// What is answered instead, if anything.
type Instead = Arc<dyn Fn(&Request) -> Option<Response> + Send + Sync>;

fn wanted() -> Descriptor {
    descriptor("1.2.3", COMPONENT)
}

fn reference() -> CapsuleRef {
    wanted().urn.into()
}

fn quick() -> HttpOptions {
    HttpOptions {
        read_timeout: Duration::from_millis(300),
        ..HttpOptions::default()
    }
}

/// A registry at a port of its own, that answers some requests otherwise than an honest one would.
async fn serve(held: &Held, instead: Instead) -> OciSource {
    serve_with(held, instead, &HttpOptions::default()).await
}

async fn serve_with(held: &Held, instead: Instead, options: &HttpOptions) -> OciSource {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("oci://{}/team", listener.local_addr().unwrap());
    let held = held.clone();
    let routes = Router::new().fallback(move |request: Request| {
        let (held, instead) = (held.clone(), instead.clone());
        async move {
            match instead(&request) {
                Some(response) => response,
                None => honest(&held, request).await,
            }
        }
    });
    tokio::spawn(async move { axum::serve(listener, routes).await });
    OciSource::new(&OciAddress::parse(&address).unwrap(), Credentials::default(), options).unwrap()
}

async fn honest(held: &Held, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts
        .uri
        .path()
        .strip_prefix(REPOSITORY)
        .unwrap_or_default()
        .to_string();
    let query = parts.uri.query().unwrap_or_default().to_string();
    let body = to_bytes(body, 1_000_000).await.unwrap();
    if parts.method == Method::POST && path == "/blobs/uploads/" {
        let location = [(header::LOCATION, format!("{REPOSITORY}/blobs/uploads/1?state=x"))];
        return (StatusCode::ACCEPTED, location).into_response();
    }
    if parts.method == Method::PUT {
        let digest = query
            .split_once("digest=")
            .map(|(_, digest)| digest.replace("%3A", ":"));
        let path = digest.map_or(path, |digest| format!("/blobs/{digest}"));
        held.lock().insert(path, body);
        return StatusCode::CREATED.into_response();
    }
    if path == "/tags/list" {
        let held = held.lock();
        let tags: Vec<_> = held
            .keys()
            .filter_map(|path| path.strip_prefix("/manifests/"))
            .collect();
        return axum::Json(json!({ "name": "x", "tags": tags })).into_response();
    }
    match held.lock().get(&path) {
        Some(bytes) => bytes.clone().into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn nothing_else() -> Instead {
    Arc::new(|_| None)
}

/// Answers requests whose path contains that with what `answer` makes.
fn at(part: &str, answer: impl Fn() -> Response + Send + Sync + 'static) -> Instead {
    let part = part.to_string();
    Arc::new(move |request| request.uri().path().contains(&part).then(&answer))
}

/// What an honest registry holds of one version.
async fn held(version: &str, component: &'static [u8]) -> Held {
    let held = Held::default();
    put(&held, version, component).await;
    held
}

async fn put(held: &Held, version: &str, component: &'static [u8]) {
    let source = serve(held, nothing_else()).await;
    let pushed = descriptor(version, component);
    source
        .publish(&pushed, Bytes::from_static(component), None)
        .await
        .unwrap();
}

async fn refusal(instead: Instead) -> RegistryError {
    let source = serve(&held("1.2.3", COMPONENT).await, instead).await;
    match source.describe(&reference()).await {
        Err(error) => error,
        Ok(described) => fetch(&source, &described, 1000).await.unwrap_err(),
    }
}

fn component_path() -> String {
    format!("/blobs/{}", wanted().digest)
}

#[tokio::test]
async fn what_is_pushed_is_pulled_again_by_urn_version_and_digest() {
    let held = held("1.2.3", COMPONENT).await;
    put(&held, "1.3.0-rc.1+build.5", b"newer").await;
    put(&held, "1.1.0", b"older").await;
    held.lock()
        .insert("/manifests/latest".into(), Bytes::from_static(b"not even JSON"));
    let source = serve(&held, nothing_else()).await;
    let described = source.describe(&reference()).await.unwrap();
    assert_eq!(described, wanted());
    assert_eq!(fetch(&source, &described, 1000).await.unwrap(), COMPONENT);
    let urn = wanted().urn;
    let older = format!("{urn}@{}", Digest::of(b"older"));
    for (asked, version) in [
        (format!("{urn}@1.3.0-rc.1+build.5"), "1.3.0-rc.1+build.5"),
        (older, "1.1.0"),
    ] {
        let described = source.describe(&asked.parse().unwrap()).await.unwrap();
        assert_eq!(described.version.to_string(), version);
    }
    for missing in [format!("{urn}@1.2.4"), format!("{urn}@{}", Digest::of(b"no such"))] {
        let refused = source.describe(&missing.parse().unwrap()).await;
        assert!(matches!(refused, Err(RegistryError::NotFound { .. })), "{missing}");
    }
    assert!(matches!(source.list().await, Err(RegistryError::CannotList { .. })));
}

#[tokio::test]
async fn pushing_again_changes_nothing_and_other_content_under_the_version_is_refused() {
    let held = held("1.2.3", COMPONENT).await;
    let before = held.lock().clone();
    let source = serve(&held, nothing_else()).await;
    let publish = |bytes: &'static [u8]| {
        let source = &source;
        async move {
            source
                .publish(&descriptor("1.2.3", bytes), Bytes::from_static(bytes), None)
                .await
        }
    };
    publish(COMPONENT).await.unwrap();
    let refused = publish(b"other").await;
    assert!(
        matches!(refused, Err(RegistryError::VersionTaken { .. })),
        "{refused:?}"
    );
    assert_eq!(*held.lock(), before);
    held.lock()
        .insert("/manifests/1.2.3".into(), Bytes::from_static(br#"{"schemaVersion":2,"config":{"mediaType":"x","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0},"layers":[]}"#));
    let refused = publish(COMPONENT).await;
    assert!(
        matches!(refused, Err(RegistryError::VersionTaken { .. })),
        "somebody's image has the tag: {refused:?}"
    );
}

#[tokio::test]
async fn a_bill_of_materials_lies_beside_its_artifact_and_is_listed_where_the_registry_lists_none() {
    let sbom = br#"{"bomFormat":"CycloneDX"}"#;
    let says_subject: Instead = Arc::new(|request| {
        let is_referrer = request.method() == Method::PUT && request.uri().path().contains("/manifests/sha256:");
        is_referrer.then(|| (StatusCode::CREATED, [("oci-subject", "sha256:00")]).into_response())
    });
    for (instead, lists) in [(nothing_else(), true), (says_subject, false)] {
        let held = Held::default();
        let source = serve(&held, instead).await;
        for _ in 0..2 {
            let attached = Some(Bytes::from_static(sbom));
            source
                .publish(&wanted(), Bytes::from_static(COMPONENT), attached)
                .await
                .unwrap();
        }
        let held = held.lock().clone();
        assert_eq!(held[&format!("/blobs/{}", Digest::of(sbom))], sbom[..]);
        let artifact = Digest::of(&held["/manifests/1.2.3"]);
        let index = held.get(&format!("/manifests/sha256-{}", artifact.hex()));
        assert_eq!(index.is_some(), lists);
        let Some(index) = index else { continue };
        let index: Value = serde_json::from_slice(index).unwrap();
        let [entry] = index["manifests"].as_array().unwrap().as_slice() else {
            panic!("it is listed once: {index:#}")
        };
        assert_eq!(entry["artifactType"], json!("application/vnd.cyclonedx+json"));
        let referrer = &held[&format!("/manifests/{}", entry["digest"].as_str().unwrap())];
        let referrer: Value = serde_json::from_slice(referrer).unwrap();
        assert_eq!(referrer["subject"]["digest"], json!(artifact));
        assert_eq!(referrer["layers"][0]["digest"], json!(Digest::of(sbom)));
    }
}

#[tokio::test]
async fn whoever_was_overtaken_while_pushing_is_told() {
    let held = Held::default();
    let other = self::held("1.2.3", b"other").await;
    let theirs = other.lock().clone();
    let (mine, count) = (held.clone(), Mutex::new(0));
    // Right after the tag was set somebody else sets it.
    let instead: Instead = Arc::new(move |request| {
        if request.method() == Method::GET && request.uri().path().ends_with("/manifests/1.2.3") {
            *count.lock() += 1;
            if *count.lock() == 2 {
                mine.lock().extend(theirs.clone());
            }
        }
        None
    });
    let source = serve(&held, instead).await;
    let refused = source.publish(&wanted(), Bytes::from_static(COMPONENT), None).await;
    assert!(
        matches!(refused, Err(RegistryError::VersionTaken { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn wrong_bytes_are_refused_wherever_they_come() {
    let manifest = format!("/blobs/{}", Digest::of(wanted().manifest.as_bytes()));
    for path in [component_path(), manifest] {
        let length = if path == component_path() {
            9
        } else {
            wanted().manifest.len()
        };
        let refused = refusal(at(&path, move || "x".repeat(length).into_response())).await;
        assert!(matches!(refused, RegistryError::DigestMismatch { .. }), "{refused}");
        let refused = refusal(at(&path, move || "x".repeat(length - 1).into_response())).await;
        assert!(matches!(refused, RegistryError::Truncated { .. }), "{refused}");
        let refused = refusal(at(&path, move || "x".repeat(length + 1).into_response())).await;
        assert!(matches!(refused, RegistryError::LongerThanPromised { .. }), "{refused}");
    }
}

#[tokio::test]
async fn what_never_ends_is_cut() {
    fn endless() -> Response {
        Body::from_stream(stream::repeat_with(|| Ok::<_, std::io::Error>("component"))).into_response()
    }
    let refused = refusal(at(&component_path(), endless)).await;
    assert!(matches!(refused, RegistryError::LongerThanPromised { .. }), "{refused}");
    for part in ["/tags/list", "/manifests/", "/blobs/"] {
        let refused = refusal(at(part, endless)).await;
        assert!(matches!(refused, RegistryError::TooLarge { .. }), "{part}: {refused}");
    }
}

#[tokio::test]
async fn what_is_slow_or_silent_is_given_up() {
    fn silent() -> Response {
        Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>()).into_response()
    }
    fn drip() -> Response {
        Body::from_stream(stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Some((Ok::<_, std::io::Error>(" "), ()))
        }))
        .into_response()
    }
    let held = held("1.2.3", COMPONENT).await;
    for part in ["/tags/list", "/manifests/", "/blobs/"] {
        let source = serve_with(&held, at(part, silent), &quick()).await;
        let refused = source.describe(&reference()).await;
        assert!(
            matches!(refused, Err(RegistryError::SourceTimeout { .. })),
            "{part}: {refused:?}"
        );
    }
    // Bytes keep coming, so only the total time ends it.
    let options = HttpOptions {
        total_timeout: Duration::from_millis(500),
        ..quick()
    };
    for part in ["/tags/list", "/manifests/"] {
        let source = serve_with(&held, at(part, drip), &options).await;
        let refused = source.describe(&reference()).await;
        assert!(
            matches!(refused, Err(RegistryError::SourceTimeout { .. })),
            "{part}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn json_that_names_a_member_twice_is_refused() {
    let held = held("1.2.3", COMPONENT).await;
    let manifest = held.lock()["/manifests/1.2.3"].clone();
    let doubled = String::from_utf8(manifest.to_vec())
        .unwrap()
        .replacen('{', r#"{"layers":[],"#, 1);
    for (part, body) in [
        ("/manifests/", doubled),
        ("/tags/list", r#"{"tags":["1.2.3"],"tags":["1.2.3"]}"#.to_string()),
        ("/tags/list", "<html>".to_string()),
    ] {
        let body = Bytes::from(body);
        let refused = refusal(at(part, move || body.clone().into_response())).await;
        assert!(matches!(refused, RegistryError::NotAnAnswer { .. }), "{refused}");
    }
}

#[tokio::test]
async fn what_is_no_capsule_or_too_large_to_be_one_is_refused_before_it_is_fetched() {
    let held = held("1.2.3", COMPONENT).await;
    let text = String::from_utf8(held.lock()["/manifests/1.2.3"].to_vec()).unwrap();
    let size = format!("\"size\":{}", wanted().manifest.len());
    assert!(text.contains(&size));
    let huge = Bytes::from(text.replace(&size, "\"size\":99999999"));
    let refused = refusal(at("/manifests/", move || huge.clone().into_response())).await;
    assert!(
        matches!(
            refused,
            RegistryError::TooLarge {
                size_bytes: 99_999_999,
                ..
            }
        ),
        "{refused}"
    );
    let image = Bytes::from(text.replace("application/wasm", "application/vnd.oci.image.layer.v1.tar"));
    let refused = refusal(at("/manifests/", move || image.clone().into_response())).await;
    assert!(matches!(refused, RegistryError::NotACapsule { .. }), "{refused}");
}

#[tokio::test]
async fn a_tag_without_end_is_no_list() {
    let page = || {
        let link = format!(r#"</v2/x/tags/list?last={}>; rel="next""#, rand());
        let link = [(header::LINK, link)];
        let tags: Vec<_> = (0..2).map(|_| format!("1.0.{}", rand())).collect();
        (link, axum::Json(json!({ "tags": tags }))).into_response()
    };
    let refused = refusal(at("/tags/list", page)).await;
    assert!(matches!(refused, RegistryError::NotAnAnswer { .. }), "{refused}");
}

#[tokio::test]
async fn the_next_page_of_tags_is_the_one_the_registry_names_and_a_list_that_breaks_off_is_none() {
    let held = held("1.2.3", COMPONENT).await;
    put(&held, "1.3.0", b"newer").await;
    // The place of a page is a word of its own, which is no tag.
    let pages: Instead = Arc::new(|request| {
        let query = request.uri().query().unwrap_or_default().to_string();
        let page = |tag: &str| axum::Json(json!({ "tags": [tag] }));
        request.uri().path().ends_with("/tags/list").then(|| {
            if query == "n=1000&next=dG9rZW4%3D" {
                return page("1.3.0").into_response();
            }
            assert_eq!(query, "n=1000");
            let link = r#"<https://elsewhere.example/list?n=1000&next=dG9rZW4%3D>; rel="next""#;
            ([(header::LINK, link)], page("1.2.3")).into_response()
        })
    });
    let source = serve(&held, pages).await;
    let described = source.describe(&reference()).await.unwrap();
    assert_eq!(described.version.to_string(), "1.3.0");
    for nowhere in ["", "</v2/x/tags/list>; rel=\"next\""] {
        let page = move || ([(header::LINK, nowhere)], axum::Json(json!({ "tags": ["1.2.3"] }))).into_response();
        let refused = refusal(at("/tags/list", page)).await;
        assert!(matches!(refused, RegistryError::NotAnAnswer { .. }), "{refused}");
    }
}

#[tokio::test]
async fn what_a_registry_lost_is_damage_and_not_a_version_that_nobody_has() {
    let missing = || StatusCode::NOT_FOUND.into_response();
    let refused = refusal(at("/manifests/", missing)).await;
    assert!(matches!(refused, RegistryError::NotAnAnswer { .. }), "{refused}");
    let held = held("1.2.3", COMPONENT).await;
    let manifest = format!("/blobs/{}", Digest::of(wanted().manifest.as_bytes()));
    held.lock().remove(&manifest).unwrap();
    let before = held.lock().clone();
    let source = serve(&held, nothing_else()).await;
    let refused = source.describe(&reference()).await;
    assert!(
        matches!(refused, Err(RegistryError::Truncated { found_bytes: 0, .. })),
        "{refused:?}"
    );
    let other = source
        .publish(&descriptor("1.2.3", b"other"), Bytes::from_static(b"other"), None)
        .await;
    assert!(matches!(other, Err(RegistryError::Truncated { .. })), "{other:?}");
    assert_eq!(*held.lock(), before, "its tag is not free");
}

/// Another number each time.
fn rand() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
