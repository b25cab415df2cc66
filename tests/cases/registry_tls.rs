//! A registry of one's own behind TLS: who believes its authority publishes and pulls, and nobody else gets as far.

use std::io::Read as _;
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use kinetic_testkit::certificates::Authority;
use kinetic_testkit::guests;
use kinetic_testkit::host::{Host, kinetic_in};
use kinetic_testkit::registry_server::{RegistryPlace, RegistryServer};

use crate::registry_server::{Author, ECHO, answering_version};

/// Whatever proxy this machine has stays out of it.
const DIRECT: (&str, &str) = ("NO_PROXY", "127.0.0.1");
const TLS: [&str; 4] = ["--tls-cert", "cert.pem", "--tls-key", "key.pem"];

/// A registry whose certificate is by an authority, which is `ca.pem` in its folder; another one is `other-ca.pem`.
fn place() -> RegistryPlace {
    let place = RegistryPlace::new();
    let in_it = |name: &str| place.path().join(name);
    let authority = Authority::new();
    authority.save(&in_it("ca.pem"));
    authority.issue(&in_it("cert.pem"), &in_it("key.pem"));
    Authority::new().save(&in_it("other-ca.pem"));
    place
}

fn serve(place: &RegistryPlace, flags: &[&str]) -> RegistryServer {
    let flags: Vec<&str> = TLS.iter().chain(flags).copied().collect();
    let server = place.serve_from("dir:store", &[], &flags);
    assert!(server.url.starts_with("https://"), "{}", server.url);
    server
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn who_believes_its_authority_publishes_and_pulls_and_others_are_told_why_not() {
    let place = place();
    let server = serve(&place, &[]);
    let (ca, other_ca) = (place.path().join("ca.pem"), place.path().join("other-ca.pem"));
    let author = Author::who_adds(&place, &server, &["--ca", text(&ca)], &[DIRECT]);
    let echo = guests::rust("echo");
    author.publishes("1.0.0", &echo).fine();
    let pulled = author.kinetic(&["pull", ECHO, "--from", "ours"]).fine().json();
    assert_eq!(pulled["version"], "1.0.0");

    // A host that never saw it fetches it when it is called.
    let host = Host::start_with(&[DIRECT]);
    let key = place.key.public().to_string();
    host.kinetic(&["--data", "data", "keys", "trust", "tests", &key]).fine();
    let add = [
        "--data",
        "data",
        "registry",
        "add",
        "ours",
        &server.url,
        "--ca",
        text(&ca),
    ];
    host.kinetic(&add).fine();
    assert_eq!(answering_version(&host), "1.0.0");

    // One who believes those of his machine, of which none vouches for it, and one who believes another.
    let machine = [DIRECT, ("SSL_CERT_FILE", text(&other_ca))];
    let another = ["--ca", text(&other_ca)];
    let strangers = [(&another[..0], &machine[..]), (&another[..], &[DIRECT][..])];
    for (flags, variables) in strangers {
        let stranger = Author::who_adds(&place, &server, flags, variables);
        let refused = stranger.kinetic(&["pull", ECHO, "--from", "ours"]);
        assert_eq!(refused.code(), "KIN-REG-0015", "{refused:?}");
        let why = refused.json()["error"]["message"].to_string();
        assert!(why.to_lowercase().contains("certificate"), "{why}");
        assert_eq!(stranger.publishes("1.1.0", &echo).code(), "KIN-REG-0015");
    }
    // Nor is it had without TLS.
    let plain = server.url.replacen("https://", "http://", 1);
    author.kinetic(&["registry", "add", "plain", &plain]).fine();
    assert_ne!(author.kinetic(&["pull", ECHO, "--from", "plain"]).status, 0);
}

#[test]
fn a_certificate_and_a_key_that_do_not_go_together_are_refused_at_the_start() {
    let place = place();
    let in_it = |name: &str| place.path().join(name);
    Authority::new().issue(&in_it("other-cert.pem"), &in_it("other-key.pem"));
    std::fs::write(in_it("text.pem"), "neither of the two").unwrap();
    let refused = |certificate: &str, key: &str| {
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
            "127.0.0.1:0",
            "--tls-cert",
            certificate,
            "--tls-key",
            key,
        ];
        let said = kinetic_in(place.path(), &[], &args);
        assert_eq!(said.code(), "KIN-RGS-0026", "{said:?}");
        said.json()["error"]["message"].as_str().unwrap().to_string()
    };
    // Which of the two files is wrong is what it begins with.
    for (certificate, key, named) in [
        ("cert.pem", "other-key.pem", "other-key.pem"),
        ("other-cert.pem", "key.pem", "key.pem"),
        ("cert.pem", "text.pem", "text.pem"),
        ("cert.pem", "cert.pem", "cert.pem"),
        ("cert.pem", "missing.pem", "missing.pem"),
        ("text.pem", "key.pem", "text.pem"),
        ("key.pem", "key.pem", "key.pem"),
        ("missing.pem", "key.pem", "missing.pem"),
    ] {
        let message = refused(certificate, key);
        assert!(
            message.starts_with(&format!("{named} ")),
            "{certificate}, {key}: {message}"
        );
    }
}

#[test]
fn who_never_begins_tls_is_cut_off_and_frees_the_only_place() {
    let place = place();
    let server = serve(&place, &["--header-timeout-ms", "1000", "--connections-max", "1"]);
    let address = server.url.trim_start_matches("https://");
    // The second is accepted, and so cut off, once the first gave the place back.
    let silent = [(); 2].map(|()| TcpStream::connect(address).unwrap());
    for mut silent in silent {
        silent.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        assert_eq!(silent.read(&mut [0; 1]).unwrap(), 0);
    }
}
