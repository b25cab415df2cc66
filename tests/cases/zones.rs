//! Zones and tenants of a real host: a quiet tenant beside a hostile one, debts, and pools that do not fit.

use std::time::Duration;

use kinetic_testkit::host::{Host, kinetic_in};
use kinetic_testkit::swappable::wait_for;
use kinetic_testkit::tenants::{Attackers, HOSTILE, QUIET, echo_for, percentile, publish};
use serde_json::{Value, json};

const ATTACKERS: usize = 16;

/// A tenant of zone `session` as the host shows it, once it had a call.
fn shown(host: &Host, name: &str) -> Option<Value> {
    let zones = host.get("/api/v1/zones").json();
    let listed = zones["zones"].as_array().unwrap();
    let session = listed.iter().find(|zone| zone["zone"] == "session").unwrap();
    let tenants = session["tenants"].as_array().unwrap();
    tenants.iter().find(|tenant| tenant["tenant"] == name).cloned()
}

fn tenant(host: &Host, name: &str) -> Value {
    shown(host, name).unwrap_or_else(|| panic!("{name} is not shown"))
}

#[test]
fn the_calls_of_a_quiet_tenant_never_fail_beside_a_hostile_one() {
    // One at a time and a short line: the hostile tenant is at its bounds all the while.
    let bounds = [
        ("KINETIC_TENANTS__HOSTILE__CALLS_RUNNING_MAX", "1"),
        ("KINETIC_ZONES__SESSION__CALLS_WAITING_MAX", "8"),
    ];
    let host = Host::start_with(&bounds);
    publish(&host);
    let alone = echo_for(&host, Duration::from_secs(3));
    let attackers = Attackers::start(&host, ATTACKERS);
    let beside = echo_for(&host, Duration::from_secs(8));
    let hostile = wait_for("a refusal of the hostile tenant, and what its calls burnt", || {
        let more_than_0 = |tenant: &Value, name: &str| tenant[name].as_u64() > Some(0);
        shown(&host, "hostile").filter(|tenant| more_than_0(tenant, "calls_refused") && more_than_0(tenant, "fuel"))
    });
    let calls = attackers.stop();
    for (what, took) in [("alone", &alone), ("beside the hostile tenant", &beside)] {
        let (p50, p99) = (percentile(took, 50), percentile(took, 99));
        println!("quiet tenant {what}: {} calls, p50 {p50:?}, p99 {p99:?}", took.len());
    }
    println!("hostile tenant: {calls} calls");
    assert_eq!(tenant(&host, "quiet")["calls_refused"], 0);
    assert_eq!(hostile["calls_running_max"], 1);
    assert!(hostile["calls_running"].as_u64() <= Some(1), "{hostile:#}");
    // Also of the callers who hung up nothing is left.
    wait_for("the end of all calls", || {
        let left = tenant(&host, "hostile");
        let none = |name: &str| left[name] == 0;
        (none("calls_running") && none("calls_waiting") && none("memory_bytes")).then_some(())
    });
    let metrics = host.get("/metrics").text();
    for line in [
        r#"kinetic_zone_calls_refused_total{zone="session",tenant="quiet"} 0"#,
        r#"kinetic_zone_calls_running{zone="session",tenant="hostile"} 0"#,
        r#"kinetic_zone_calls_waiting_max{zone="session"} 8"#,
    ] {
        assert!(
            metrics.lines().any(|shown| shown == line),
            "{line} is not in\n{metrics}"
        );
    }
}

#[test]
fn zone_and_tenant_are_shown_by_the_commands() {
    let host = Host::start();
    publish(&host);
    assert_eq!(host.execute(QUIET, "text-back", json!({ "text": "a" })).status, 200);
    let zones = host.kinetic(&["zones"]).fine().json();
    assert_eq!(zones["zones"].as_array().unwrap().len(), 4);
    let processes = host.kinetic(&["ps"]).fine().json();
    let listed = processes["capsules"].as_array().unwrap();
    for (urn, name) in [(QUIET, "quiet"), (HOSTILE, "hostile")] {
        let process = listed.iter().find(|process| process["urn"] == urn).unwrap();
        assert_eq!(
            (&process["zone"], &process["tenant"]),
            (&json!("session"), &json!(name))
        );
    }
}

#[test]
fn a_tenant_in_debt_is_told_so_and_another_one_is_served() {
    let host = Host::start_with(&[
        ("KINETIC_TENANTS__QUIET__FUEL_PER_S_MAX", "1"),
        ("KINETIC_ZONES__SESSION__WAIT_MS_MAX", "100"),
    ]);
    publish(&host);
    let echo = || host.execute(QUIET, "text-back", json!({ "text": "a" }));
    assert_eq!(echo().status, 200);
    let refused = echo();
    assert_eq!(refused.problem(503), "KIN-KER-0045");
    let detail = refused.json()["detail"].as_str().unwrap().to_string();
    assert!(detail.contains("1 fuel a second"), "{detail}");
    assert_eq!(host.execute(HOSTILE, "behaves", json!({ "text": "a" })).status, 200);
}

#[test]
fn a_call_larger_than_the_quota_of_its_tenant_is_refused_at_once() {
    let host = Host::start_with(&[("KINETIC_TENANTS__QUIET__MEMORY_BYTES_MAX", "1_000")]);
    publish(&host);
    let refused = host.execute(QUIET, "text-back", json!({ "text": "a" }));
    assert_eq!(refused.problem(422), "KIN-KER-0046");
}

#[test]
fn zones_that_do_not_fit_into_the_pool_keep_the_host_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let too_many = [("KINETIC_ZONES__SESSION__CALLS_RUNNING_MAX", "300")];
    let args = ["--output", "json", "up", "--listen", "127.0.0.1:0", "--data", "data"];
    let said = kinetic_in(folder.path(), &too_many, &args);
    assert_eq!(said.code(), "KIN-KER-0043");
}
