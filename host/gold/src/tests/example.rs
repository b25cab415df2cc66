//! A small example, calculated by hand.

use super::{Data, Event};
use crate::{CapabilityRow, MetricsRow, UsageRow, tables};

const MS: i64 = 1_000_000;

fn events() -> Vec<Event> {
    let w = |sequence, at_ms: i64| Event {
        workflow: Some("w"),
        intent: Some("i"),
        node: Some("n"),
        sequence,
        received_unix_ns: at_ms * MS,
        kind: "chat.chunk",
        model: Some("m"),
        ..Event::default()
    };
    let token = |event: Event, token| Event {
        token: Some(token),
        ..event
    };
    let call = |event: Event, data: &str| Event {
        workflow: Some("calls"),
        intent: None,
        node: None,
        model: None,
        kind: "execution",
        data: data.to_owned(),
        ..event
    };
    vec![
        // The last token comes first, and the first event has an empty one.
        token(w(3, 10), "b"),
        token(w(0, 1), ""),
        token(w(2, 5), "b"),
        token(w(1, 3), "a"),
        Event {
            usage: [Some(100), Some(3), Some(40)],
            ..w(4, 11)
        },
        Event {
            node: Some("k"),
            model: None,
            error: Some("broken"),
            duration_ms: Some(7.5),
            ..w(5, 12)
        },
        Event {
            workflow: None,
            intent: None,
            model: None,
            kind: "other",
            ..w(0, 2)
        },
        call(
            w(0, 20),
            r#"{"receipt_id":"r1","capsule":"urn:c","version":"1","function":"f","outcome":"ok","fuel":10,
                "peak_memory_bytes":300,"wall_time_ns":1500000,"input_bytes":5,"output_bytes":7}"#,
        ),
        call(
            w(1, 30),
            r#"{"receipt_id":"r2","capsule":"urn:c","version":"1","function":"f","outcome":"KIN-ENG-0007","fuel":30,
                "peak_memory_bytes":200,"wall_time_ns":500000,"input_bytes":6}"#,
        ),
        call(
            w(2, 40),
            r#"{"data":{"receipt_id":"r3","capsule":"urn:c","version":"2","function":"f"}}"#,
        ),
    ]
}

#[test]
#[allow(clippy::float_cmp)] // Small numbers are exact.
fn every_metric_is_what_a_pencil_says() {
    let mut data = Data::of(&events());
    data.shed(&[(Some("w"), 2), (Some("gone"), 4)]);
    data.shed(&[(Some("w"), 1)]);
    let refreshed = data.gold().refresh(&data.sources).unwrap();
    assert_eq!(
        (refreshed.workflows, refreshed.end_offset, refreshed.unchanged),
        (4, 10, false)
    );

    let metrics = tables(&data.gold_folder()).unwrap().metrics;
    let names: Vec<_> = metrics.iter().map(|row| row.workflow_id.as_deref()).collect();
    assert_eq!(names, [Some("calls"), Some("gone"), Some("w"), None]);
    let expected = MetricsRow {
        workflow_id: Some("w".into()),
        events: 6,
        unique_nodes: 2,
        intents: 1,
        prompt_tokens: 100,
        completion_tokens: 3,
        cached_tokens: 40,
        // 60 at 2, 40 at 1, 3 at 10 a million.
        cost: 190e-6,
        // 7.5 says the one node, 10 it took at the other.
        latency_p50_ms: Some(7.5),
        latency_p95_ms: Some(10.0),
        latency_p99_ms: Some(10.0),
        first_token_p50_ms: Some(2.0),
        inter_token_p50_ms: Some(2.0),
        inter_token_p95_ms: Some(5.0),
        inter_token_p99_ms: Some(5.0),
        errors: 1,
        error_rate: Some(1.0 / 6.0),
        shed: 3,
        shed_rate: Some(3.0 / 9.0),
        drift: Some(1.0),
        first_unix_ns: Some(MS),
        last_unix_ns: Some(12 * MS),
    };
    let cost = metrics[2].cost;
    assert!((cost - expected.cost).abs() < 1e-12, "{cost}");
    assert_eq!(metrics[2], MetricsRow { cost, ..expected });

    let gone = &metrics[1];
    assert_eq!(
        (gone.events, gone.shed, gone.shed_rate, gone.error_rate),
        (0, 4, Some(1.0), None)
    );
    assert_eq!((gone.cost, gone.first_unix_ns, gone.drift), (0.0, None, None));
    let nameless = &metrics[3];
    assert_eq!((nameless.events, nameless.unique_nodes, nameless.intents), (1, 1, 0));
    assert_eq!((nameless.latency_p50_ms, nameless.shed_rate), (None, Some(0.0)));
}

#[test]
fn the_usage_graph_counts_steps_and_edges_and_passes_over_what_is_not_named() {
    let data = Data::of(&events());
    data.gold().refresh(&data.sources).unwrap();
    let graph = tables(&data.gold_folder()).unwrap().usage_graph;
    let text = |row: &UsageRow| {
        let workflow = row.workflow_id.as_deref().unwrap_or("-");
        let to = row
            .to_kind
            .iter()
            .zip(&row.to_id)
            .map(|(kind, id)| format!(" {kind}:{id}"));
        let to: String = to.collect();
        format!(
            "{workflow} {} {}:{}{to} {} {}",
            row.kind, row.from_kind, row.from_id, row.events, row.errors
        )
    };
    let lines: Vec<_> = graph.iter().map(text).collect();
    assert_eq!(
        lines,
        [
            "calls node workflow:calls 3 0",
            "w edge intent:i node:k 1 1",
            "w edge intent:i node:n 5 0",
            "w edge node:n model:m 5 0",
            "w edge workflow:w intent:i 6 1",
            "w node intent:i 6 1",
            "w node model:m 5 0",
            "w node node:k 1 1",
            "w node node:n 5 0",
            "w node workflow:w 6 1",
            "- node node:n 1 0",
        ]
    );
}

#[test]
fn capabilities_say_what_the_calls_of_a_function_used() {
    let data = Data::of(&events());
    data.gold().refresh(&data.sources).unwrap();
    let first = CapabilityRow {
        capsule: Some("urn:c".into()),
        version: Some("1".into()),
        function: Some("f".into()),
        calls: 2,
        errors: 1,
        fuel_total: 40,
        fuel_p50: Some(10),
        memory_peak_bytes_max: Some(300),
        wall_p50_ms: Some(0.5),
        wall_p95_ms: Some(1.5),
        wall_p99_ms: Some(1.5),
        input_bytes: 11,
        output_bytes: 7,
    };
    let second = CapabilityRow {
        version: Some("2".into()),
        calls: 1,
        errors: 0,
        fuel_total: 0,
        fuel_p50: None,
        memory_peak_bytes_max: None,
        wall_p50_ms: None,
        wall_p95_ms: None,
        wall_p99_ms: None,
        input_bytes: 0,
        output_bytes: 0,
        ..first.clone()
    };
    assert_eq!(tables(&data.gold_folder()).unwrap().capabilities, [first, second]);
}
