//! What indexes promise: they go on, they are renewed, and no number of theirs is used twice.

use super::*;

const INDEX: &str = "/api/v1/registry/index/acme";

#[tokio::test]
async fn an_index_only_goes_on_whoever_signs_it_and_whenever_the_server_starts() {
    let place = Place::new();
    let (mut seen, mut before) = (IndexState::default(), None);
    let path = INDEX;
    let mut servers = vec![place.starts().await];
    assert_eq!(get_from(&servers[0], path).await.refused(404), "KIN-RGS-0027");
    let mut highest = 0;
    for round in 0..6_u8 {
        let server = &servers[usize::from(round) % servers.len()];
        let version = format!("1.0.{round}");
        assert_eq!(
            place
                .publishes(server, &place.publication(&version, &[round]))
                .await
                .status,
            201
        );
        if round % 2 == 0 {
            place
                .post(server, &format!("{URN}@{version}/yank"), &json!({ "reason": "x" }))
                .await;
        }
        for server in &servers {
            let answer = get_from(server, path).await;
            // The same index, one that goes on from it, or nothing that a client would take.
            place.believed(&answer, &mut seen, &mut before);
        }
        let (version, _) = seen.highest("acme").unwrap();
        assert!(version > highest);
        highest = version;
        servers.push(place.starts().await);
    }
    assert_eq!(before.unwrap().document().entries.len(), 6);
    let answer = get_from(&servers[0], path).await;
    let tag = answer.headers[ETAG].to_str().unwrap().to_string();
    assert_eq!(
        get_with(&servers[0], path, &[("if-none-match", &tag)]).await.status,
        304
    );
    let namespaces = get_from(&servers[0], "/api/v1/registry/index").await.json();
    assert_eq!(namespaces, json!({ "namespaces": ["acme"] }));
}

#[tokio::test]
async fn what_a_crash_left_without_an_index_is_indexed_at_the_next_start() {
    let place = Place::new();
    let server = place.starts().await;
    place.publishes(&server, &place.publication("1.0.0", b"a")).await;
    let index = place.path().join("store/index/acme/00000000000000000001.json");
    let first = std::fs::read(&index).unwrap();
    place.publishes(&server, &place.publication("1.1.0", b"b")).await;
    drop(server);
    // As if it had been killed between the version and its index, and another time before the version.
    std::fs::remove_file(place.path().join("store/index/acme/00000000000000000002.json")).unwrap();
    assert_eq!(std::fs::read(&index).unwrap(), first);
    let orphan = format!("store/blobs/sha256/{}", Digest::of(b"never published").hex());
    std::fs::write(place.path().join(orphan), b"never published").unwrap();
    let server = place.starts().await;
    let signed = SignedIndex::from_json(&get_from(&server, "/api/v1/registry/index/acme").await.body).unwrap();
    assert_eq!((signed.document().version, signed.document().entries.len()), (2, 2));
    let unseen = format!("{CAPABILITIES}/{URN}@{}/download", Digest::of(b"never published"));
    assert_eq!(get_from(&server, &unseen).await.refused(404), "KIN-REG-0001");
}

#[tokio::test]
async fn an_index_that_would_expire_soon_is_renewed() {
    let place = Place::new();
    let mut short = place.settings();
    short.index_valid_hours = 1;
    let server = Place::starts_as(short).await;
    place.publishes(&server, &place.publication("1.0.0", b"a")).await;
    let first = SignedIndex::from_json(&get_from(&server, INDEX).await.body).unwrap();
    // Of a day that it would be valid now, less than half is left.
    let server = place.starts().await;
    let second = SignedIndex::from_json(&get_from(&server, INDEX).await.body).unwrap();
    assert_eq!((first.document().version, second.document().version), (1, 2));
    assert_eq!(first.document().entries, second.document().entries);
    assert!(second.document().expires_unix_ms > first.document().expires_unix_ms + 20 * 3_600_000);
    // What is valid for long enough is left alone.
    let third = SignedIndex::from_json(&get_from(&place.starts().await, INDEX).await.body).unwrap();
    assert_eq!(third.document().version, 2);
}

#[tokio::test]
async fn older_indexes_are_emptied_and_a_server_that_was_away_goes_past_them() {
    let place = Place::new();
    let (server, away) = (place.starts().await, place.starts().await);
    place.publishes(&server, &place.publication("1.0.0", b"a")).await;
    assert_eq!(get_from(&away, INDEX).await.status, 200);
    for round in 0..12 {
        let (what, body) = if round % 2 == 0 {
            ("yank", json!({ "reason": "x" }))
        } else {
            ("unyank", json!({}))
        };
        assert_eq!(
            place.post(&server, &format!("{URN}@1.0.0/{what}"), &body).await.status,
            200
        );
    }
    let file = |version: u64| place.path().join("store").join(layout::index("acme", version));
    for (version, is_empty) in [(1, true), (5, true), (6, false), (13, false)] {
        let bytes = std::fs::read(file(version)).unwrap();
        assert_eq!(bytes.is_empty(), is_empty, "{version}");
    }
    for server in [&server, &away, &place.starts().await] {
        let signed = SignedIndex::from_json(&get_from(server, INDEX).await.body).unwrap();
        assert_eq!(signed.document().version, 13);
    }
    // It goes on from there, and not from where it was.
    let yanked = place
        .post(&away, &format!("{URN}@1.0.0/yank"), &json!({ "reason": "x" }))
        .await;
    assert_eq!(yanked.json()["index_version"], 14);
}
