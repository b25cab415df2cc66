//! `kinetic zones`: who runs and waits in each trust zone of a running host.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::Context;
use crate::render;

/// Show who runs and waits in each trust zone: calls, refusals, fuel, memory against the quotas
///
/// One line for each zone, and below it one for each tenant that had calls in it. A tenant is the
/// namespace of a URN; its quotas hold in all zones but system together. Fuel is that of the last
/// whole second. Asks the running host: with --data alone, the one that serves that folder.
///
///     kinetic zones
///     kinetic zones --output json
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Zones {}

impl Zones {
    pub(super) fn run(context: &Context) -> anyhow::Result<ExitCode> {
        let client = context.running_host()?;
        let document = super::block_on(client.get(&["zones"], &[]))?;
        context.print(&document, || {
            let mut rows = vec![HEADING.map(String::from).to_vec()];
            for zone in members(&document, "zones") {
                rows.push(zone_row(zone));
                rows.extend(members(zone, "tenants").map(tenant_row));
            }
            render::table(&rows)
        });
        Ok(ExitCode::SUCCESS)
    }
}

const HEADING: [&str; 8] = [
    "ZONE", "TENANT", "RUNNING", "WAITING", "REFUSED", "FUEL/S", "MEMORY", "WEIGHT",
];

fn members<'a>(document: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    document.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn number(of: &Value, name: &str) -> u64 {
    of.get(name).and_then(Value::as_u64).unwrap_or_default()
}

fn text(of: &Value, name: &str) -> String {
    of.get(name).and_then(Value::as_str).unwrap_or_default().to_string()
}

/// What is used, of what may be where that is bounded.
fn used(of: &Value, name: &str, max: &str, shown: fn(u64) -> String) -> String {
    let now = shown(number(of, name));
    match of.get(max).and_then(Value::as_u64) {
        Some(max) => format!("{now} of {}", shown(max)),
        None => now,
    }
}

fn zone_row(zone: &Value) -> Vec<String> {
    vec![
        text(zone, "zone"),
        String::new(),
        used(zone, "calls_running", "calls_running_max", render::grouped),
        used(zone, "calls_waiting", "calls_waiting_max", render::grouped),
        render::grouped(number(zone, "calls_refused")),
        render::count(number(zone, "fuel_last_second")),
        String::new(),
        String::new(),
    ]
}

fn tenant_row(tenant: &Value) -> Vec<String> {
    vec![
        String::new(),
        text(tenant, "tenant"),
        used(tenant, "calls_running", "calls_running_max", render::grouped),
        render::grouped(number(tenant, "calls_waiting")),
        render::grouped(number(tenant, "calls_refused")),
        used(tenant, "fuel_last_second", "fuel_per_s_max", render::count),
        used(tenant, "memory_bytes", "memory_bytes_max", render::bytes),
        number(tenant, "weight").to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_shows_what_is_used_of_what_may_be() {
        let tenant = json!({
            "tenant": "acme", "calls_running": 2, "calls_running_max": 45, "calls_waiting": 1, "calls_refused": 3,
            "fuel_last_second": 2_000, "fuel_per_s_max": 20_000_000_000_u64, "memory_bytes": 1_572_864,
            "memory_bytes_max": 67_108_864, "weight": 100,
        });
        let row = tenant_row(&tenant);
        assert_eq!(row.len(), HEADING.len());
        assert_eq!(
            row,
            [
                "",
                "acme",
                "2 of 45",
                "1",
                "3",
                "2.0 k of 20.0 G",
                "1.5 MiB of 64.0 MiB",
                "100"
            ]
        );
    }

    #[test]
    fn what_only_the_zone_bounds_is_shown_without_a_bound() {
        let row = tenant_row(&json!({ "tenant": "kinetic", "calls_running": 2, "memory_bytes": 1_024, "weight": 1 }));
        assert_eq!((row[2].as_str(), row[6].as_str()), ("2", "1.0 KiB"));
        let zone = zone_row(&json!({ "zone": "system", "calls_running": 1, "calls_running_max": 20 }));
        assert_eq!((zone.len(), zone[2].as_str()), (HEADING.len(), "1 of 20"));
    }
}
