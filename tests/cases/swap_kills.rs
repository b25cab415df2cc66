//! A host that is killed while a version takes the place of another one has the old version or the new one, never both and
//! never neither.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Instant;

use kinetic_testkit::host::{Host, kinetic_in};
use kinetic_testkit::swappable::{Author, COUNTER, Kind, PURE, operate, process, version};
use serde_json::{Value, json};

use crate::swap::lawful;

/// One call of a capsule, and which version answered it.
fn answering(host: &Host, urn: &str) -> Value {
    let reply = if urn == COUNTER {
        host.execute(urn, "add", json!({ "n": 1 }))
    } else {
        host.execute(urn, "twist", json!({ "text": "abc" }))
    };
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["capsule"]["version"].clone()
}

/// Asks for a swap, and waits for no answer: that goes on for as long as the connection stays.
pub(crate) fn ask_for_swap(url: &str, urn: &str, minor: u64) -> TcpStream {
    let body = json!({ "to": version(minor) }).to_string();
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    stream.set_nodelay(true).unwrap();
    let request = format!(
        "POST /api/v1/capsules/{urn}/swap HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

#[test]
fn soak_a_host_that_is_killed_in_a_swap_has_the_old_version_or_the_new_one() {
    let rounds: u32 = if std::env::var_os("SOAK_SECONDS").is_some() {
        100
    } else {
        8
    };
    let folder = tempfile::tempdir().unwrap();
    let variables = [
        ("KINETIC_KERNEL__PROBATION_MS", "300"),
        ("KINETIC_KERNEL__DRAIN_MS", "500"),
    ];
    let mut host = Host::start_in(folder.path(), &variables);
    let author = Author::trusted_by(&host);
    let staged = |host: &Host, urn: &str, minor: u64| {
        let reply = author.stage(host, urn, minor, Kind::Good);
        assert_eq!(reply.status, 201, "{}", reply.text());
    };
    let urns = [COUNTER, PURE];
    // How long a swap takes that nobody disturbs. From then on the version is one that somebody chose.
    let took = urns.map(|urn| {
        assert_eq!(author.publish(&host, urn, 0, Kind::Good).status, 201);
        answering(&host, urn);
        staged(&host, urn, 1);
        let begun = Instant::now();
        let reply = operate(&host, urn, "swap", &json!({ "to": version(1) }));
        assert_eq!(reply.status, 200, "{}", reply.text());
        begun.elapsed()
    });

    let (mut old, mut new) = (0, 0);
    for round in 0..rounds {
        let which = (round % 2) as usize;
        let (urn, minor) = (urns[which], u64::from(round) + 2);
        staged(&host, urn, minor);
        answering(&host, urn);
        let before = urns.map(|urn| process(&host, urn).unwrap());
        // Spread evenly over the time a swap takes, and a little beyond.
        let after = took[which] * (2 * round + 1) * 6 / (2 * rounds * 5);
        let asked = ask_for_swap(&host.url, urn, minor);
        std::thread::sleep(after);
        host.kill();
        drop(asked);
        host = Host::start_in(folder.path(), &variables);
        assert_eq!(host.announced["refused"], json!([]), "{:#}", host.announced);
        for (urn, before) in urns.iter().zip(&before) {
            let now = process(&host, urn).unwrap_or_else(|| panic!("round {round}: {urn} is gone"));
            let told = format!("round {round}, killed after {after:?}: {before:#} {now:#}");
            let generation = |process: &Value| process["generation"].as_u64().unwrap();
            assert_eq!(now["state"], json!("active"), "{told}");
            if now["digest"] == before["digest"] {
                assert_eq!(now["version"], before["version"], "{told}");
                assert_eq!(generation(&now), generation(before), "{told}");
            } else {
                assert_eq!((*urn, &now["version"]), (urns[which], &json!(version(minor))), "{told}");
                assert!(generation(&now) > generation(before), "{told}");
            }
            assert_eq!(answering(&host, urn), now["version"], "{told}");
            if *urn == urns[which] {
                let was = u32::from(now["digest"] == before["digest"]);
                (old, new) = (old + was, new + 1 - was);
            }
        }
    }
    println!("{rounds} kills in swaps of {took:?}: {old} times the old version, {new} times the new one");
    lawful(&host);
    assert_eq!(host.stop().0, Some(0));
    let verified = kinetic_in(folder.path(), &[], &["--output", "json", "--data", "data", "verify"]);
    assert_eq!(verified.fine().json()["ok"], json!(true));
}
