//! A registry of one's own: served by the real binary from a folder and from a real S3, used by hosts that never saw it.

use std::process::Command;
use std::time::Duration;

use futures_util::future::join_all;
use kinetic_identity::{Index, IndexState, SignedIndex, SigningKey, TrustRoot, now_unix_ms};
use kinetic_model::{CapsuleRef, Digest};
use kinetic_registry::{HttpOptions, HttpSource, Source as _};
use kinetic_samples::promotion;
use kinetic_testkit::author::{manifest, publication};
use kinetic_testkit::guests;
use kinetic_testkit::host::{Host, Said, kinetic_in};
use kinetic_testkit::registry_server::{CAPABILITIES, RegistryPlace, RegistryServer};
use kinetic_testkit::seaweed::{BUCKET, Seaweed};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const ECHO: &str = "urn:tests:actionspace:solver:echo:v1";
const INDEX: &str = "/api/v1/registry/index/tests";

/// Somebody with a built capsule and no host, who knows the registry as `ours`.
pub(crate) struct Author {
    folder: TempDir,
    variables: Vec<(String, String)>,
}

impl Author {
    fn new(place: &RegistryPlace, server: &RegistryServer) -> Self {
        Self::who_adds(place, server, &[], &[])
    }

    /// One who adds the registry with flags, and has variables, of ours.
    pub(crate) fn who_adds(
        place: &RegistryPlace,
        server: &RegistryServer,
        flags: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        place.key.save(&folder.path().join("key.pem")).unwrap();
        let token = ("OURS", place.token.as_str());
        let variables = variables.iter().chain([&token]);
        let author = Self {
            folder,
            variables: variables
                .map(|(name, value)| ((*name).to_string(), (*value).to_string()))
                .collect(),
        };
        let mut add = vec!["registry", "add", "ours", &server.url, "--token-env", "OURS"];
        add.extend(flags);
        author.kinetic(&add).fine();
        author
            .kinetic(&["keys", "trust", "tests", &place.key.public().to_string()])
            .fine();
        author
    }

    pub(crate) fn kinetic(&self, args: &[&str]) -> Said {
        let mut all = vec!["--output", "json", "--data", "data"];
        all.extend(args);
        let variables = self
            .variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        kinetic_in(self.folder.path(), &variables.collect::<Vec<_>>(), &all)
    }

    /// What `kinetic build` leaves behind.
    fn builds(&self, version: &str, component: &[u8]) {
        let capsule = self.folder.path().join("capsule");
        std::fs::create_dir_all(&capsule).unwrap();
        std::fs::write(capsule.join("component.wasm"), component).unwrap();
        std::fs::write(capsule.join("manifest.json"), manifest("echo", version).to_string()).unwrap();
        std::fs::write(capsule.join("build.json"), "{}").unwrap();
        let hashes = json!([{ "alg": "SHA-256", "content": Digest::of(component).hex() }]);
        let sbom = json!({ "bomFormat": "CycloneDX", "metadata": { "component": { "hashes": hashes } } });
        std::fs::write(capsule.join("sbom.cdx.json"), sbom.to_string()).unwrap();
    }

    pub(crate) fn publishes(&self, version: &str, component: &[u8]) -> Said {
        self.builds(version, component);
        self.kinetic(&["publish", "capsule", "--to", "ours", "--key", "key.pem"])
    }
}

/// A host that never saw the capsule, and believes its author.
fn host_of(server: &RegistryServer, key: &SigningKey) -> Host {
    let host = Host::start_with(&[("ECOSYSTEM_REGISTRY_URL", &server.url)]);
    host.kinetic(&["--data", "data", "keys", "trust", "tests", &key.public().to_string()])
        .fine();
    host
}

/// The version that answers, after it said what it is to say.
pub(crate) fn answering_version(host: &Host) -> Value {
    let answer = host.execute(ECHO, "text-back", json!({ "text": "hi" })).json();
    assert_eq!(answer["output"], json!("hi"), "{answer:#}");
    answer["capsule"]["version"].clone()
}

/// What a client that remembers believes of an index.
#[derive(Default)]
struct Reader {
    seen: IndexState,
    before: Option<Index>,
}

impl Reader {
    fn believes(&mut self, place: &RegistryPlace, server: &RegistryServer) -> &Index {
        let reply = server.get(INDEX);
        assert_eq!(reply.status, 200, "{}", reply.text());
        let root = TrustRoot::load(&place.path().join("trust.json")).unwrap();
        let signed = SignedIndex::from_json(&reply.body).unwrap();
        let index = signed
            .verify(&root, &self.seen, self.before.as_ref(), now_unix_ms())
            .unwrap();
        self.seen.remember(&index).unwrap();
        self.before.insert(index)
    }
}

#[test]
fn what_an_author_publishes_is_pulled_and_called_elsewhere_also_after_a_restart_and_not_once_it_is_yanked() {
    let place = RegistryPlace::new();
    let server = place.serve();
    let author = Author::new(&place, &server);
    let echo = guests::rust("echo");
    let published = author.publishes("1.0.0", &echo).fine().json();
    assert_eq!(published["version"], "1.0.0", "{published:#}");
    author.publishes("1.1.0", &echo).fine();
    // The same again is no conflict.
    author.publishes("1.1.0", &echo).fine();
    let pulled = author.kinetic(&["pull", ECHO, "--from", "ours"]).fine().json();
    assert_eq!(pulled["version"], "1.1.0");
    assert_eq!(answering_version(&host_of(&server, &place.key)), "1.1.0");

    assert_eq!(server.stop(), Some(0));
    let server = place.serve();
    let mut reader = Reader::default();
    let index = reader.believes(&place, &server);
    assert_eq!(index.document().entries.len(), 2);
    let reason = "answers in the wrong voice";
    let yanked = server.yank(&place.token, &format!("{ECHO}@1.1.0"), reason);
    assert_eq!(yanked.status, 200, "{}", yanked.text());
    assert_eq!(answering_version(&host_of(&server, &place.key)), "1.0.0");
    let index = reader.believes(&place, &server);
    let entry = index.entry(&ECHO.parse().unwrap(), &"1.1.0".parse().unwrap()).unwrap();
    assert_eq!(entry.yanked.as_deref(), Some(reason));
    let hits = server.get("/api/v1/registry/search?q=echo").json();
    assert_eq!(
        (&hits["hits"][0]["urn"], &hits["hits"][0]["version"]),
        (&json!(ECHO), &json!("1.0.0"))
    );
}

#[test]
fn what_is_yanked_from_the_command_line_is_had_by_pin_only_until_that_is_taken_back() {
    let place = RegistryPlace::new();
    let server = place.serve();
    let author = Author::new(&place, &server);
    author.publishes("1.0.0", &guests::rust("echo")).fine();
    let version = format!("{ECHO}@1.0.0");
    let yank = |version: &str, registry: &str, more: &[&str]| {
        author.kinetic(&[&["registry", "yank", version, "--registry", registry][..], more].concat())
    };
    let pull = |what: &str| author.kinetic(&["pull", what, "--from", "ours"]);
    let because = ["--reason", "answers in the wrong voice"];
    let yanked = yank(&version, "ours", &because).fine().json();
    assert_eq!(
        (&yanked["version"], &yanked["yanked"]),
        (&json!("1.0.0"), &json!("answers in the wrong voice"))
    );
    let mut reader = Reader::default();
    let listed = reader.believes(&place, &server).document().entries[0].yanked.clone();
    assert_eq!(listed.as_deref(), Some("answers in the wrong voice"));
    let refused = pull(ECHO);
    assert_eq!(refused.code(), "KIN-REG-0061");
    for told in ["answers in the wrong voice", "1.0.0", "pins it"] {
        assert!(refused.stdout.contains(told), "{told}: {}", refused.stdout);
    }
    pull(&version).fine();
    let undone = yank(&version, "ours", &["--undo"]).fine().json();
    assert_eq!(undone["yanked"], Value::Null);
    assert_eq!(pull(ECHO).fine().json()["version"], "1.0.0");

    assert_eq!(yank(&version, "ours", &[]).status, 2, "it needs a reason");
    assert_eq!(yank(ECHO, "ours", &because).code(), "KIN-CLI-0011");
    let missing = format!("{ECHO}@1.9.0");
    assert_eq!(yank(&missing, "ours", &because).code(), "KIN-REG-0001");
    author.kinetic(&["registry", "add", "folder", "dir:elsewhere"]).fine();
    assert_eq!(yank(&version, "folder", &because).code(), "KIN-CLI-0032");
    let stranger = [
        &[
            "--output",
            "json",
            "--data",
            "data",
            "registry",
            "yank",
            version.as_str(),
        ][..],
        &because,
    ];
    let stranger = [&stranger.concat()[..], &["--registry", "ours"]].concat();
    let refused = kinetic_in(author.folder.path(), &[("OURS", "guess")], &stranger);
    assert_eq!(refused.code(), "KIN-REG-0020");
}

#[test]
fn a_token_for_publishing_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let token = |args: &[&str]| {
        let command = ["--output", "json", "registry", "token", "--file", "tokens.json"];
        kinetic_in(folder.path(), &[], &[&command[..], args].concat())
    };
    assert_eq!(token(&["ci", "--right", "publish"]).code(), "KIN-RGS-0037");
    assert_eq!(
        token(&["ci", "--right", "read", "--right", "yank"]).code(),
        "KIN-RGS-0037"
    );
    let two = ["--namespace", "acme", "--namespace", "other"];
    let both = [&["ci", "--right", "publish", "--all-namespaces"][..], &two].concat();
    assert_eq!(token(&both).status, 2);
    assert!(!folder.path().join("tokens.json").exists());
    let made = token(&[&["ci", "--right", "publish"][..], &two].concat()).fine().json();
    assert_eq!(made["namespaces"], json!(["acme", "other"]));
    let made = token(&["all", "--right", "publish", "--all-namespaces"]).fine().json();
    assert_eq!(made["namespaces"], json!("all"));
    token(&["reader", "--right", "read"]).fine();
}

#[test]
fn hosts_search_it_and_have_it_keep_promotions() {
    let place = RegistryPlace::new();
    let server = place.serve();
    let echo = publication(&manifest("echo", "1.0.0"), b"it is never compiled here", &place.key);
    assert_eq!(server.publish(&place.token, &echo).status, 201);
    let options = HttpOptions {
        token: Some(place.token.clone()),
        ..HttpOptions::default()
    };
    let source = HttpSource::new(&server.url, &options).unwrap();
    let node = "urn:tests:actionspace:node:plan:v1";
    let promotion = promotion(node, "1.0.0", 1, &place.key);
    let what: CapsuleRef = format!("{node}@1.0.0").parse().unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let found = source.search("echo", 100).await.unwrap().unwrap();
        let urns: Vec<&str> = found.iter().map(|found| found.urn.as_str()).collect();
        assert_eq!(urns, [ECHO]);
        for _ in 0..2 {
            source.publish_promotion(&promotion).await.unwrap();
        }
        assert_eq!(source.promotion(&what).await.unwrap(), promotion);
    });
}

#[test]
fn what_hosts_would_refuse_no_registry_takes_and_what_is_open_to_the_network_needs_tls() {
    let place = RegistryPlace::new();
    let server = place.serve();
    let echo = guests::rust("echo");
    let stranger = SigningKey::generate().unwrap();
    let theirs = publication(&manifest("echo", "1.0.0"), &echo, &stranger);
    assert_eq!(server.publish(&place.token, &theirs).problem(403), "KIN-IDN-0027");
    let ours = publication(&manifest("echo", "1.0.0"), &echo, &place.key);
    assert_eq!(server.publish("guess", &ours).problem(401), "KIN-RGS-0007");
    server.get(&format!("{CAPABILITIES}/{ECHO}")).problem(404);
    assert_eq!(server.publish(&place.token, &ours).status, 201);
    let mut other = ours.clone();
    let fixed = publication(&manifest("echo", "1.0.0"), b"something else", &place.key);
    for member in ["receipt", "component"] {
        other[member] = fixed[member].clone();
    }
    assert_eq!(server.publish(&place.token, &other).problem(409), "KIN-REG-0002");

    let args = [
        "--output",
        "json",
        "registry",
        "serve",
        "--store",
        "dir:store",
        "--trust",
        "trust.json",
        "--index-key",
        "index.pem",
        "--listen",
        "0.0.0.0:0",
    ];
    assert_eq!(kinetic_in(place.path(), &[], &args).code(), "KIN-RGS-0025");
}

#[test]
fn a_registry_that_is_killed_in_mid_publication_has_each_version_whole_or_not_at_all() {
    let place = RegistryPlace::new();
    let (mut reader, mut answered) = (Reader::default(), Vec::new());
    let component = |round: u32, number: u32| [round.to_le_bytes(), number.to_le_bytes()].concat().repeat(20_000);
    let publication_of = |round: u32, number: u32| {
        let version = format!("1.{round}.{number}");
        publication(&manifest("echo", &version), &component(round, number), &place.key)
    };
    for round in 0..5 {
        let server = place.serve();
        let pid = server.pid().to_string();
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100 + u64::from(round) * 37));
            assert!(Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
        });
        let path = format!("{CAPABILITIES}/publish");
        for number in 0.. {
            let Some(reply) = server.try_post(&path, &place.token, &publication_of(round, number)) else {
                break;
            };
            assert_eq!(reply.status, 201, "{}", reply.text());
            answered.push((round, number));
        }
        killer.join().unwrap();
        drop(server);
        let server = place.serve();
        // Nothing may have been signed yet.
        if server.get(INDEX).status == 404 {
            continue;
        }
        let listed = reader.believes(&place, &server).document().entries.clone();
        for entry in &listed {
            let path = format!("{CAPABILITIES}/{ECHO}@{}/download", entry.version);
            let downloaded = server.get(&path);
            assert_eq!(
                (downloaded.status, Digest::of(&downloaded.body)),
                (200, entry.component)
            );
        }
        for (round, number) in &answered {
            let version = format!("1.{round}.{number}");
            assert!(
                listed.iter().any(|entry| entry.version.to_string() == version),
                "{version} was lost"
            );
        }
    }
    // Whatever was cut off can be published now.
    let server = place.serve();
    for round in 0..5 {
        let next = answered.iter().filter(|(in_round, _)| *in_round == round).count();
        let reply = server.publish(&place.token, &publication_of(round, u32::try_from(next).unwrap()));
        assert!(matches!(reply.status, 200 | 201), "{}", reply.text());
    }
}

#[test]
fn fifty_downloads_at_once_take_little_memory() {
    let place = RegistryPlace::new();
    let server = place.serve();
    let component: Vec<u8> = (0..2_097_152_u32).flat_map(u32::to_le_bytes).collect();
    let body = publication(&manifest("large", "1.0.0"), &component, &place.key);
    assert_eq!(server.publish(&place.token, &body).status, 201);
    // Publishing holds the whole body a few times over; what downloads take comes on top of that.
    let before = server.peak_bytes();
    let url = format!(
        "{}{CAPABILITIES}/urn:tests:actionspace:solver:large:v1/download",
        server.url
    );
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = reqwest::Client::new();
        let begun = join_all((0..50).map(|_| client.get(&url).send())).await;
        // All have begun, and none is read to its end before all are read.
        let whole = join_all(begun.into_iter().map(|response| response.unwrap().bytes())).await;
        for bytes in whole {
            assert_eq!(bytes.unwrap(), component);
        }
    });
    let grown = server.peak_bytes() - before;
    assert!(grown < 134_217_728, "{grown} bytes more for 50 downloads of 8 MiB");
}

#[test]
fn on_a_real_s3_versions_stay_as_they_are_whichever_server_is_asked() {
    let s3 = Seaweed::start();
    let place = RegistryPlace::new();
    let store = format!("s3://{BUCKET}/team");
    let serve = || place.serve_from(&store, &s3.variables(), &[]);
    let servers = [serve(), serve()];
    let echo = guests::rust("echo");
    let ours = publication(&manifest("echo", "1.0.0"), &echo, &place.key);
    let published = servers[0].publish(&place.token, &ours);
    assert_eq!(published.status, 201, "{}", published.text());
    assert_eq!(servers[0].publish(&place.token, &ours).status, 200);
    assert_eq!(servers[1].publish(&place.token, &ours).status, 200);
    for round in 1..6 {
        let version = format!("1.{round}.0");
        let contents = [b"one".as_slice(), b"two"];
        let statuses: Vec<u16> = std::thread::scope(|threads| {
            let publishing = servers.iter().zip(contents).map(|(server, component)| {
                let body = publication(&manifest("echo", &version), component, &place.key);
                let token = &place.token;
                threads.spawn(move || server.publish(token, &body).status)
            });
            let publishing: Vec<_> = publishing.collect();
            publishing.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(statuses == [201, 409] || statuses == [409, 201], "{statuses:?}");
        let winner = if statuses[0] == 201 { contents[0] } else { contents[1] };
        for server in &servers {
            assert_eq!(server.get(INDEX).status, 200);
            let path = format!("{CAPABILITIES}/{ECHO}@{version}/download");
            assert_eq!(server.get(&path).body, winner);
            let rest = server.get_with(&path, &[("range", "bytes=1-")]);
            assert_eq!((rest.status, rest.body.as_slice()), (206, &winner[1..]));
        }
    }
    let mut reader = Reader::default();
    for round in (1..6).rev() {
        let server = &servers[round % 2];
        let reference = format!("{ECHO}@1.{round}.0");
        assert_eq!(
            server.yank(&place.token, &reference, "a number and no capsule").status,
            200
        );
        for server in &servers {
            reader.believes(&place, server);
        }
    }
    drop(servers);
    let server = serve();
    let index = reader.believes(&place, &server);
    assert_eq!(index.document().entries.len(), 6);
    assert_eq!(answering_version(&host_of(&server, &place.key)), "1.0.0");
}
