//! Many callers at once while versions that fail every call come and go: none of them may see it.

use std::sync::atomic::{AtomicBool, Ordering};

use kinetic_testkit::swappable::{CAREFUL, Kind, PURE, swap_to_broken};
use serde_json::json;

use super::with;
use crate::ledger::Caller;

const CALLERS: usize = 8;
const ROUNDS: u64 = 10;

#[test]
fn nobody_in_a_crowd_sees_what_a_version_fails_that_comes_and_goes_again() {
    let (host, author) = with(PURE, Kind::Good, &CAREFUL);
    let stop = AtomicBool::new(false);
    let failed = std::thread::scope(|scope| {
        let (url, stop) = (host.url.as_str(), &stop);
        let calling: Vec<_> = (0..CALLERS)
            .map(|_| {
                scope.spawn(move || {
                    let mut caller = Caller::connect(url).unwrap();
                    let (mut calls, mut failed) = (0, Vec::new());
                    while !stop.load(Ordering::Relaxed) {
                        let answer = caller.execute(PURE, "twist", &json!({ "text": "crowded" })).unwrap();
                        calls += 1;
                        failed.extend((answer["output"] != json!("dedworc")).then(|| answer.to_string()));
                    }
                    (calls, failed)
                })
            })
            .collect();
        let swapping = scope.spawn(|| {
            for round in 1..=ROUNDS {
                swap_to_broken(&host, &author, (PURE, round, Kind::TrapsInCalls), || {});
            }
        });
        // The callers end also when a round did not come about.
        let swapped = swapping.join();
        stop.store(true, Ordering::Relaxed);
        let told: Vec<(u64, Vec<String>)> = calling.into_iter().map(|thread| thread.join().unwrap()).collect();
        swapped.unwrap();
        assert!(told.iter().all(|(calls, _)| *calls > ROUNDS), "{told:?}");
        told.into_iter().flat_map(|(_, failed)| failed).collect::<Vec<_>>()
    });
    assert!(
        failed.is_empty(),
        "{} calls: {:#?}",
        failed.len(),
        &failed[..failed.len().min(3)]
    );
}
