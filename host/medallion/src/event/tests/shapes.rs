//! Each shape of event, and what its columns say.

use super::*;

fn kind(event: &str) -> String {
    text(&row(event), "kind").unwrap().to_owned()
}

/// An envelope around a frame that is carried as text.
fn carried(frame: &str) -> String {
    serde_json::json!({ "workflow_id": "wf", "intent_id": "in", "sequence": 3, "data": frame }).to_string()
}

const CHAT: &str = r#"{"choices":[{"index":0,"delta":{"content":" hé\n"},"finish_reason":null}],"model":"m","object":"chat.completion.chunk","usage":null}"#;

#[test]
fn a_chat_chunk_says_the_same_alone_carried_as_text_and_carried_as_an_object() {
    let object = format!(r#"{{"workflow_id":"wf","data":{CHAT}}}"#);
    for event in [CHAT.to_owned(), carried(CHAT), object] {
        let row = row(&event);
        assert_eq!(text(&row, "kind"), Some("chat.chunk"));
        assert_eq!(text(&row, "token"), Some(" hé\n"));
        assert_eq!(text(&row, "model"), Some("m"));
        assert_eq!(text(&row, "finish_reason"), None);
        assert_eq!(u8_of(&row, "priority"), Some(1));
        assert_eq!(i64_of(&row, "prompt_tokens"), None);
    }
}

#[test]
fn an_envelopes_columns_are_its_own_and_data_is_the_frame_as_it_came() {
    let event = format!(
        r#"{{"received_unix_ns":17,"workflow_id":"wf","intent_id":7.50,"node_cid":null,"sequence":12,"topic":"a.b.v2","priority":"critical","tier":"D1","data":{}}}"#,
        serde_json::to_string(CHAT).unwrap()
    );
    let row = row(&event.replace("7.50", "\"in\""));
    assert_eq!(text(&row, "stream"), Some("wf/in"));
    assert_eq!(u64_of(&row, "sequence"), Some(12));
    assert_eq!(u8_of(&row, "priority"), Some(4));
    assert_eq!(u8_of(&row, "tier"), Some(1));
    assert_eq!(i64_of(&row, "received_unix_ns"), Some(17));
    assert_eq!(text(&row, "topic"), Some("a.b.v2"));
    assert_eq!(text(&row, "workflow_id"), Some("wf"));
    assert_eq!(text(&row, "node_cid"), None);
    assert_eq!(text(&row, "data"), Some(CHAT));
}

#[test]
fn a_number_as_an_id_is_kept_as_it_is_written_and_the_event_whole() {
    let event = r#"{"workflow_id":7.50,"intent_id":-1,"node_cid":1e400,"data":"x"}"#;
    let row = row(event);
    assert_eq!(text(&row, "stream"), Some("7.50/-1"));
    assert_eq!(text(&row, "node_cid"), Some("1e400"));
    assert_eq!(text(&row, "data"), Some(event));
}

#[test]
fn an_id_with_escapes_is_what_they_stand_for() {
    let row = row(r#"{"workflow_id":"a\"\u00e9/","intent_id":""}"#);
    assert_eq!(text(&row, "workflow_id"), Some("a\"é/"));
    assert_eq!(text(&row, "intent_id"), Some(""));
    assert_eq!(text(&row, "stream"), Some("a\"é//"));
}

#[test]
fn a_stream_is_named_by_what_there_is() {
    assert_eq!(text(&row(r#"{"workflow_id":"w"}"#), "stream"), Some("w/"));
    assert_eq!(text(&row(r#"{"intent_id":"i"}"#), "stream"), Some("/i"));
    assert_eq!(text(&row(r#"{"topic":"a.b.v1"}"#), "stream"), Some("/"));
    assert_eq!(text(&row("{}"), "stream"), Some("/"));
}

#[test]
fn what_an_envelope_says_beside_its_text_is_not_lost() {
    for event in [
        r#"{"data":"x","extra":1}"#,
        r#"{"data":"x","sequence":-1}"#,
        r#"{"data":"x","sequence":1.0}"#,
        r#"{"data":"x","priority":"loud"}"#,
        r#"{"data":"x","received_unix_ns":"17"}"#,
        r#"{"data":"x","data":"y"}"#,
        r#"{"data":5,"data":"y"}"#,
        r#"{"data":"x","tier":0,"determinism":"D1"}"#,
        r#"{"data":"x","model":"m"}"#,
        r#"{"data":["x"]}"#,
        r#"{"data":{"x":1}}"#,
        r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":"x"}"#,
    ] {
        assert_eq!(text(&row(event), "data"), Some(event));
    }
    assert_eq!(
        text(&row(r#"{"data":"x","sequence":null,"token":"t"}"#), "data"),
        Some("x")
    );
}

#[test]
fn white_space_around_an_event_is_not_part_of_it_and_inside_it_is() {
    let row = row(" \t{ \"a\" : 1 }  \r\n");
    assert_eq!(text(&row, "data"), Some("{ \"a\" : 1 }"));
}

#[test]
fn a_usage_frame_has_its_counts_and_is_a_metric() {
    let usage = r#"{"choices":[],"object":"chat.completion.chunk","usage":{"completion_tokens":98,"prompt_tokens":50,"total_tokens":148,"prompt_tokens_details":{"cached_tokens":4}}}"#;
    for event in [
        usage.to_owned(),
        carried(usage),
        usage.replace(r#""object":"chat.completion.chunk","#, ""),
    ] {
        let row = row(&event);
        assert_eq!(text(&row, "kind"), Some("chat.usage"));
        assert_eq!(u8_of(&row, "priority"), Some(2));
        let counts = ["prompt_tokens", "completion_tokens", "cached_tokens"].map(|column| i64_of(&row, column));
        assert_eq!(counts, [Some(50), Some(98), Some(4)]);
    }
}

#[test]
fn text_completions_are_told_from_chats() {
    let chunk = r#"{"choices":[{"text":"tok","finish_reason":"stop"}]}"#;
    let row = row(&carried(chunk));
    assert_eq!(text(&row, "kind"), Some("text.chunk"));
    assert_eq!(text(&row, "token"), Some("tok"));
    assert_eq!(text(&row, "finish_reason"), Some("stop"));
    assert_eq!(
        kind(r#"{"object":"text_completion","choices":[],"usage":{}}"#),
        "text.usage"
    );
    assert_eq!(kind(r#"{"choices":[{"message":{"content":"x"}}]}"#), "chat.chunk");
}

#[test]
fn done_is_an_event_in_an_envelope_alone_and_after_sse_s_field_name() {
    for event in [
        carried("[DONE]").as_str(),
        "[DONE]",
        "data: [DONE]",
        "data:[DONE]",
        r#"{"data":" [DONE]"}"#,
    ] {
        let row = row(event);
        assert_eq!(text(&row, "kind"), Some("done"));
        assert_eq!(u8_of(&row, "priority"), Some(2));
        assert_eq!(text(&row, "data").unwrap().trim(), "[DONE]");
    }
    assert_eq!(kind(&format!("data: {CHAT}")), "chat.chunk");
}

#[test]
fn json_rpc_messages_are_told_apart() {
    assert_eq!(
        kind(r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{}}"#),
        "jsonrpc.request"
    );
    assert_eq!(kind(r#"{"jsonrpc":"2.0","id":null,"method":"m"}"#), "jsonrpc.request");
    assert_eq!(kind(r#"{"jsonrpc":"2.0","method":"m"}"#), "jsonrpc.notification");
    assert_eq!(kind(r#"{"jsonrpc":"2.0","id":1,"result":null}"#), "jsonrpc.result");
    assert_eq!(kind(r#"{"jsonrpc":"2.0","id":1}"#), "other");
    let event = carried(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no such method"}}"#);
    let row = row(&event);
    assert_eq!(text(&row, "kind"), Some("jsonrpc.error"));
    assert_eq!(text(&row, "error"), Some("no such method"));
    assert_eq!(u8_of(&row, "priority"), Some(3));
}

#[test]
fn errors_have_a_short_text_and_warn() {
    let long = "é".repeat(ERROR_BYTES_MAX);
    for (error, said) in [
        (r#"{"message":"a\tb"}"#, Some("a\tb")),
        (r#""plain""#, Some("plain")),
        (r#"{"code":429}"#, Some(r#"{"code":429}"#)),
        (r#"["x"]"#, Some(r#"["x"]"#)),
        ("null", None),
        ("false", None),
        (&format!(r#"{{"message":"{long}"}}"#), long.get(..ERROR_BYTES_MAX)),
    ] {
        let row = row(&format!(r#"{{"error":{error}}}"#));
        assert_eq!(text(&row, "error"), said);
        assert_eq!(u8_of(&row, "priority"), Some(if said.is_some() { 3 } else { 1 }));
        assert_eq!(text(&row, "kind"), Some("other"));
    }
}

#[test]
fn an_execution_is_known_by_its_receipt_wherever_it_stands() {
    let execution = r#"{"receipt_id":"r","workflow_id":"w","intent_id":"i","sequence":4,"node_cid":"n","determinism":"NX_experimental","latency_ns":2500000}"#;
    for event in [
        execution.to_owned(),
        format!(r#"{{"specversion":"1.0","sequence":9,"data":{execution}}}"#),
    ] {
        let row = row(&event);
        assert_eq!(text(&row, "kind"), Some("execution"));
        assert_eq!(text(&row, "stream"), Some("w/i"));
        assert_eq!(u64_of(&row, "sequence"), Some(4));
        assert_eq!(text(&row, "node_cid"), Some("n"));
        assert_eq!(u8_of(&row, "tier"), Some(3));
        assert_eq!(f64_of(&row, "duration_ms"), Some(2.5));
    }
    assert_eq!(kind(r#"{"receipt_id":null}"#), "other");
}

#[test]
fn an_envelope_that_names_its_stream_is_not_overruled_by_its_data() {
    let row =
        row(r#"{"intent_id":"outer","sequence":1,"data":{"workflow_id":"w","sequence":2,"topic":"x","priority":0}}"#);
    assert_eq!(text(&row, "stream"), Some("/outer"));
    assert_eq!(u64_of(&row, "sequence"), Some(1));
    assert_eq!(text(&row, "topic"), Some(DEFAULT_TOPIC));
    assert_eq!(u8_of(&row, "priority"), Some(1));
}

#[test]
fn durations_come_in_three_units_and_are_never_negative() {
    assert_eq!(f64_of(&row(r#"{"duration_ms":1.5}"#), "duration_ms"), Some(1.5));
    assert_eq!(f64_of(&row(r#"{"wall_time_ns":1000000}"#), "duration_ms"), Some(1.0));
    assert_eq!(f64_of(&row(r#"{"duration_ms":-1}"#), "duration_ms"), None);
    assert_eq!(f64_of(&row(r#"{"duration_ms":"1"}"#), "duration_ms"), None);
}

#[test]
fn fields_of_another_type_are_as_good_as_missing() {
    let event = r#"{"workflow_id":[1],"sequence":"1","priority":9,"tier":{},"token":5,"received_unix_ns":1.5,"choices":5,"usage":[{"prompt_tokens":1}],"model":{},"object":true,"duration_ms":null,"data":5}"#;
    let row = row(event);
    for column in ["workflow_id", "token", "model", "error"] {
        assert_eq!(text(&row, column), None, "{column}");
    }
    assert_eq!(u64_of(&row, "sequence"), None);
    assert_eq!(u8_of(&row, "priority"), Some(1));
    assert_eq!(u8_of(&row, "tier"), None);
    assert_eq!(i64_of(&row, "received_unix_ns"), Some(NOW));
    assert_eq!(text(&row, "kind"), Some("other"));
    assert_eq!(text(&row, "data"), Some(event));
}

#[test]
fn a_frame_inside_a_text_that_is_broken_or_too_deep_is_kept_as_it_is() {
    let deep = format!(r#"{{"model":"m","a":{}{}}}"#, "[".repeat(64), "]".repeat(64));
    for frame in [
        r#"{"model":"m""#,
        r#"{"model":"m"} x"#,
        "{nonsense",
        "",
        "plain words",
        &deep,
    ] {
        let row = row(&carried(frame));
        assert_eq!(text(&row, "kind"), Some("other"));
        assert_eq!(text(&row, "model"), None);
        assert_eq!(text(&row, "data"), Some(frame));
    }
}
