//! A component whose download broke, from the registry itself and from where it has its blobs.

use futures_util::StreamExt as _;

use super::*;

/// What was asked for of the component: its first byte, and under which name of the content.
type Seen = Arc<Mutex<Vec<(usize, Option<String>)>>>;

/// Answers the component's path so that the first answer breaks after so many bytes.
fn breaking(at: usize, seen: &Seen) -> Instead {
    let seen = seen.clone();
    Arc::new(move |request| {
        if !request.uri().path().contains(&component_path()) {
            return None;
        }
        let text = |name| {
            request
                .headers()
                .get(name)
                .map(|value| value.to_str().unwrap().to_string())
        };
        let range = text(header::RANGE);
        let from = range.as_deref().map_or(0, |range| {
            let from = range.strip_prefix("bytes=").and_then(|range| range.strip_suffix('-'));
            from.unwrap().parse().unwrap()
        });
        let first = seen.lock().is_empty();
        seen.lock().push((from, text(header::IF_RANGE)));
        let end = if first { at } else { COMPONENT.len() };
        let bytes = Bytes::from_static(&COMPONENT[from..end]);
        let breaks = first.then(|| Err(std::io::Error::other("cut")));
        let pieces = [Ok(bytes)].into_iter().chain(breaks);
        // What came before it breaks is sent first.
        let pieces = stream::iter(pieces).then(|piece| async move {
            if piece.is_err() {
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            piece
        });
        let mut response = Body::from_stream(pieces).into_response();
        let headers = response.headers_mut();
        headers.insert(header::ETAG, "\"one\"".parse().unwrap());
        if range.is_some() {
            let range = format!("bytes {from}-{}/{}", COMPONENT.len() - 1, COMPONENT.len());
            headers.insert(header::CONTENT_RANGE, range.parse().unwrap());
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        Some(response)
    })
}

#[tokio::test]
async fn a_blob_that_breaks_off_goes_on_where_it_stopped() {
    let seen = Seen::default();
    let source = serve(&held("1.2.3", COMPONENT).await, breaking(4, &seen)).await;
    let described = source.describe(&reference()).await.unwrap();
    assert_eq!(fetch(&source, &described, 1000).await.unwrap(), COMPONENT);
    assert_eq!(*seen.lock(), [(0, None), (4, Some("\"one\"".to_string()))]);
}

#[tokio::test]
async fn a_blob_that_lies_elsewhere_goes_on_there() {
    let (seen, held) = (Seen::default(), held("1.2.3", COMPONENT).await);
    let elsewhere = serve(&held, breaking(4, &seen)).await;
    let digest = wanted().digest.to_string();
    let there = elsewhere
        .client
        .url("team/kinetic/solver/redact/v1", &["blobs", &digest]);
    let source = serve(
        &held,
        at(&component_path(), move || {
            (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, there.to_string())]).into_response()
        }),
    )
    .await;
    let described = source.describe(&reference()).await.unwrap();
    assert_eq!(fetch(&source, &described, 1000).await.unwrap(), COMPONENT);
    assert_eq!(*seen.lock(), [(0, None), (4, Some("\"one\"".to_string()))]);
}

#[tokio::test]
async fn an_encoded_answer_is_refused_wherever_it_comes() {
    for path in [component_path(), "/tags/list".into(), "/manifests/".into()] {
        let encoded = || ([(header::CONTENT_ENCODING, "zstd")], COMPONENT).into_response();
        let refused = refusal(at(&path, encoded)).await;
        assert!(matches!(refused, RegistryError::Encoded { .. }), "{path}: {refused}");
    }
}
