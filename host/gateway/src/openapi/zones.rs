//! The route of zones and tenants: what it answers.

use serde_json::{Value, json};

use super::paths::{JSON, Operation, content, ok, schema};
use super::schemas::{count, list, object, text};

pub(super) fn paths() -> Value {
    json!({
        "/api/v1/zones": { "get": Operation::new(
            "listZones", "capsules", "Who runs and waits in every trust zone, and within which bounds",
            ok("The most trusted zone first, each with the tenants that had calls in it.", content(JSON, schema("ZoneList"))),
        ).write() },
    })
}

/// The schemas of what it answers.
pub(super) fn schemas() -> Value {
    let tenant = json!({
        "tenant": text("Its name: the namespace of its capsules' URNs."),
        "calls_running": count("Its calls that run in this zone."),
        "calls_running_max": count("The most that may, in all zones together; absent where only the zone bounds it."),
        "calls_waiting": count("Its calls that wait in this zone."),
        "calls_refused": count("Its calls that got no slot in this zone since the host started."),
        "fuel_last_second": count("Fuel of the last whole second in this zone."),
        "fuel": count("Fuel in this zone since the host started."),
        "fuel_per_s_max": count("The most a second, in all zones together."),
        "memory_bytes": count("The memory limits of its running calls, in all zones together."),
        "memory_bytes_max": count("The most these may be."),
        "weight": count("Its share where tenants wait, against the weights of the others."),
    });
    let zone = json!({
        "zone": text("Which."),
        "calls_running": count("Calls that run."),
        "calls_running_max": count("The most that may."),
        "calls_waiting": count("Calls that wait."),
        "calls_waiting_max": count("The most that may."),
        "wait_ms_max": count("How long a call waits at most, in milliseconds."),
        "calls_nested": count("Calls that calls of the zone make."),
        "calls_refused": count("Calls that got no slot since the host started."),
        "fuel_last_second": count("Fuel of the last whole second."),
        "tenants": list("TenantStatus"),
    });
    json!({
        "ZoneList": object(json!({ "zones": list("ZoneStatus") }), &[]),
        "ZoneStatus": object(zone, &[]),
        "TenantStatus": object(tenant, &["calls_running_max", "fuel_per_s_max", "memory_bytes_max"]),
    })
}
