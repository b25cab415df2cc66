//! Capsules by name of a registry: published to a real OCI registry by an author, fetched by hosts that never saw them.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use kinetic_model::Digest;
use kinetic_testkit::author::manifest;
use kinetic_testkit::guests;
use kinetic_testkit::host::{Host, Said, kinetic_in};
use kinetic_testkit::oci::{OciRegistry, USER};
use kinetic_testkit::swappable::{events, labelled};
use serde_json::{Value, json};
use tempfile::TempDir;

const ECHO: &str = "urn:tests:actionspace:solver:echo:v1";

/// Somebody with a data folder and no host: a key, registries, a built capsule.
struct Author {
    folder: TempDir,
    public_key: String,
}

impl Author {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let args = ["--output", "json", "--data", "data", "keys", "new", "tests"];
        let key = kinetic_in(folder.path(), &[], &args).fine().json();
        let author = Self {
            public_key: key["public_key"].as_str().unwrap().to_string(),
            folder,
        };
        author.builds("1.0.0", &guests::rust("echo"));
        author
    }

    fn kinetic_with(&self, variables: &[(&str, &str)], args: &[&str]) -> Said {
        let mut all = vec!["--output", "json", "--data", "data"];
        all.extend(args);
        kinetic_in(self.folder.path(), variables, &all)
    }

    fn kinetic(&self, args: &[&str]) -> Said {
        self.kinetic_with(&[], args)
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

    fn publishes_to(&self, registry: &str) -> Said {
        self.kinetic(&["publish", "capsule", "--to", registry])
    }

    /// Published version 1.0.0 to a registry that it calls `team`.
    fn published(registry: &OciRegistry) -> Self {
        let author = Self::new();
        author.kinetic(&["registry", "add", "team", &registry.place()]).fine();
        author.publishes_to("team").fine();
        author
    }
}

/// A host in a fresh folder that knows the registry and trusts the author.
fn host_with(registry: &OciRegistry, author: &Author) -> Host {
    let host = Host::start();
    in_folder(&host, &["registry", "add", "team", &registry.place()]).fine();
    trusts(&host, &author.public_key);
    host
}

/// A command about the host's own folder.
fn in_folder(host: &Host, args: &[&str]) -> Said {
    let mut all = vec!["--data", "data"];
    all.extend(args);
    host.kinetic(&all)
}

fn trusts(host: &Host, public_key: &str) {
    in_folder(host, &["keys", "trust", "tests", public_key]).fine();
}

fn calls(host: &Host) -> Value {
    host.execute(ECHO, "text-back", json!({ "text": "hi" })).json()
}

/// The states that versions of the capsule were in.
fn states(host: &Host) -> Vec<String> {
    let all = events(host, "kinetic.lifecycle.v1").into_iter();
    let of_echo = all.filter(|event| event["event"] == "lifecycle" && event["capsule"]["urn"] == ECHO);
    of_echo.map(|event| event["to"].as_str().unwrap().to_string()).collect()
}

#[test]
fn an_author_publishes_to_an_oci_registry_and_a_host_that_never_saw_it_calls_it_by_urn() {
    let registry = OciRegistry::start();
    let author = Author::published(&registry);
    let tags = registry.tags("team/tests/solver/echo/v1");
    assert!(
        tags.len() == 2 && tags[0] == "1.0.0" && tags[1].starts_with("sha256-"),
        "the version, and what lies beside it: {tags:?}"
    );
    let host = Host::start();
    host.execute(ECHO, "text-back", json!({ "text": "hi" })).problem(404);
    // While it runs.
    in_folder(
        &host,
        &["registry", "add", "team", &registry.place(), "--scope", "tenant"],
    )
    .fine();
    let refused = host.execute(ECHO, "text-back", json!({ "text": "hi" }));
    assert!(
        (400..500).contains(&refused.status),
        "its signer is nobody here: {}",
        refused.text()
    );
    trusts(&host, &author.public_key);
    let answer = calls(&host);
    assert_eq!(
        (&answer["output"], &answer["capsule"]["version"]),
        (&json!("hi"), &json!("1.0.0")),
        "{answer:#}"
    );
    let source = format!("team ({})", registry.place());
    let inspected = host.kinetic(&["inspect", ECHO]).fine().json();
    assert_eq!(inspected["source"], json!(source), "{inspected:#}");
    let all = events(&host, "kinetic.lifecycle.v1");
    let found = all
        .iter()
        .filter(|event| event["capsule"]["urn"] == ECHO && event["to"] == "discovered");
    assert!(found.clone().count() > 0);
    assert!(
        found.clone().all(|event| event["reason"]["source"] == json!(source)),
        "{all:#?}"
    );
    let pinned = format!("{ECHO}@{}", Digest::of(&guests::rust("echo")));
    let answer = host.execute(&pinned, "text-back", json!({ "text": "hi" })).json();
    assert_eq!(answer["output"], json!("hi"), "{answer:#}");
}

#[test]
fn a_version_never_changes_and_publishing_it_again_changes_nothing() {
    let registry = OciRegistry::start();
    let author = Author::published(&registry);
    author.publishes_to("team").fine();
    author.builds("1.0.0", &labelled(&guests::rust("echo"), 1));
    assert_eq!(author.publishes_to("team").code(), "KIN-REG-0002");
    author.builds("1.1.0-rc.1+build.5", &labelled(&guests::rust("echo"), 2));
    author.publishes_to("team").fine();
    let host = host_with(&registry, &author);
    assert_eq!(calls(&host)["capsule"]["version"], json!("1.0.0"), "no pre-release");
    let pinned = format!("{ECHO}@1.1.0-rc.1+build.5");
    let answer = host.execute(&pinned, "text-back", json!({ "text": "hi" })).json();
    assert_eq!(answer["capsule"]["version"], json!("1.1.0-rc.1+build.5"), "{answer:#}");
}

#[test]
fn what_was_pulled_runs_without_the_registry() {
    let registry = OciRegistry::start();
    let author = Author::published(&registry);
    let running = host_with(&registry, &author);
    let folder = tempfile::tempdir().unwrap();
    let here = |args: &[&str]| {
        let mut all = vec!["--output", "json", "--data", "data"];
        all.extend(args);
        kinetic_in(folder.path(), &[], &all)
    };
    here(&["registry", "add", "team", &registry.place()]).fine();
    here(&["pull", ECHO]).code();
    assert!(
        !folder.path().join("data/store/capabilities/tests").exists(),
        "its signer is nobody here"
    );
    here(&["keys", "trust", "tests", &author.public_key]).fine();
    for pulled in [
        here(&["pull", ECHO]),
        in_folder(&running, &["pull", ECHO, "--from", "team"]),
    ] {
        let pulled = pulled.fine().json();
        assert_eq!(pulled["version"], json!("1.0.0"), "{pulled:#}");
        assert_eq!(pulled["digest"], json!(Digest::of(&guests::rust("echo"))), "{pulled:#}");
        assert_eq!(pulled["source"], json!(format!("team ({})", registry.place())));
        assert!(pulled["signer"].as_str().is_some_and(|signer| !signer.is_empty()));
    }
    assert_eq!(here(&["pull", ECHO, "--from", "nobody"]).code(), "KIN-REG-0030");
    registry.kill();
    let said = here(&["call", ECHO, "--function", "text-back", "--arg", "text=hi"])
        .fine()
        .json();
    assert_eq!(said["output"], json!("hi"), "{said:#}");
    assert_eq!(calls(&running)["output"], json!("hi"));
}

#[test]
fn bytes_that_were_changed_in_the_registry_are_refused_and_nothing_of_them_is_compiled() {
    let registry = OciRegistry::start();
    let author = Author::published(&registry);
    let component = guests::rust("echo");
    let file = registry.blob(&Digest::of(&component).to_string());
    let mut changed = component.clone();
    *changed.last_mut().unwrap() ^= 1;
    let host = host_with(&registry, &author);
    for (bytes, status, code) in [
        (&changed[..], 422, "KIN-REG-0007"),
        (&component[..component.len() - 1], 422, "KIN-REG-0005"),
        (&[&component[..], b"!"].concat(), 422, "KIN-REG-0006"),
    ] {
        std::fs::write(&file, bytes).unwrap();
        let refused = host.execute(ECHO, "text-back", json!({ "text": "hi" }));
        assert_eq!(refused.problem(status), code);
    }
    assert_eq!(states(&host), [""; 0], "nothing came into being");
    std::fs::write(&file, &component).unwrap();
    assert_eq!(calls(&host)["output"], json!("hi"));
}

#[test]
fn what_somebody_else_signed_is_refused_and_nothing_of_it_is_compiled() {
    let registry = OciRegistry::start();
    Author::published(&registry);
    let host = host_with(&registry, &Author::new());
    let refused = host.execute(ECHO, "text-back", json!({ "text": "hi" }));
    assert!((400..500).contains(&refused.status), "{}", refused.text());
    assert!(
        refused.problem(refused.status).starts_with("KIN-IDN-"),
        "{}",
        refused.text()
    );
    let states = states(&host);
    assert!(
        !states.is_empty() && !states.iter().any(|state| state == "verified"),
        "{states:?}"
    );
}

#[test]
fn a_registry_that_asks_who_is_there_gets_what_docker_login_keeps_or_a_variable_holds() {
    let registry = OciRegistry::guarded();
    let author = Author::new();
    author.kinetic(&["registry", "add", "team", &registry.place()]).fine();
    let refused = author.publishes_to("team");
    assert_eq!(refused.code(), "KIN-REG-0020");
    assert!(refused.stdout.contains("credentials: none"), "{refused:?}");
    let login = format!("{}:{}", USER.0, USER.1);

    // A variable.
    let mut add = vec!["registry", "add", "by-variable", "--token-env", "TEAM_LOGIN"];
    let place = registry.place();
    add.push(&place);
    author.kinetic(&add).fine();
    let publish = ["publish", "capsule", "--to", "by-variable"];
    assert_eq!(author.kinetic(&publish).code(), "KIN-REG-0033");
    author.kinetic_with(&[("TEAM_LOGIN", login.as_str())], &publish).fine();
    assert_eq!(
        author.kinetic_with(&[("TEAM_LOGIN", "ann:wrong")], &publish).code(),
        "KIN-REG-0020"
    );

    // Docker's own file.
    let auths = json!({ "auths": { registry.authority.as_str(): { "auth": BASE64.encode(&login) } } });
    docker_config(author.folder.path(), &auths);
    author.publishes_to("team").fine();
    let listed = author.kinetic(&["registry", "list"]).fine().json();
    let credentials: Vec<_> = listed["registries"].as_array().unwrap().iter().collect();
    assert!(
        credentials[0]["credentials"]
            .as_str()
            .unwrap()
            .ends_with(".docker/config.json"),
        "{listed:#}"
    );
    assert_eq!(credentials[1]["credentials"], json!("the variable TEAM_LOGIN"));

    // One of its helpers.
    docker_config(author.folder.path(), &json!({ "credsStore": "tests" }));
    let path = helper(author.folder.path());
    author
        .kinetic_with(&[("PATH", path.as_str())], &["publish", "capsule", "--to", "team"])
        .fine();
    let host = Host::start();
    docker_config(&host.folder, &auths);
    in_folder(&host, &["registry", "add", "team", &registry.place()]).fine();
    trusts(&host, &author.public_key);
    assert_eq!(
        calls(&host)["output"],
        json!("hi"),
        "the host finds them in its own home"
    );
}

#[test]
fn a_registry_of_this_machine_is_not_asked_through_a_proxy() {
    let registry = OciRegistry::start();
    let author = Author::new();
    author.kinetic(&["registry", "add", "team", &registry.place()]).fine();
    // Nobody listens there.
    let proxy = "http://127.0.0.1:1";
    let variables = [
        ("HTTP_PROXY", proxy),
        ("http_proxy", proxy),
        ("ALL_PROXY", proxy),
        ("NO_PROXY", ""),
        ("no_proxy", ""),
    ];
    author
        .kinetic_with(&variables, &["publish", "capsule", "--to", "team"])
        .fine();
}

fn docker_config(home: &Path, config: &Value) {
    let folder = home.join(".docker");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
}

/// A credential helper called `tests`; gives the search path that finds it.
fn helper(folder: &Path) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    let programs = folder.join("programs");
    std::fs::create_dir_all(&programs).unwrap();
    let answer = json!({ "ServerURL": "x", "Username": USER.0, "Secret": USER.1 });
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = get ] || exit 1\nread -r asked\ncase \"$asked\" in 127.0.0.1:*) echo '{answer}';; *) exit 1;; esac\n"
    );
    let file = programs.join("docker-credential-tests");
    std::fs::write(&file, script).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o700)).unwrap();
    let others = std::env::var("PATH").unwrap_or_default();
    format!("{}:{others}", programs.display())
}

#[test]
fn two_registries_with_different_contents_of_one_version_are_both_refused_until_one_has_the_namespace() {
    let registry = OciRegistry::start();
    let author = Author::published(&registry);
    let folder = author.folder.path().join("mirror");
    let place = format!("dir:{}", folder.display());
    author.kinetic(&["registry", "add", "mirror", &place]).fine();
    author.builds("1.0.0", &labelled(&guests::rust("echo"), 7));
    author.publishes_to("mirror").fine();
    let host = host_with(&registry, &author);
    in_folder(&host, &["registry", "add", "site", &place, "--scope", "local"]).fine();
    let refused = host.execute(ECHO, "text-back", json!({ "text": "hi" }));
    assert_eq!(refused.problem(403), "KIN-REG-0032");
    assert!(
        refused.text().contains("site (dir:") && refused.text().contains("team (oci:"),
        "{}",
        refused.text()
    );
    assert_eq!(states(&host), [""; 0]);

    in_folder(&host, &["registry", "remove", "team"]).fine();
    in_folder(
        &host,
        &["registry", "add", "team", &registry.place(), "--namespace", "tests"],
    )
    .fine();
    let answer = calls(&host);
    assert_eq!(
        answer["capsule"]["digest"],
        json!(Digest::of(&guests::rust("echo"))),
        "the near one is not asked: {answer:#}"
    );
    assert_eq!(
        in_folder(&host, &["pull", ECHO, "--from", "site"]).code(),
        "KIN-REG-0031"
    );
    let taken = in_folder(
        &host,
        &[
            "registry",
            "add",
            "thief",
            &place,
            "--scope",
            "local",
            "--namespace",
            "tests",
        ],
    );
    assert_eq!(taken.code(), "KIN-REG-0031");
}

#[test]
fn registries_are_listed_in_the_order_they_are_asked_in_and_mistakes_are_named() {
    let author = Author::new();
    for args in [
        &["registry", "add", "far", "https://registry.example"][..],
        &["registry", "add", "near", "dir:capsules", "--scope", "local"],
        &[
            "registry",
            "add",
            "ours",
            "oci://registry.example/team",
            "--scope",
            "tenant",
            "--namespace",
            "acme",
        ],
    ] {
        author.kinetic(args).fine();
    }
    let listed = author.kinetic(&["registry", "list"]).fine().json();
    let names: Vec<_> = listed["registries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["name"])
        .collect();
    assert_eq!(names, ["near", "ours", "far"]);
    let folder = author.folder.path().canonicalize().unwrap().join("capsules");
    let near = listed["registries"][0]["place"].as_str().unwrap().to_string();
    assert_eq!(
        Path::new(near.strip_prefix("dir:").unwrap()).file_name(),
        folder.file_name()
    );
    assert!(near.starts_with("dir:/"), "{near}");
    for (args, code) in [
        (&["far", "https://other.example"][..], "KIN-REG-0029"),
        (&["plain", "http://registry.example"], "KIN-REG-0012"),
        (&["secret", "oci://ann:geheim@registry.example"], "KIN-REG-0012"),
        (&["Bad", "dir:/srv/x"], "KIN-REG-0027"),
        (&["ecosystem", "dir:/srv/x"], "KIN-CLI-0011"),
        (
            &["a", "https://registry.example", "--token-env", "KINETIC_MINE"],
            "KIN-CLI-0011",
        ),
    ] {
        let refused = author.kinetic(&[&["registry", "add"][..], args].concat());
        assert_eq!(refused.code(), code);
        assert!(!refused.stdout.contains("geheim"), "{refused:?}");
    }
    author.kinetic(&["registry", "remove", "far"]).fine();
    assert_eq!(author.kinetic(&["registry", "remove", "far"]).code(), "KIN-REG-0030");
    assert_eq!(author.publishes_to("far").code(), "KIN-REG-0030");
}
