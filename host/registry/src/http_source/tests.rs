//! The client against a real server, honest and otherwise.

mod rest;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::stream;
use kinetic_model::{Digest, Hashed};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::fetch;
use crate::store::tests::descriptor;

const BASE: &str = "/api/v1/registry/capabilities";
const COMPONENT: &[u8] = b"component";

fn wanted() -> Descriptor {
    descriptor("1.2.3", COMPONENT)
}

fn reference() -> CapsuleRef {
    wanted().urn.into()
}

async fn serve(routes: Router) -> HttpSource {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    HttpSource::new(&base, &patient()).unwrap()
}

/// For answers that have to come.
fn patient() -> HttpOptions {
    HttpOptions {
        read_timeout: Duration::from_mins(1),
        ..HttpOptions::default()
    }
}

/// For those that do not.
fn quick() -> HttpOptions {
    HttpOptions {
        read_timeout: Duration::from_millis(200),
        ..HttpOptions::default()
    }
}

/// The same registry for somebody who does not wait long.
fn hurried(source: &HttpSource) -> HttpSource {
    HttpSource::new(source.name(), &quick()).unwrap()
}

/// A server whose every answer is the same.
async fn answering<R: IntoResponse, F: Fn() -> R + Clone + Send + Sync + 'static>(answer: F) -> HttpSource {
    serve(Router::new().fallback(move || std::future::ready(answer().into_response()))).await
}

fn chunked(chunks: &[&'static [u8]]) -> Body {
    let chunks: Vec<_> = chunks
        .iter()
        .map(|chunk| Ok::<_, std::io::Error>(Bytes::from_static(chunk)))
        .collect();
    Body::from_stream(stream::iter(chunks))
}

/// A server that sends these bytes and closes, for answers no HTTP library would send.
async fn raw(answer: &'static str) -> HttpSource {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut peer, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = peer.read(&mut request).await;
            let _ = peer.write_all(answer.as_bytes()).await;
        }
    });
    HttpSource::new(&base, &patient()).unwrap()
}

async fn fetched(source: &HttpSource) -> Result<Hashed, RegistryError> {
    fetch(source, &wanted(), 1000).await
}

#[tokio::test]
async fn an_index_is_asked_for_by_its_tag_and_a_registry_without_one_says_so() {
    let index = |Path(namespace): Path<String>, headers: HeaderMap| async move {
        if namespace != "kinetic" {
            return StatusCode::NOT_FOUND.into_response();
        }
        if headers.get(header::IF_NONE_MATCH).is_some_and(|tag| tag == "\"one\"") {
            return StatusCode::NOT_MODIFIED.into_response();
        }
        ([(header::ETAG, "\"one\"")], "signed").into_response()
    };
    let source = serve(Router::new().route("/api/v1/registry/index/{namespace}", get(index))).await;
    let sent = IndexAnswer::Index {
        bytes: Bytes::from_static(b"signed"),
        tag: Some("\"one\"".into()),
    };
    assert_eq!(source.index("kinetic", None).await.unwrap(), sent);
    assert_eq!(source.index("kinetic", Some("\"old\"")).await.unwrap(), sent);
    assert_eq!(
        source.index("kinetic", Some("\"one\"")).await.unwrap(),
        IndexAnswer::Same
    );
    assert_eq!(source.index("acme", None).await.unwrap(), IndexAnswer::Nothing);
    let moved = answering(|| (StatusCode::FOUND, [(header::LOCATION, "http://127.0.0.1:1/")])).await;
    assert!(matches!(
        moved.index("kinetic", None).await,
        Err(RegistryError::Redirected { .. })
    ));
}

#[tokio::test]
async fn a_search_is_the_registrys_own_where_it_has_one() {
    let found = || async {
        axum::Json(json!({ "query": "redact", "hits": [{
            "urn": wanted().urn, "version": "1.2.3", "digest": wanted().digest, "score": 7, "why": [{ "word": "redact" }],
        }] }))
    };
    let source = serve(Router::new().route("/api/v1/registry/search", get(found))).await;
    let hits = source.search("redact", 3).await.unwrap().unwrap();
    assert_eq!((hits.len(), hits[0].score), (1, 7));
    let without = answering(|| StatusCode::NOT_FOUND).await;
    assert_eq!(without.search("redact", 3).await.unwrap(), None);
}

#[tokio::test]
async fn an_honest_registry_is_described_listed_and_fetched() {
    let routes = Router::new()
        .route(
            BASE,
            get(|| async { axum::Json(json!({ "capabilities": [wanted().summary()] })) }),
        )
        .route(
            &format!("{BASE}/{{reference}}"),
            get(|Path(reference): Path<String>| async move {
                assert_eq!(reference, "urn:kinetic:actionspace:solver:redact:v1");
                axum::Json(wanted())
            }),
        )
        .route(
            &format!("{BASE}/{{reference}}/download"),
            get(|Path(reference): Path<String>| async move {
                assert_eq!(reference, format!("{}@{}", wanted().urn, wanted().digest));
                COMPONENT
            }),
        );
    let source = serve(routes).await;
    let described = source.describe(&reference()).await.unwrap();
    assert_eq!(described, wanted());
    assert_eq!(source.list().await.unwrap(), [wanted().summary()]);
    assert_eq!(fetch(&source, &described, 1000).await.unwrap(), COMPONENT);
}

#[tokio::test]
async fn a_base_url_with_a_path_and_a_version_with_build_metadata_reach_the_right_route() {
    let route = format!("/mirror{BASE}/{{reference}}");
    let routes = Router::new().route(
        &route,
        get(|Path(reference): Path<String>| async move {
            let version = reference.split_once('@').unwrap().1.to_string();
            axum::Json(descriptor(&version, COMPONENT))
        }),
    );
    let plain = serve(routes).await;
    for base in [format!("{}/mirror", plain.name()), format!("{}/mirror/", plain.name())] {
        let source = HttpSource::new(&base, &patient()).unwrap();
        let pinned: CapsuleRef = format!("{}@1.2.3-rc.1+build.5", wanted().urn).parse().unwrap();
        assert_eq!(
            source.describe(&pinned).await.unwrap().version.to_string(),
            "1.2.3-rc.1+build.5"
        );
    }
}

#[tokio::test]
async fn a_flipped_bit_is_refused() {
    let source = answering(|| "componenu").await;
    assert!(matches!(
        fetched(&source).await,
        Err(RegistryError::DigestMismatch { .. })
    ));
}

#[tokio::test]
async fn an_announced_length_that_is_not_the_promised_one_is_refused_before_the_body() {
    let source = answering(|| "component and more").await;
    assert!(matches!(
        fetched(&source).await,
        Err(RegistryError::LongerThanPromised { expected_bytes: 9, .. })
    ));
    let source = answering(|| "comp").await;
    assert!(matches!(
        fetched(&source).await,
        Err(RegistryError::Truncated { found_bytes: 4, .. })
    ));
}

#[tokio::test]
async fn an_unannounced_length_that_is_not_the_promised_one_is_refused() {
    let source = answering(|| chunked(&[b"compo", b"nent", b" and more"])).await;
    assert!(matches!(
        fetched(&source).await,
        Err(RegistryError::LongerThanPromised { .. })
    ));
    let source = answering(|| chunked(&[b"compo", b"nen"])).await;
    assert!(matches!(
        fetched(&source).await,
        Err(RegistryError::Truncated { found_bytes: 8, .. })
    ));
}

#[tokio::test]
async fn a_length_that_lies_is_refused() {
    // More is sent than announced: what is beyond the announced length is not part of the answer.
    let source = raw("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ncomponent").await;
    assert!(matches!(fetched(&source).await, Err(RegistryError::Truncated { .. })));
    // Less is sent than announced: the connection breaks.
    let source = raw("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ncompo").await;
    assert!(matches!(fetched(&source).await, Err(RegistryError::Unreachable { .. })));
}

#[tokio::test]
async fn a_promise_above_the_bound_is_refused_before_the_download() {
    let source = raw("not even HTTP").await;
    let refused = fetch(&source, &wanted(), 8).await;
    assert!(matches!(
        refused,
        Err(RegistryError::TooLarge {
            size_bytes: 9,
            bytes_max: 8,
            ..
        })
    ));
}

#[tokio::test]
async fn an_endless_body_is_cut() {
    let source = answering(|| Body::from_stream(stream::repeat_with(|| Ok::<_, std::io::Error>("component")))).await;
    assert!(matches!(
        fetched(&source).await,
        Err(RegistryError::LongerThanPromised { .. })
    ));
    let refused = source.describe(&reference()).await;
    assert!(matches!(refused, Err(RegistryError::TooLarge { .. })));
}

#[tokio::test]
async fn a_registry_that_falls_silent_is_given_up() {
    let never = || Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let source = hurried(&answering(never).await);
    assert!(matches!(
        fetched(&source).await,
        Err(RegistryError::SourceTimeout { .. })
    ));
    let before_the_head = serve(Router::new().fallback(|| async {
        std::future::pending::<()>().await;
    }))
    .await;
    assert!(matches!(
        hurried(&before_the_head).list().await,
        Err(RegistryError::SourceTimeout { .. })
    ));
}

#[tokio::test]
async fn the_total_time_is_bounded_even_when_bytes_keep_coming() {
    let drip = || {
        Body::from_stream(stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Some((Ok::<_, std::io::Error>(" "), ()))
        }))
    };
    let source = answering(drip).await;
    let options = HttpOptions {
        total_timeout: Duration::from_millis(300),
        ..quick()
    };
    let source = HttpSource::new(source.name(), &options).unwrap();
    assert!(matches!(source.list().await, Err(RegistryError::SourceTimeout { .. })));
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let source = HttpSource::new(&base, &quick()).unwrap();
    assert!(matches!(source.list().await, Err(RegistryError::Unreachable { .. })));
}

#[tokio::test]
async fn a_missing_capability_is_not_found() {
    let source = answering(|| StatusCode::NOT_FOUND).await;
    let refused = source.describe(&reference()).await.unwrap_err();
    assert!(matches!(refused, RegistryError::NotFound { .. }));
    assert!(refused.to_string().contains("urn:kinetic:actionspace:solver:redact:v1"));
    assert!(matches!(fetched(&source).await, Err(RegistryError::NotFound { .. })));
}

#[tokio::test]
async fn redirects_are_refused_and_named() {
    let source = answering(|| (StatusCode::FOUND, [(header::LOCATION, "http://169.254.169.254/")])).await;
    for refused in [
        source.describe(&reference()).await.map(|_| ()),
        fetched(&source).await.map(|_| ()),
    ] {
        match refused {
            Err(RegistryError::Redirected { location, .. }) => assert_eq!(location, "http://169.254.169.254/"),
            other => panic!("{other:?}"),
        }
    }
}

fn problem(status: u16, code: &str, detail: &str) -> Response {
    let body = json!({ "type": "about:blank", "status": status, "code": code, "detail": detail }).to_string();
    let media_type = [(header::CONTENT_TYPE, "application/problem+json")];
    (StatusCode::from_u16(status).unwrap(), media_type, body).into_response()
}

#[tokio::test]
async fn a_problem_document_becomes_an_error_that_carries_its_code_and_words() {
    use kinetic_model::{Coded, ErrorKind};
    for (status, kind) in [
        (401, ErrorKind::Unauthenticated),
        (403, ErrorKind::Security),
        (409, ErrorKind::Conflict),
        (413, ErrorKind::Conformance),
        (422, ErrorKind::Conformance),
        (500, ErrorKind::Unavailable),
        (503, ErrorKind::Unavailable),
    ] {
        let source = answering(move || problem(status, "KIN-KER-0012", "it asks\u{1b}[2J too much.")).await;
        let refused = source.list().await.unwrap_err();
        assert_eq!(refused.kind(), kind, "{status}");
        let text = refused.to_string();
        assert!(
            text.contains("KIN-KER-0012") && text.contains("it asks[2J too much."),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_failure_without_a_problem_document_is_still_typed() {
    let source = answering(|| (StatusCode::INTERNAL_SERVER_ERROR, "x".repeat(1_000_000))).await;
    assert!(matches!(
        source.list().await,
        Err(RegistryError::SourceFailed { status: 500, .. })
    ));
    let huge = || {
        (
            StatusCode::BAD_REQUEST,
            [(header::CONTENT_TYPE, "application/problem+json")],
            "{".repeat(100_000),
        )
    };
    let source = answering(huge).await;
    assert!(matches!(
        source.list().await,
        Err(RegistryError::SourceRefuses { status: 400, .. })
    ));
}

#[tokio::test]
async fn an_answer_about_something_else_is_refused() {
    let source = answering(|| axum::Json(wanted())).await;
    for asked in [
        "urn:kinetic:actionspace:solver:other:v1".to_string(),
        format!("{}@1.2.4", wanted().urn),
        format!("{}@{}", wanted().urn, Digest::of(b"other")),
    ] {
        let refused = source.describe(&asked.parse().unwrap()).await;
        assert!(matches!(refused, Err(RegistryError::OtherThanAsked { .. })), "{asked}");
    }
}

#[tokio::test]
async fn an_answer_that_is_no_descriptor_is_refused() {
    let doubled = serde_json::to_string(&wanted())
        .unwrap()
        .replacen('{', r#"{"size_bytes":1,"#, 1);
    for body in ["", "<html>", "{}", "null", &doubled].map(str::to_string) {
        let source = answering(move || body.clone()).await;
        assert!(matches!(
            source.describe(&reference()).await,
            Err(RegistryError::NotAnAnswer { .. })
        ));
    }
    let mut other_major = serde_json::to_value(wanted()).unwrap();
    other_major["version"] = json!("2.0.0");
    let source = answering(move || axum::Json(other_major.clone())).await;
    assert!(matches!(
        source.describe(&reference()).await,
        Err(RegistryError::BadDescriptor { .. })
    ));
    let source = answering(|| StatusCode::NO_CONTENT).await;
    assert!(matches!(source.list().await, Err(RegistryError::NotAnAnswer { .. })));
}

#[tokio::test]
async fn publishing_sends_manifest_receipt_and_component_with_the_token() {
    let seen = Arc::new(parking_lot::Mutex::new(None));
    let publish = |State(seen): State<Arc<parking_lot::Mutex<Option<Value>>>>,
                   headers: HeaderMap,
                   axum::Json(body): axum::Json<Value>| async move {
        assert_eq!(headers[header::AUTHORIZATION], "Bearer secret");
        *seen.lock() = Some(body);
        let answer = json!({ "urn": wanted().urn, "version": wanted().version, "digest": wanted().digest });
        (StatusCode::CREATED, axum::Json(answer))
    };
    let routes = Router::new()
        .route(&format!("{BASE}/publish"), post(publish))
        .with_state(Arc::clone(&seen));
    let plain = serve(routes).await;
    let source = HttpSource::new(
        plain.name(),
        &HttpOptions {
            token: Some("secret".into()),
            ..patient()
        },
    )
    .unwrap();
    let published = source
        .publish(&wanted().manifest, &wanted().receipt, COMPONENT)
        .await
        .unwrap();
    assert_eq!((published.urn, published.digest), (wanted().urn, wanted().digest));
    let sent = json!({ "manifest": wanted().manifest, "receipt": wanted().receipt, "component": "Y29tcG9uZW50" });
    assert_eq!(seen.lock().take(), Some(sent));
    // The same registry did not get the other bytes it was sent.
    let refused = source.publish(&wanted().manifest, &wanted().receipt, b"other").await;
    assert!(matches!(refused, Err(RegistryError::OtherThanAsked { .. })));
}

#[tokio::test]
async fn a_version_that_is_taken_is_a_conflict_when_publishing() {
    let source = answering(|| problem(409, "KIN-REG-0002", "it has a version 1.2.3 already.")).await;
    let refused = source.publish(&wanted().manifest, &wanted().receipt, COMPONENT).await;
    assert!(matches!(refused, Err(RegistryError::SourceConflict { .. })));
}

#[test]
fn an_address_that_is_no_registrys_is_refused_without_showing_its_password() {
    for bad in [
        "",
        "localhost:8000",
        "ftp://host",
        "http://",
        "http://host?x=1",
        "http://host#x",
        "http://u:geheim@host",
    ] {
        let refused = HttpSource::new(bad, &quick()).err().unwrap();
        assert!(matches!(refused, RegistryError::BadBaseUrl { .. }), "{bad}");
        assert!(!refused.to_string().contains("geheim"));
    }
}

#[test]
fn a_token_with_a_line_break_is_refused_without_being_shown() {
    let refused = HttpSource::new(
        "http://host",
        &HttpOptions {
            token: Some("a\nb".into()),
            ..quick()
        },
    );
    assert!(matches!(refused, Err(RegistryError::BadToken {})));
}

#[test]
fn http_and_https_with_or_without_a_path_are_addresses_of_registries() {
    // Only parsed: an https client needs CA certificates, which not every machine has.
    for good in [
        "https://registry.example",
        "http://127.0.0.1:8000/",
        "https://registry.example/mirror",
    ] {
        assert!(parse_base(good).is_ok(), "{good}");
    }
}
