//! Each event is counted once, whoever dies and whoever else consumes.

use std::sync::{Arc, Barrier};
use std::time::Duration;

use kinetic_testkit::host::Host;
use serde_json::{Value, json};

use super::{IN, OUT, URN, call, events, furnish};
use crate::ledger::Caller;

/// Consumes until nothing is left; how many it were.
fn finish(host: &Host) -> u64 {
    let mut consumed = 0;
    loop {
        let some = call(
            host,
            "count",
            json!({ "topic": IN, "group": "sink", "into": OUT, "limit": 50, "wait-ms": 2_000 }),
        );
        match some.as_u64().unwrap() {
            0 => return consumed,
            some => consumed += some,
        }
    }
}

/// The counter and the outputs are of each input exactly once.
fn miscounts_nothing(host: &Host, inputs: u64) {
    assert_eq!(call(host, "counted", json!({})), json!(inputs));
    let by_id: Vec<Value> = events(host, IN).iter().map(|event| event["id"].clone()).collect();
    let outputs = events(host, OUT);
    let mut numbers: Vec<u64> = outputs.iter().map(|event| event["data"].as_u64().unwrap()).collect();
    let causes: Vec<Value> = outputs.iter().map(|event| event["causationid"].clone()).collect();
    assert_eq!(causes, by_id, "one output for each input, in its order");
    numbers.sort_unstable();
    assert_eq!(numbers, (0..inputs).collect::<Vec<_>>());
}

#[test]
fn a_counting_sink_never_miscounts_however_often_its_host_is_killed() {
    const KILLS: u64 = 10;
    const EACH: u64 = 150;
    let folder = tempfile::tempdir().unwrap();
    let mut host = Host::start_in(folder.path(), &[]);
    furnish(&host, json!({ "qos": "exactly_once", "max_deliveries": 0 }));
    let mut answered = 0;
    for round in 0..KILLS {
        call(
            &host,
            "publish-many",
            json!({ "topic": IN, "begin": round * EACH, "count": EACH }),
        );
        let url = host.url.clone();
        let consumer = std::thread::spawn(move || {
            let intent = json!({ "topic": IN, "group": "sink", "into": OUT, "limit": 2, "wait-ms": 50 });
            // The host may be gone before this one runs at all.
            let Ok(mut caller) = Caller::connect(&url) else {
                return 0;
            };
            let mut answered = 0;
            while let Ok(answer) = caller.execute(URN, "count", &intent) {
                assert_eq!(answer["success"], json!(true), "{answer:#}");
                answered += answer["output"].as_u64().unwrap();
            }
            answered
        });
        std::thread::sleep(Duration::from_millis(10 + round * 7));
        host.kill();
        answered += consumer.join().unwrap();
        host = Host::start_in(folder.path(), &[]);
        let counted = call(&host, "counted", json!({})).as_u64().unwrap();
        assert!(
            counted >= answered,
            "round {round}: {answered} were answered, {counted} are counted"
        );
        answered = counted;
    }
    assert!(answered < KILLS * EACH, "no kill came in between: consume slower");
    assert_eq!(answered + finish(&host), KILLS * EACH);
    miscounts_nothing(&host, KILLS * EACH);
}

#[test]
fn two_consumers_of_one_group_at_once_never_count_twice() {
    const INPUTS: u64 = 400;
    let host = Host::start();
    // A delivery to who is fenced counts, so events would be given up that nobody failed at.
    furnish(&host, json!({ "max_deliveries": 0 }));
    call(
        &host,
        "publish-many",
        json!({ "topic": IN, "begin": 0, "count": INPUTS }),
    );
    // Both begin at once, else one may be done before the other comes.
    let begin = Arc::new(Barrier::new(2));
    let consumers: Vec<_> = (0..2_u64)
        .map(|number| {
            let (url, begin) = (host.url.clone(), begin.clone());
            std::thread::spawn(move || {
                let intent = json!({ "topic": IN, "group": "sink", "into": OUT, "limit": 3, "wait-ms": 0 });
                let mut caller = Caller::connect(&url).unwrap();
                let (mut consumed, mut refused) = (0, 0);
                begin.wait();
                for _ in 0..80 {
                    let answer = caller.execute(URN, "count", &intent).unwrap();
                    match answer["output"].as_u64() {
                        Some(some) => consumed += some,
                        None => {
                            let text = answer.to_string();
                            let expected = ["Fenced", "KIN-LED-0042", "KIN-LED-0060"];
                            assert!(expected.iter().any(|word| text.contains(word)), "{text}");
                            refused += 1;
                            // Who always comes back at once takes turns in fencing, not in consuming.
                            std::thread::sleep(Duration::from_millis(3 + 4 * number));
                        }
                    }
                }
                (consumed, refused)
            })
        })
        .collect();
    let (mut consumed, mut refused) = (0, 0);
    for consumer in consumers {
        let (some, no) = consumer.join().unwrap();
        (consumed, refused) = (consumed + some, refused + no);
    }
    println!("{consumed} events were consumed at once, {refused} calls were fenced");
    assert!(refused > 0, "the two never met");
    assert_eq!(consumed + finish(&host), INPUTS);
    miscounts_nothing(&host, INPUTS);
}
