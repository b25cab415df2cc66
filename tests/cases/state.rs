//! The versioned state as a person has it: by command line and HTTP, as of any record, on branches, across a kill.

use kinetic_testkit::host::{Host, kinetic_in};
use kinetic_testkit::swappable::wait_for;
use serde_json::{Value, json};

const STATE: &str = "/api/v1/state";
const JSON: (&str, &str) = ("content-type", "application/json");

fn put(host: &Host, key: &str, value: &str) -> u64 {
    let said = host.kinetic(&["state", "put", "host", key, value]).fine().json();
    said["seq"].as_u64().unwrap_or_else(|| panic!("{said:#}"))
}

fn get(host: &Host, args: &[&str]) -> Value {
    let all: Vec<&str> = ["state"].iter().chain(args).copied().collect();
    host.kinetic(&all).fine().json()["value"].clone()
}

#[test]
fn a_key_is_written_read_as_of_any_record_and_keeps_its_history_across_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start_in(folder.path(), &[]);
    let first = put(&host, "greeting", "hello");
    let second = put(&host, "greeting", "hi");
    let deleted = host.kinetic(&["state", "delete", "host", "greeting"]).fine().json()["seq"]
        .as_u64()
        .unwrap();
    put(&host, "kept", "here");
    host.kill();

    let host = Host::start_in(folder.path(), &[]);
    assert_eq!(
        host.kinetic(&["state", "get", "host", "greeting"]).code(),
        "KIN-GWY-0029"
    );
    for (at, value) in [
        (first + 1, "hello"),
        (second, "hello"),
        (second + 1, "hi"),
        (deleted, "hi"),
    ] {
        assert_eq!(
            get(&host, &["as-of", &at.to_string(), "host", "greeting"]),
            json!(value),
            "as of {at}"
        );
    }
    assert_eq!(
        host.kinetic(&["state", "as-of", &first.to_string(), "host", "greeting"])
            .code(),
        "KIN-GWY-0029"
    );
    assert_eq!(
        host.kinetic(&["state", "as-of", "999999", "host", "greeting"]).code(),
        "KIN-LED-0006"
    );

    let history = host.kinetic(&["state", "history", "host", "greeting"]).fine().json();
    let expected = json!([
        { "seq": deleted, "branch": "main", "deleted": true, "value": null },
        { "seq": second, "branch": "main", "deleted": false, "value": "hi" },
        { "seq": first, "branch": "main", "deleted": false, "value": "hello" },
    ]);
    assert_eq!(history["revisions"], expected);
    let page = host.get(&format!("{STATE}/host/greeting/history?limit=2")).json();
    assert_eq!(page["next"], json!(second));
    let rest = host
        .get(&format!("{STATE}/host/greeting/history?limit=2&before={second}"))
        .json();
    assert_eq!(
        (&rest["revisions"], &rest["next"]),
        (&json!([expected[2]]), &Value::Null)
    );
    let text = kinetic_in(
        &host.folder,
        &[],
        &["--host", &host.url, "state", "get", "host", "kept"],
    )
    .fine();
    assert_eq!(text.stdout, "here");
}

#[test]
fn keys_and_values_of_any_bytes_come_back_as_they_went_in() {
    let host = Host::start();
    let path = format!("{STATE}/host/a%2Fb%FF%00");
    let octets = ("content-type", "application/octet-stream");
    let written = host.send("PUT", &path, &[octets], b"\xff\x00raw".to_vec());
    assert_eq!(written.status, 200, "{}", written.text());
    let seq = written.json()["seq"].clone();
    let raw = host.send("GET", &path, &[("accept", "application/octet-stream")], "");
    assert_eq!(raw.body, b"\xff\x00raw");
    assert_eq!(raw.headers["x-kinetic-seq"], seq.to_string().as_str());
    let found = host.get(&path).json();
    assert_eq!(
        found,
        json!({ "key": { "base64": "YS9i/wA=" }, "value": { "base64": "/wByYXc=" }, "seq": seq })
    );
    let other = format!("{STATE}/type:solver:redact/k");
    for (body, value) in [
        (json!("text"), json!("text")),
        (json!({ "base64": "/w==" }), json!({ "base64": "/w==" })),
    ] {
        assert_eq!(host.send("PUT", &other, &[JSON], body.to_string()).status, 200);
        assert_eq!(host.get(&other).json()["value"], value);
    }
    let empty = host.kinetic(&["state", "put", "host", "empty", ""]).fine();
    assert!(empty.json()["seq"].is_u64());
    assert_eq!(get(&host, &["get", "host", "empty"]), json!(""));
}

#[test]
fn a_list_is_in_order_of_the_keys_and_goes_on_page_by_page() {
    let host = Host::start();
    for key in ["b/2", "a", "b/1", "c"] {
        put(&host, key, key);
    }
    let keys = |path: &str| {
        let page = host.get(path).json();
        let keys: Vec<Value> = page["entries"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["key"].clone())
            .collect();
        (keys, page["next"].clone())
    };
    assert_eq!(
        keys(&format!("{STATE}/host?limit=3")),
        (vec![json!("a"), json!("b/1"), json!("b/2")], json!("b/2"))
    );
    assert_eq!(
        keys(&format!("{STATE}/host?limit=3&after=b%2F2")),
        (vec![json!("c")], Value::Null)
    );
    assert_eq!(keys(&format!("{STATE}/host?prefix=b/")).0.len(), 2);
    assert_eq!(keys(STATE).0.len(), 4);
    let listed = host.kinetic(&["state", "list", "host", "--prefix", "b/"]).fine().json();
    assert_eq!(listed["entries"].as_array().unwrap().len(), 2);
}

#[test]
fn a_conditional_write_is_refused_when_the_key_is_not_as_expected() {
    let host = Host::start();
    let path = format!("{STATE}/host/k");
    let send = |method: &str, expected: &str| host.send(method, &format!("{path}?if-seq={expected}"), &[JSON], "\"v\"");
    let first = send("PUT", "none").json()["seq"].clone();
    assert_eq!(send("PUT", "none").problem(409), "KIN-GWY-0030");
    let second = send("PUT", &first.to_string()).json()["seq"].clone();
    assert_eq!(send("PUT", &first.to_string()).problem(409), "KIN-GWY-0030");
    assert_eq!(send("DELETE", &first.to_string()).problem(409), "KIN-GWY-0030");
    assert_eq!(
        host.get(&path).json()["seq"],
        second,
        "what was refused changed nothing"
    );
    assert_eq!(send("DELETE", &second.to_string()).status, 200);
    assert_eq!(send("PUT", &second.to_string()).problem(409), "KIN-GWY-0030");
    let refused = host.kinetic(&["state", "put", "host", "k", "v", "--if-seq", &second.to_string()]);
    assert_eq!(refused.code(), "KIN-GWY-0030");
}

#[test]
fn a_branch_is_written_apart_compared_merged_and_discarded() {
    let host = Host::start();
    for key in ["same", "mine", "both"] {
        put(&host, key, "base");
    }
    let on_branch = |args: &[&str]| {
        let all: Vec<&str> = ["state"]
            .iter()
            .chain(args)
            .chain(&["--branch", "try/out"])
            .copied()
            .collect();
        host.kinetic(&all).fine().json()
    };
    host.kinetic(&["state", "branch", "create", "host", "try/out"]).fine();
    assert_eq!(
        host.kinetic(&["state", "branch", "create", "host", "try/out"]).code(),
        "KIN-LED-0066"
    );
    on_branch(&["put", "host", "mine", "branch"]);
    on_branch(&["put", "host", "both", "branch"]);
    assert_eq!(on_branch(&["get", "host", "same"])["value"], json!("base"));
    assert_eq!(on_branch(&["get", "host", "mine"])["value"], json!("branch"));
    assert_eq!(get(&host, &["get", "host", "mine"]), json!("base"));
    put(&host, "both", "main");

    let diff = host.kinetic(&["state", "diff", "host", "try/out"]).fine().json();
    let brief: Vec<_> = diff["differences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| (&d["key"], &d["conflicts"]))
        .collect();
    assert_eq!(brief, [(&json!("both"), &json!(true)), (&json!("mine"), &json!(false))]);
    assert_eq!(diff["differences"][0]["theirs"]["value"], json!("main"));

    let merge = format!("{STATE}-branches/host/try%2Fout/merge");
    assert_eq!(host.post(&merge, &json!({})).problem(409), "KIN-LED-0069");
    assert_eq!(
        get(&host, &["get", "host", "mine"]),
        json!("base"),
        "what was refused changed nothing"
    );
    let merged = host
        .kinetic(&["state", "branch", "merge", "host", "try/out", "--policy", "ours"])
        .fine()
        .json();
    assert_eq!(merged["written"], json!(2));
    assert_eq!(get(&host, &["get", "host", "both"]), json!("branch"));
    assert_eq!(
        host.post(&merge, &json!({})).json(),
        json!({ "seq": null, "written": 0 })
    );

    let list = host.kinetic(&["state", "branch", "list"]).fine().json();
    assert_eq!(list["branches"][0]["name"], json!("try/out"));
    host.kinetic(&["state", "branch", "discard", "host", "try/out"]).fine();
    assert_eq!(
        host.kinetic(&["state", "get", "host", "mine", "--branch", "try/out"])
            .code(),
        "KIN-LED-0065"
    );
}

#[test]
fn time_travel_shows_what_was_below_a_record_and_what_that_record_is() {
    let host = Host::start();
    let first = put(&host, "k", "old");
    let owner = "urn:kinetic:actionspace:solver:redact:v1";
    host.kinetic(&["state", "put", owner, "of-redact", "x"]).fine();
    let answer = host.execute(owner, "scrub", json!({ "text": "a" })).json();
    let call = answer["receipt_id"]
        .as_str()
        .unwrap()
        .split_once('-')
        .unwrap()
        .0
        .to_string();
    put(&host, "k", "new");

    let there = host.kinetic(&["time-travel", &call]).fine().json();
    let entries = json!([
        { "owner": owner, "key": "of-redact", "value": "x", "seq": first + 1 },
        { "owner": "host", "key": "k", "value": "old", "seq": first },
    ]);
    assert_eq!(there["entries"], entries);
    assert_eq!(
        (&there["record"]["event"], &there["record"]["subject"]),
        (&json!("execution"), &json!(owner))
    );
    assert_eq!(there["record"]["function"], json!("scrub"));
    let before = host.kinetic(&["time-travel", &first.to_string(), "host"]).fine().json();
    assert_eq!(before["entries"], json!([]));
    assert_eq!(before["record"]["writes"], json!(1));
    let text = kinetic_in(&host.folder, &[], &["--host", &host.url, "time-travel", &call])
        .fine()
        .stdout;
    assert!(
        text.contains("execution") && text.contains("old") && !text.contains("new"),
        "{text}"
    );
    // The host's own records come when they come, also between the two questions.
    wait_for("a number that no record has yet", || {
        let now = host.get(STATE).json()["at"].to_string();
        let record = host.kinetic(&["time-travel", &now]).fine().json()["record"].clone();
        (record == Value::Null).then_some(())
    });
}

#[test]
fn what_cannot_be_asked_or_stored_is_a_problem_with_its_code() {
    let host = Host::start();
    let put = |path: &str, body: &str| host.send("PUT", &format!("{STATE}/{path}"), &[JSON], body.to_string());
    let cases = [
        (404, host.get(&format!("{STATE}/host/nothing"))),
        (404, host.get(&format!("{STATE}/host/nothing?branch=none"))),
        (404, host.get(&format!("{STATE}/host?at=999999"))),
        (404, host.get("/api/v1/ledger/records/999999")),
        (400, host.get(&format!("{STATE}/somebody"))),
        (400, host.get(&format!("{STATE}/host?limit=10001"))),
        (400, host.get(&format!("{STATE}/host?lmit=1"))),
        (400, host.get(&format!("{STATE}/host/{}", "x".repeat(2049)))),
        (400, put("host/k", "1")),
        (400, put("host/k?if-seq=x", "\"v\"")),
        (
            415,
            host.send(
                "PUT",
                &format!("{STATE}/host/k"),
                &[("content-type", "text/plain")],
                "v",
            ),
        ),
        (
            400,
            host.post("/api/v1/state-branches", &json!({ "owner": "host", "name": "main" })),
        ),
        (
            400,
            host.post(
                "/api/v1/state-branches",
                &json!({ "owner": "host", "name": "b", "more": 1 }),
            ),
        ),
        (404, host.send("DELETE", "/api/v1/state-branches/host/none", &[], "")),
    ];
    for (status, reply) in cases {
        assert!(reply.problem(status).starts_with("KIN-"));
    }
    let large = host.send(
        "PUT",
        &format!("{STATE}/host/k"),
        &[("content-type", "application/octet-stream")],
        vec![0; (16 << 20) + 1],
    );
    large.problem(413);
    assert_eq!(host.kinetic(&["state", "get", "host", ".."]).code(), "KIN-CLI-0011");
}

#[test]
fn the_description_of_the_api_names_the_routes_of_ledger_and_state() {
    let host = Host::start();
    let api = host.get("/openapi.json").json();
    for (path, method) in [
        ("/api/v1/receipts/{id}", "get"),
        ("/api/v1/ledger", "get"),
        ("/api/v1/ledger/consistency", "get"),
        ("/api/v1/ledger/records/{seq}", "get"),
        ("/api/v1/state", "get"),
        ("/api/v1/state/{owner}", "get"),
        ("/api/v1/state/{owner}/{key}", "put"),
        ("/api/v1/state/{owner}/{key}/history", "get"),
        ("/api/v1/state-changes", "get"),
        ("/api/v1/state-branches", "post"),
        ("/api/v1/state-branches/{owner}/{name}", "delete"),
        ("/api/v1/state-branches/{owner}/{name}/diff", "get"),
        ("/api/v1/state-branches/{owner}/{name}/merge", "post"),
    ] {
        assert!(api["paths"][path][method].is_object(), "{method} {path}");
    }
}
