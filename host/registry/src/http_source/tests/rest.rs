//! A download that broke goes on where it stopped, with servers that can do that, cannot, and lie about it; and answers that
//! are encoded, which nobody asked for.

use parking_lot::Mutex;

use super::*;

/// What a server was asked for: the first byte, and under which name of the content.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    from: usize,
    if_range: Option<String>,
}

type Seen = Arc<Mutex<Vec<Asked>>>;

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let mut of_name = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
    of_name.next().map(|(_, value)| value.trim())
}

/// A server of the component that breaks each answer after so many bytes, then no more; it names the content so.
async fn breaking(tag: &'static str, breaks: Vec<usize>) -> (HttpSource, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let seen = Seen::default();
    let record = seen.clone();
    tokio::spawn(async move {
        let mut breaks = breaks.into_iter();
        while let Ok((mut peer, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut piece = [0; 1024];
                match peer.read(&mut piece).await {
                    Ok(read) if read > 0 => request.extend_from_slice(&piece[..read]),
                    _ => break,
                }
            }
            let head = String::from_utf8(request).unwrap();
            let range = field(&head, "range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
            let from: usize = range.map_or(0, |from| from.parse().unwrap());
            record.lock().push(Asked {
                from,
                if_range: field(&head, "if-range").map(str::to_string),
            });
            let end = breaks
                .next()
                .map_or(COMPONENT.len(), |bytes| (from + bytes).min(COMPONENT.len()));
            let status = match range {
                Some(_) => format!("206 Partial Content\r\ncontent-range: bytes {from}-8/9"),
                None => "200 OK".to_string(),
            };
            let length = COMPONENT.len() - from;
            let head =
                format!("HTTP/1.1 {status}\r\netag: {tag}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
            let _ = peer.write_all(head.as_bytes()).await;
            let _ = peer.write_all(&COMPONENT[from..end]).await;
            let _ = peer.shutdown().await;
        }
    });
    (HttpSource::new(&base, &patient()).unwrap(), seen)
}

#[tokio::test]
async fn wherever_the_connection_breaks_the_rest_is_fetched_and_no_byte_twice() {
    for at in 1..COMPONENT.len() {
        let (source, seen) = breaking("\"one\"", vec![at]).await;
        assert_eq!(fetched(&source).await.unwrap(), COMPONENT);
        let rest = Asked {
            from: at,
            if_range: Some("\"one\"".into()),
        };
        let whole = Asked {
            from: 0,
            if_range: None,
        };
        assert_eq!(*seen.lock(), [whole, rest], "{at}");
    }
    let (source, seen) = breaking("\"one\"", vec![1; 8]).await;
    assert_eq!(fetched(&source).await.unwrap(), COMPONENT);
    let from: Vec<_> = seen.lock().iter().map(|asked| asked.from).collect();
    assert_eq!(from, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
}

#[tokio::test]
async fn a_weak_name_of_the_content_is_no_promise_of_the_same_bytes() {
    let (source, seen) = breaking("W/\"one\"", vec![4]).await;
    assert_eq!(fetched(&source).await.unwrap(), COMPONENT);
    assert!(seen.lock().iter().all(|asked| asked.if_range.is_none()));
}

/// An answer to the rest, after a first one that breaks after "comp".
async fn after_a_break(second: &'static str) -> Result<Hashed, RegistryError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut answer = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 9\r\n\r\ncomp";
        while let Ok((mut peer, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = peer.read(&mut request).await;
            let _ = peer.write_all(answer.as_bytes()).await;
            let _ = peer.shutdown().await;
            answer = second;
        }
    });
    fetched(&HttpSource::new(&base, &patient()).unwrap()).await
}

#[tokio::test]
async fn a_server_that_cannot_go_on_begins_anew_and_the_hash_with_it() {
    let whole = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 9\r\n\r\ncomponent";
    assert_eq!(after_a_break(whole).await.unwrap(), COMPONENT);
}

#[tokio::test]
async fn a_part_that_is_not_the_one_that_was_asked_for_is_refused() {
    for part in [
        "HTTP/1.1 206 Partial Content\r\nconnection: close\r\ncontent-length: 5\r\n\r\nonent",
        "HTTP/1.1 206 Partial Content\r\nconnection: close\r\ncontent-range: bytes 3-8/9\r\ncontent-length: 6\r\n\r\nponent",
        "HTTP/1.1 206 Partial Content\r\nconnection: close\r\ncontent-range: bytes 4-7/9\r\ncontent-length: 4\r\n\r\nonen",
        "HTTP/1.1 206 Partial Content\r\nconnection: close\r\ncontent-range: bytes 4-8/10\r\ncontent-length: 5\r\n\r\nonent",
        "HTTP/1.1 206 Partial Content\r\nconnection: close\r\ncontent-range: bytes 4-8/9\r\ncontent-length: 9\r\n\r\nonentxxxx",
    ] {
        let refused = after_a_break(part).await;
        assert!(
            matches!(refused, Err(RegistryError::OtherThanAsked { .. })),
            "{part}: {refused:?}"
        );
    }
    // The rest of something else: the hash is over all of it.
    let other = "HTTP/1.1 206 Partial Content\r\nconnection: close\r\ncontent-range: bytes 4-8/9\r\ncontent-length: 5\r\n\r\nxxxxx";
    let refused = after_a_break(other).await;
    assert!(
        matches!(refused, Err(RegistryError::DigestMismatch { .. })),
        "{refused:?}"
    );
    // More than the rest, without saying how much it is.
    let longer =
        "HTTP/1.1 206 Partial Content\r\nconnection: close\r\ncontent-range: bytes 4-8/*\r\n\r\nonent and more";
    let refused = after_a_break(longer).await;
    assert!(
        matches!(refused, Err(RegistryError::LongerThanPromised { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_part_that_nobody_asked_for_is_refused() {
    let source = answering(|| {
        (
            StatusCode::PARTIAL_CONTENT,
            [(header::CONTENT_RANGE, "bytes 0-8/9")],
            "component",
        )
    })
    .await;
    let refused = fetched(&source).await;
    assert!(matches!(refused, Err(RegistryError::NotAnAnswer { .. })), "{refused:?}");
}

#[tokio::test]
async fn an_encoded_answer_is_refused_and_never_decoded() {
    for encoding in ["gzip", "br", "zstd", "deflate", "identity, gzip"] {
        let source = answering(move || ([(header::CONTENT_ENCODING, encoding)], "component")).await;
        for refused in [
            fetched(&source).await.map(|_| ()),
            source.describe(&reference()).await.map(|_| ()),
            source.list().await.map(|_| ()),
        ] {
            assert!(
                matches!(&refused, Err(RegistryError::Encoded { encoding: found, .. }) if found == encoding),
                "{refused:?}"
            );
        }
    }
    let plain = answering(|| ([(header::CONTENT_ENCODING, "identity")], "component")).await;
    assert_eq!(fetched(&plain).await.unwrap(), COMPONENT);
}
