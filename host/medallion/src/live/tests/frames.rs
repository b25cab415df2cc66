//! Frames that nothing in an event can break.

use serde_json::json;

use super::*;

async fn frame_of(event: Event) -> (String, Shown) {
    let mut host = Host::new(LiveSettings::default());
    let mut watching = host.watch(Start::Now);
    host.publish(&[event]);
    let frames = next(&mut watching).await.unwrap();
    let text = String::from_utf8(frames.bytes.to_vec()).unwrap();
    let mut all = shown(text.as_bytes());
    assert_eq!(all.len(), 1, "{text}");
    (text, all.remove(0))
}

#[tokio::test]
async fn a_frame_says_what_the_event_says() {
    let (text, _) = frame_of(Event::new("telemetry.events.v1", Some("wf"), 2, r#"{"a":1.50}"#)).await;
    let expected = concat!(
        "id: 0-0\nevent: telemetry.events.v1\ndata: {\"stream\":\"wf/intent\",\"sequence\":7,\"priority\":\"METRIC\",",
        "\"received_unix_ns\":1700000000000000000,\"workflow_id\":\"wf\",\"intent_id\":\"intent\",\"node_cid\":null,",
        "\"kind\":\"other\",\"data\":{\"a\":1.50}}\n\n"
    );
    assert_eq!(text, expected);
}

#[tokio::test]
async fn an_object_or_array_is_embedded_on_one_line_and_all_else_is_a_text() {
    for (data, expected) in [
        (r#"{"b":"x\ny","b2":[1]}"#, json!({ "b": "x\ny", "b2": [1] })),
        ("[1,\r\n 2,\n3]\n", json!([1, 2, 3])),
        ("{\n\"a\"\n:\r1}", json!({ "a": 1 })),
        ("[DONE]", json!("[DONE]")),
        ("", json!("")),
        ("{not json\n\ndata: x", json!("{not json\n\ndata: x")),
        ("{\"a\":1} {\"b\":2}", json!("{\"a\":1} {\"b\":2}")),
        (
            "a \"text\"\nid: 9-9\n\nevent: x\r\rdata: y",
            json!("a \"text\"\nid: 9-9\n\nevent: x\r\rdata: y"),
        ),
        (
            "\u{2028}\u{2029}\u{85}\u{0}\u{7f}é",
            json!("\u{2028}\u{2029}\u{85}\u{0}\u{7f}é"),
        ),
        ("17", json!("17")),
        ("null", json!("null")),
    ] {
        let (_, frame) = frame_of(Event::new("a.b.v1", None, 1, data)).await;
        assert_eq!(frame.json()["data"], expected, "{data}");
    }
}

#[tokio::test]
async fn hostile_names_stay_inside_their_texts() {
    let hostile = "a\n\nevent: skipped\ndata: {}\n\u{2028}\"\\\r";
    let mut event = Event::new("a.b.v1", Some(hostile), 1, "{}");
    event.sequence = None;
    let (_, frame) = frame_of(event).await;
    assert_eq!(frame.json()["workflow_id"], hostile);
    assert_eq!(frame.json()["stream"], format!("{hostile}/intent"));
    assert_eq!(frame.json()["sequence"], Value::Null);
}

#[tokio::test]
async fn a_topic_that_is_none_names_no_frame() {
    for topic in ["skipped", "a.b.v1\n\ndata: 1", ""] {
        let (_, frame) = frame_of(Event::new(topic, Some("wf"), 1, "{}")).await;
        assert_eq!((frame.event, frame.id.as_deref()), (None, Some("0-0")), "{topic}");
    }
}

#[test]
fn an_id_is_read_as_it_is_written() {
    let id = EventId {
        offset: u64::MAX,
        row: u32::MAX,
    };
    assert_eq!(id.to_string().parse::<EventId>().unwrap(), id);
    for bad in [
        "",
        "1",
        "-1",
        "1-",
        "+1-0",
        "1-+0",
        "1-2-3",
        " 1-0",
        "1-4294967296",
        "18446744073709551616-0",
    ] {
        assert!(bad.parse::<EventId>().is_err(), "{bad}");
    }
}
