//! Compiled code on disk: used when whole, never when changed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use kinetic_engine::{Admit, Engine, EngineConfig, LoadedFrom};
use kinetic_identity::SigningKey;
use kinetic_model::{Digest, Limits};
use kinetic_testkit::author::{manifest, publication};
use kinetic_testkit::engine::{call, unnamed, value};
use kinetic_testkit::guests;
use kinetic_testkit::host::Host;
use kinetic_testkit::swappable::wait_for;
use serde_json::json;

fn engine(folder: &Path) -> Engine {
    let config = EngineConfig {
        pool_instances: 4,
        code_cache: Some(folder.to_path_buf()),
        ..EngineConfig::default()
    };
    Engine::new(config, vec![]).unwrap()
}

fn entry(folder: &Path) -> PathBuf {
    let mut entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.find(|path| !path.ends_with("mac.key")).unwrap()
}

async fn load(engine: &Engine, bytes: &[u8]) -> LoadedFrom {
    let admit = Admit {
        capsule: &unnamed(bytes),
        grants: &[],
        peers: &[],
        limits: &Limits::default(),
    };
    let (guest, from) = engine.load(bytes, admit).await.unwrap();
    assert_eq!(
        value(call(&guest, "text-back", json!({ "text": "hi" })).await),
        json!("hi")
    );
    assert_eq!(
        guest.function(Some("text-back")).unwrap().signature(),
        "text-back: func(text: string) -> string"
    );
    from
}

#[tokio::test]
async fn a_second_start_takes_the_code_from_the_cache_and_a_flipped_byte_means_a_recompile() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("code");
    let bytes = guests::rust("values");
    assert_eq!(load(&engine(&cache), &bytes).await, LoadedFrom::Compiler);
    assert_eq!(fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(load(&engine(&cache), &bytes).await, LoadedFrom::Cache);
    let path = entry(&cache);
    let whole = fs::read(&path).unwrap();
    // Everywhere in the entry: its magic, its MAC, the interface, the code.
    for at in [0, 20, 60, whole.len() / 2, whole.len() - 1] {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        fs::write(&path, flipped).unwrap();
        assert_eq!(load(&engine(&cache), &bytes).await, LoadedFrom::Compiler, "byte {at}");
        assert_eq!(load(&engine(&cache), &bytes).await, LoadedFrom::Cache);
    }
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(load(&engine(&cache), &bytes).await, LoadedFrom::Compiler, "cut short");
}

#[tokio::test]
async fn an_entry_moved_into_anothers_place_is_not_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let (values, echo) = (guests::rust("values"), guests::rust("echo"));
    let engine = engine(folder.path());
    load(&engine, &values).await;
    let of_values = entry(folder.path());
    let code = fs::read(&of_values).unwrap();
    load(&engine, &echo).await;
    let mut all = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let of_echo = all
        .find(|path| !path.ends_with("mac.key") && *path != of_values)
        .unwrap();
    fs::write(&of_echo, code).unwrap();
    assert_eq!(load(&engine, &echo).await, LoadedFrom::Compiler);
}

#[tokio::test]
async fn another_hosts_entries_are_not_loaded() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let bytes = guests::rust("values");
    load(&engine(theirs.path()), &bytes).await;
    load(&engine(ours.path()), &bytes).await;
    fs::copy(entry(theirs.path()), entry(ours.path())).unwrap();
    assert_eq!(load(&engine(ours.path()), &bytes).await, LoadedFrom::Compiler);
}

#[test]
fn a_stored_component_that_is_damaged_runs_from_its_code_is_told_of_and_reaches_nobody_else() {
    const URN: &str = "urn:tests:actionspace:solver:echo:v1";
    let folder = tempfile::tempdir().unwrap();
    let key = SigningKey::generate().unwrap();
    let trusting = |host: &Host| {
        let key = key.public().to_string();
        host.kinetic(&["--data", "data", "keys", "trust", "tests", &key]).fine();
    };
    let echo = |host: &Host| host.execute(URN, "text-back", json!({ "text": "hi" }));
    let component = guests::rust("echo");
    let mut host = Host::start_in(folder.path(), &[]);
    trusting(&host);
    let body = publication(&manifest("echo", "1.0.0"), &component, &key);
    assert_eq!(host.post("/api/v1/registry/capabilities/publish", &body).status, 201);
    host.stop();

    let stored = folder.path().join("data/store/blobs/sha256");
    let stored = stored.join(Digest::of(&component).hex());
    let mut damaged = fs::read(&stored).unwrap();
    *damaged.last_mut().unwrap() ^= 1;
    fs::remove_file(&stored).unwrap();
    fs::write(&stored, damaged).unwrap();
    let host = Host::start_in(folder.path(), &[]);
    assert_eq!(echo(&host).json()["output"], json!("hi"));
    wait_for("a word of the damage", || {
        let log = fs::read_to_string(folder.path().join("host.log")).unwrap();
        log.lines()
            .any(|line| line.contains(URN) && line.contains("KIN-REG-0007"))
            .then_some(())
    });
    let other = Host::start_with(&[("ECOSYSTEM_REGISTRY_URL", &host.url)]);
    trusting(&other);
    assert_eq!(echo(&other).problem(422), "KIN-REG-0007");
}
