//! A host that is killed while another version takes a part's place: the stream buffer is the old one or the new one, and no
//! event is lost or doubled.

use std::time::Instant;

use kinetic_testkit::host::{Host, kinetic_in};
use kinetic_testkit::parts::{STREAM_BUFFER, author, good, stage, swap};
use kinetic_testkit::swappable::{process, version};
use serde_json::json;

use crate::swap::lawful;
use crate::swap_kills::ask_for_swap;
use crate::telemetry_parts::{all_there, pushed, works};

/// Events pushed before and after each kill.
const EVENTS: u64 = 100;

#[test]
fn soak_a_host_that_is_killed_in_a_swap_of_its_stream_buffer_has_the_old_one_or_the_new_one() {
    let rounds: u32 = if std::env::var_os("SOAK_SECONDS").is_some() {
        40
    } else {
        3
    };
    let folder = tempfile::tempdir().unwrap();
    let variables = [
        ("KINETIC_KERNEL__PROBATION_MS", "300"),
        ("KINETIC_KERNEL__DRAIN_MS", "500"),
    ];
    let mut host = Host::start_in(folder.path(), &variables);
    let author = author(&host);
    let staged = |host: &Host, minor: u64| {
        let component = good("stream-buffer", minor);
        stage(host, &author, "stream-buffer", &version(minor), &component);
    };
    pushed(&host, 0, EVENTS, "plain");
    let mut sent = EVENTS;
    // How long a swap takes that nobody disturbs.
    staged(&host, 1);
    let begun = Instant::now();
    let swapped = swap(&host, STREAM_BUFFER, &version(1));
    assert_eq!(swapped.status, 200, "{}", swapped.text());
    let took = begun.elapsed();

    let (mut old, mut new) = (0, 0);
    for round in 0..rounds {
        let minor = u64::from(round) + 2;
        staged(&host, minor);
        pushed(&host, sent, EVENTS, "plain");
        sent += EVENTS;
        let before = process(&host, STREAM_BUFFER).unwrap();
        // Spread evenly over the time a swap takes, and a little beyond.
        let after = took * (2 * round + 1) * 6 / (2 * rounds * 5);
        let asked = ask_for_swap(&host.url, STREAM_BUFFER, minor);
        std::thread::sleep(after);
        host.kill();
        drop(asked);
        host = Host::start_in(folder.path(), &variables);
        let now = process(&host, STREAM_BUFFER).unwrap_or_else(|| panic!("round {round}: it is gone"));
        let told = format!("round {round}, killed after {after:?}: {before:#} {now:#}");
        assert_eq!(now["state"], json!("active"), "{told}");
        if now["digest"] == before["digest"] {
            assert_eq!(
                (&now["version"], &now["generation"]),
                (&before["version"], &before["generation"]),
                "{told}"
            );
            old += 1;
        } else {
            assert_eq!(now["version"], json!(version(minor)), "{told}");
            assert!(now["generation"].as_u64() > before["generation"].as_u64(), "{told}");
            new += 1;
        }
        assert_eq!(works(&host), now["digest"], "what its URN means does the work; {told}");
        pushed(&host, sent, EVENTS, "plain");
        sent += EVENTS;
    }
    println!("{rounds} kills in swaps of {took:?}: {old} times the old one, {new} times the new one");
    all_there(&host, sent);
    lawful(&host);
    assert_eq!(host.stop().0, Some(0));
    let verified = kinetic_in(folder.path(), &[], &["--output", "json", "--data", "data", "verify"]);
    assert_eq!(verified.fine().json()["ok"], json!(true));
}
