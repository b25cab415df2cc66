use opendal::services::Memory;

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

/// A folder, and a store with conditional writes.
fn stores(folder: &std::path::Path) -> [Store; 2] {
    let in_folder = StoreAddress::Folder(folder.into()).open(PATIENCE).unwrap();
    let operator = Operator::new(Memory::default()).unwrap();
    [in_folder, Store::new(operator, None, PATIENCE)]
}

#[tokio::test]
async fn what_is_written_once_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    for store in stores(folder.path()) {
        let put = async |bytes: &'static [u8]| store.put_once("a/b.json", Bytes::from_static(bytes)).await.unwrap();
        assert_eq!(store.read("a/b.json", 10).await.unwrap(), None);
        assert_eq!(put(b"first").await, Put::Stored);
        assert_eq!(put(b"first").await, Put::Same);
        for other in [&b"other"[..], b"", b"firstly", b"fir"] {
            assert_eq!(put(other).await, Put::Different);
        }
        assert_eq!(store.read("a/b.json", 5).await.unwrap().unwrap(), &b"first"[..]);
        let refused = store.read("a/b.json", 4).await;
        assert!(matches!(refused, Err(ServerError::StoreDamaged { .. })));
        assert_eq!(store.list("a/").await.unwrap(), ["a/b.json"]);
        assert!(store.list("nothing/").await.unwrap().is_empty());
        store.put_once("a/c/d.json", Bytes::from_static(b"x")).await.unwrap();
        assert_eq!(store.folders("a/").await.unwrap(), ["c"]);
        assert!(store.folders("nothing/").await.unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_that_write_at_once_one_wins_and_its_bytes_are_whole() {
    let folder = tempfile::tempdir().unwrap();
    for store in stores(folder.path()) {
        for round in 0..20 {
            let path = format!("round/{round}");
            let writers: Vec<_> = (0..8_u8)
                .map(|writer| {
                    let (store, path) = (store.clone(), path.clone());
                    tokio::spawn(async move { store.put_once(&path, vec![writer; 4_096].into()).await.unwrap() })
                })
                .collect();
            let mut stored = Vec::new();
            for (writer, put) in (0..8_u8).zip(writers) {
                if put.await.unwrap() == Put::Stored {
                    stored.push(writer);
                }
            }
            assert_eq!(stored.len(), 1, "{stored:?}");
            let bytes = store.read(&path, 4_096).await.unwrap().unwrap();
            assert!(bytes.len() == 4_096 && bytes.iter().all(|byte| *byte == stored[0]));
        }
    }
}

#[tokio::test]
async fn any_part_of_an_object_comes_in_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let whole: Vec<u8> = (0..1_000_000_u32).map(|at| at.to_le_bytes()[0]).collect();
    for store in stores(folder.path()) {
        store.put_once("large", whole.clone().into()).await.unwrap();
        for (from, to) in [(0, 1_000_000), (1, 2), (999_999, 1_000_000), (300_000, 900_000)] {
            let chunks: Vec<Bytes> = store
                .stream("large", from, to)
                .await
                .unwrap()
                .try_collect()
                .await
                .unwrap();
            let expected = &whole[usize::try_from(from).unwrap()..usize::try_from(to).unwrap()];
            assert_eq!(chunks.concat(), expected);
        }
    }
    // What comes from a folder is never held whole.
    let [in_folder, _] = stores(folder.path());
    let mut chunks = in_folder.stream("large", 0, 1_000_000).await.unwrap();
    while let Some(chunk) = chunks.try_next().await.unwrap() {
        assert!(chunk.len() <= CHUNK_BYTES, "{}", chunk.len());
    }
}
