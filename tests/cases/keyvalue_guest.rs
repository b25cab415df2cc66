//! wasi:keyvalue: a component that knows nothing of this host keeps its values in the capsule's own state.

use kinetic_identity::SigningKey;
use kinetic_testkit::author::{manifest, publication};
use kinetic_testkit::guests;
use kinetic_testkit::host::{Host, Reply};
use serde_json::{Value, json};

use crate::ledger::Caller;

const URN: &str = "urn:tests:actionspace:solver:keyvalue:v1";

fn offer(host: &Host, imports: Value) -> Reply {
    let key = SigningKey::generate().unwrap();
    host.kinetic(&["--data", "data", "keys", "trust", "tests", &key.public().to_string()])
        .fine();
    let mut asks = manifest("keyvalue", "1.0.0");
    asks["imports"] = imports;
    let body = publication(&asks, &guests::rust("keyvalue"), &key);
    host.post("/api/v1/registry/capabilities/publish", &body)
}

fn installed(owners: &[&str]) -> Host {
    let host = Host::start();
    let reply = offer(&host, json!([{ "interface": "wasi:keyvalue/store", "owners": owners }]));
    assert_eq!(reply.status, 201, "{}", reply.text());
    host
}

fn call(host: &Host, function: &str, intent: Value) -> Value {
    let reply = host.execute(URN, function, intent);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer = reply.json();
    assert_eq!(answer["success"], json!(true), "{answer:#}");
    answer["output"].clone()
}

fn error(host: &Host, function: &str, intent: Value) -> String {
    let answer = host.execute(URN, function, intent).json();
    assert_eq!(answer["success"], json!(false), "{answer:#}");
    answer["output"].to_string()
}

#[test]
fn a_value_outlives_its_call_and_is_a_key_of_the_capsules_own_state() {
    let host = installed(&[]);
    assert_eq!(
        call(&host, "get", json!({ "bucket": "", "key": "k" })),
        json!([null, false])
    );
    assert_eq!(
        call(&host, "set", json!({ "bucket": "", "key": "k", "value": "v" })),
        json!("v"),
        "its own write"
    );
    assert_eq!(
        call(&host, "get", json!({ "bucket": "default", "key": "k" })),
        json!(["v", true]),
        "the same bucket"
    );
    let said = host.kinetic(&["state", "get", URN, "k"]).fine().json();
    assert_eq!(said["value"], json!("v"), "{said:#}");
    call(&host, "delete", json!({ "bucket": "", "key": "k" }));
    assert_eq!(
        call(&host, "get", json!({ "bucket": "", "key": "k" })),
        json!([null, false])
    );
}

#[test]
fn buckets_are_those_of_the_manifest() {
    let ask = |bucket: &str| json!({ "bucket": bucket, "key": "k", "value": "v" });
    let alone = installed(&[]);
    assert!(error(&alone, "set", ask("shared")).contains("AccessDenied"));
    assert!(error(&alone, "set", ask("others")).contains("NoSuchStore"));
    let sharing = installed(&["type"]);
    call(&sharing, "set", ask("shared"));
    assert_eq!(
        call(&sharing, "get", json!({ "bucket": "", "key": "k" })),
        json!([null, false]),
        "another bucket"
    );
    let host = Host::start();
    let refused = offer(&host, json!([{ "interface": "kinetic:state/store" }]));
    assert!(
        refused.status >= 400 && refused.text().contains("wasi:keyvalue/store"),
        "{}",
        refused.text()
    );
}

#[test]
fn increments_at_once_lose_none_and_one_that_fails_leaves_nothing() {
    const EACH: u64 = 40;
    let host = installed(&[]);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let url = host.url.clone();
            std::thread::spawn(move || {
                let mut caller = Caller::connect(&url).unwrap();
                let intent = json!({ "bucket": "", "key": "n", "delta": 1 });
                let done = |answer: Value| answer["success"] == json!(true);
                (0..EACH)
                    .filter(|_| done(caller.execute(URN, "increment", &intent).unwrap()))
                    .count()
            })
        })
        .collect();
    let done: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert!(done as u64 > EACH * 3, "most are made again until they fit: {done}");
    assert!(
        error(
            &host,
            "increment-and-err",
            json!({ "bucket": "", "key": "n", "delta": 5 })
        )
        .contains("mind")
    );
    assert_eq!(
        call(&host, "get", json!({ "bucket": "", "key": "n" })),
        json!([done.to_string(), true])
    );
    call(&host, "set", json!({ "bucket": "", "key": "n", "value": "many" }));
    assert!(error(&host, "increment", json!({ "bucket": "", "key": "n", "delta": 1 })).contains("no whole number"));
}

#[test]
fn batches_and_lists_are_whole_also_over_many_answers() {
    let host = installed(&[]);
    assert_eq!(
        call(&host, "many", json!({ "bucket": "", "count": 5_000 })),
        json!(2_500)
    );
    let listed = call(&host, "keys", json!({ "bucket": "" }));
    assert_eq!(listed[0], json!(2_500));
    assert!(listed[1].as_u64().unwrap() >= 3, "{listed}");
}

#[test]
fn calls_with_keyvalue_replay_without_the_state() {
    let host = installed(&[]);
    for n in 0..5 {
        call(&host, "increment", json!({ "bucket": "", "key": "n", "delta": n }));
        call(&host, "many", json!({ "bucket": "", "count": 1_500 + 300 * n }));
        call(&host, "keys", json!({ "bucket": "" }));
        call(&host, "get", json!({ "bucket": "", "key": "n" }));
    }
    let replayed = host
        .kinetic(&["--data", "data", "replay", "--capsule", URN])
        .fine()
        .json();
    assert_eq!(replayed["same"], json!(20), "{replayed:#}");
}
