//! The real stream, its totals counted a second time by another way.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;

pub(super) const STREAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/llm-stream.jsonl");

fn sum(batch: &RecordBatch, column: &str) -> i64 {
    numbers::<Int64Type>(batch, column).into_iter().flatten().sum()
}

#[test]
fn the_real_stream_is_read_to_the_last_event_and_its_totals_are_right() {
    let input = std::fs::read_to_string(STREAM).unwrap();
    let (batch, totals) = read(Framing::Lines, input.as_bytes());
    let events = &batch.events;
    assert_eq!(totals.listed, []);
    assert_eq!((totals.arrived, totals.events), (8372, 8372));
    let distinct = |column: &str| texts(events, column).into_iter().collect::<BTreeSet<_>>().len();
    assert_eq!(
        ["workflow_id", "intent_id", "stream", "node_cid"].map(distinct),
        [7, 90, 90, 3]
    );

    let column = |name| texts(events, name).into_iter();
    let rows = column("data").zip(column("model")).zip(column("finish_reason"));
    let sequences = numbers::<UInt64Type>(events, "sequence").into_iter();
    let rows = rows.zip(sequences.zip(numbers::<Int64Type>(events, "received_unix_ns")));
    let (mut tokens, mut kinds, mut said) = ([0, 0, 0], [0, 0, 0], String::new());
    for (line, (((data, model), finish_reason), (sequence, received))) in input.lines().zip(rows) {
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!(data, event["data"].as_str());
        assert_eq!(sequence, event["sequence"].as_u64());
        assert_eq!(received, event["received_unix_ns"].as_i64());
        let frame: Value = serde_json::from_str(data.unwrap()).unwrap_or_default();
        let (usage, choice) = (&frame["usage"], &frame["choices"][0]);
        let cached = &usage["prompt_tokens_details"]["cached_tokens"];
        for (sum, count) in tokens
            .iter_mut()
            .zip([&usage["prompt_tokens"], &usage["completion_tokens"], cached])
        {
            *sum += count.as_i64().unwrap_or(0);
        }
        let place = if data == Some("[DONE]") {
            0
        } else {
            1 + usize::from(usage.is_object())
        };
        kinds[place] += 1;
        said.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
        assert_eq!(model, frame["model"].as_str());
        assert_eq!(finish_reason, choice["finish_reason"].as_str());
    }
    let counted = |kind: &str| texts(events, "kind").iter().filter(|is| **is == Some(kind)).count();
    assert_eq!(["done", "chat.chunk", "chat.usage"].map(counted), kinds);
    assert_eq!((kinds[0], kinds[2]), (90, 90));
    assert_eq!(
        ["prompt_tokens", "completion_tokens", "cached_tokens"].map(|column| sum(events, column)),
        tokens
    );
    assert!(tokens[0] > 0 && tokens[1] > 0);
    assert_eq!(texts(events, "token").into_iter().flatten().collect::<String>(), said);
    let metrics = numbers::<UInt8Type>(events, "priority")
        .iter()
        .filter(|is| **is == Some(2))
        .count();
    assert_eq!(metrics, 180);
}

#[test]
fn a_batch_says_what_its_schema_is() {
    let batch = row("{}");
    assert_eq!(batch.schema(), schema());
    assert_eq!(batch.schema().metadata()[VERSION_KEY], "1");
    assert_eq!(rejects_schema().metadata()[VERSION_KEY], "1");
}
