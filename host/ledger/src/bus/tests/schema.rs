//! Schemas: what critical topics refuse, and which schemas may follow which.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::bus::config::Compatibility;
use crate::bus::schema::Schema;
use crate::bus::{Qos, Subscribe};

const TOPIC: &str = "test.orders.v1";

fn order(data: &str) -> NewEvent {
    NewEvent::new(
        TOPIC,
        Envelope::builder("1", "/test", "order")
            .data(data.as_bytes())
            .build()
            .unwrap(),
    )
}

fn closed(properties: Value, required: Value) -> Value {
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

async fn critical(host: &Host, qos: Qos, schema: &Value, compatibility: Compatibility) -> TopicConfig {
    let digest = host.bus.register_schema(schema.to_string().into()).await.unwrap();
    let config = TopicConfig {
        qos,
        critical: true,
        schema: Some(digest),
        compatibility,
        ..TopicConfig::default()
    };
    host.topic(TOPIC, config.clone()).await;
    config
}

#[tokio::test]
async fn an_event_that_breaks_the_schema_of_a_critical_topic_is_refused() {
    let schema = closed(
        json!({"sku": {"type": "string"}, "count": {"type": "integer", "minimum": 1}}),
        json!(["sku"]),
    );
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
        let host = Host::new();
        let config = critical(&host, qos, &schema, Compatibility::None).await;
        let reader = host.bus.subscribe(Subscribe::to(TOPIC)).await.unwrap();
        host.publish(vec![order(r#"{"sku": "a", "count": 2}"#)]).await.unwrap();
        let plain = Envelope::builder("1", "/test", "order")
            .content_type("text/plain")
            .data(b"{}".as_slice());
        let bad = [
            order(r#"{"count": 2}"#),
            order(r#"{"sku": "a", "count": 0}"#),
            order(r#"{"sku": "a", "more": 0}"#),
            order("not json"),
            NewEvent::new(TOPIC, Envelope::builder("1", "/test", "order").build().unwrap()),
            NewEvent::new(TOPIC, plain.build().unwrap()),
        ];
        for bad in bad {
            let refused = host.publish(vec![order(r#"{"sku": "b"}"#), bad.clone()]).await;
            assert!(
                matches!(refused, Err(LedgerError::EventRefused { .. })),
                "{bad:?}: {refused:?}"
            );
        }
        assert_eq!(
            drain(&reader).await.len(),
            1,
            "of a publication with a bad event nothing is taken"
        );
        // A topic that is not critical has a schema for its readers only.
        let relaxed = TopicConfig {
            critical: false,
            ..config
        };
        host.bus.change_topic(TOPIC, relaxed).await.unwrap();
        host.publish(vec![order("not json")]).await.unwrap();
    }
}

#[tokio::test]
async fn a_refusal_says_where_the_data_is_wrong() {
    let host = Host::new();
    let schema = json!({"properties": {"lines": {"items": {"properties": {"count": {"minimum": 1}}}}}});
    critical(&host, Qos::AtLeastOnce, &schema, Compatibility::None).await;
    let refused = host
        .publish(vec![order(r#"{"lines": [{"count": 1}, {"count": 0}]}"#)])
        .await
        .unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the schema of test.orders.v1 refuses the event's data: at /lines/1/count: 0 is less than the minimum of 1."
    );
}

#[tokio::test]
async fn schemas_survive_a_restart_and_must_be_registered_before_they_are_used() {
    let host = Host::new();
    let missing = TopicConfig {
        schema: Some(kinetic_model::Digest::of(b"none")),
        ..TopicConfig::default()
    };
    assert!(matches!(
        host.bus.create_topic(TOPIC, missing).await,
        Err(LedgerError::NoSchema { .. })
    ));
    let schema = json!({"type": "integer"});
    let config = critical(&host, Qos::AtLeastOnce, &schema, Compatibility::None).await;
    let digest = config.schema.unwrap();
    let records = host.records();
    assert_eq!(
        host.bus.register_schema(schema.to_string().into()).await.unwrap(),
        digest
    );
    assert_eq!(host.records(), records, "registering it again changes nothing");
    for keep_index in [true, false] {
        let host = Host::new();
        critical(&host, Qos::AtLeastOnce, &schema, Compatibility::None).await;
        let host = host.reopen(keep_index);
        assert_eq!(host.bus.schemas(), [digest]);
        assert_eq!(host.bus.schema(&digest).unwrap(), schema.to_string());
        assert!(host.publish(vec![order("1")]).await.is_ok());
        assert!(host.publish(vec![order("1.5")]).await.is_err());
    }
}

#[tokio::test]
async fn schemas_that_cannot_be_used_are_refused() {
    let host = Host::new();
    let deep = format!("{}{{}}{}", r#"{"not":"#.repeat(100), "}".repeat(100));
    let huge = json!({"description": "x".repeat(300_000)}).to_string();
    let bad = [
        "",
        "1",
        "[]",
        "{",
        r#"{"type": "nonsense"}"#,
        r#"{"pattern": "("}"#,
        r#"{"pattern": "(a)\\1"}"#,
        r#"{"minimum": "x"}"#,
        r##"{"$ref": "#/$defs/missing"}"##,
        r#"{"$ref": "https://example.com/schema.json"}"#,
        r#"{"$ref": "file:///etc/passwd"}"#,
        &deep,
        &huge,
    ];
    for bad in bad {
        let refused = host.bus.register_schema(Bytes::copy_from_slice(bad.as_bytes())).await;
        let short: String = bad.chars().take(60).collect();
        assert!(
            matches!(refused, Err(LedgerError::InvalidSchema { .. })),
            "{short}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn schemas_that_refer_to_themselves_do_no_harm() {
    let host = Host::new();
    let loops = [
        json!({"$ref": "#"}),
        json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
        json!({"allOf": [{"$ref": "#"}]}),
        json!({"not": {"$ref": "#"}}),
        json!({"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, {"type": "string"}]}}, "$ref": "#/$defs/a"}),
        json!({"properties": {"next": {"$ref": "#"}}}),
        json!({"pattern": "(a*)*b"}),
    ];
    let data = format!("{}1{}", r#"{"next":"#.repeat(100), "}".repeat(100));
    for (number, schema) in loops.into_iter().enumerate() {
        let topic = format!("test.loop{number}.v1");
        let Ok(digest) = host.bus.register_schema(schema.to_string().into()).await else {
            continue;
        };
        let config = TopicConfig {
            critical: true,
            schema: Some(digest),
            ..TopicConfig::default()
        };
        host.topic(&topic, config.clone()).await;
        for data in [data.as_str(), "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"", "1"] {
            let event = NewEvent {
                topic: topic.as_str().into(),
                ..order(data)
            };
            let _ = host.publish(vec![event]).await;
        }
        let next = host
            .bus
            .register_schema(json!({"$ref": "#/$defs/x", "$defs": {"x": schema}}).to_string().into())
            .await;
        if let Ok(next) = next {
            let _ = host
                .bus
                .change_topic(
                    &topic,
                    TopicConfig {
                        schema: Some(next),
                        ..config
                    },
                )
                .await;
        }
    }
}

#[tokio::test]
async fn a_schema_that_is_not_compatible_as_the_topic_asks_is_refused() {
    use Compatibility::{Backward, Forward, Full, None};
    let text = || json!({"type": "string"});
    let base = closed(json!({"a": text(), "b": text()}), json!(["a"]));
    // Each: what follows, and whether it may under backward and under forward.
    let followers = [
        (
            "the same in other words",
            json!({"additionalProperties": false, "required": ["a"], "type": ["object"], "properties": {"b": text(), "a": text()}}),
            true,
            true,
        ),
        (
            "an optional property more",
            closed(json!({"a": text(), "b": text(), "c": text()}), json!(["a"])),
            true,
            false,
        ),
        (
            "a property less",
            closed(json!({"a": text()}), json!(["a"])),
            false,
            true,
        ),
        (
            "one more is required",
            closed(json!({"a": text(), "b": text()}), json!(["a", "b"])),
            false,
            true,
        ),
        (
            "none is required",
            closed(json!({"a": text(), "b": text()}), json!([])),
            true,
            false,
        ),
        (
            "a wider type",
            closed(json!({"a": {"type": ["string", "null"]}, "b": text()}), json!(["a"])),
            true,
            false,
        ),
        (
            "a narrower type",
            closed(json!({"a": {"enum": ["x", "y"]}, "b": text()}), json!(["a"])),
            false,
            true,
        ),
        (
            "another type",
            closed(json!({"a": {"type": "integer"}, "b": text()}), json!(["a"])),
            false,
            false,
        ),
        ("anything", json!({}), true, false),
    ];
    for (what, next, backward, forward) in followers {
        for (mode, allowed) in [
            (None, true),
            (Backward, backward),
            (Forward, forward),
            (Full, backward && forward),
        ] {
            let host = Host::new();
            let config = critical(&host, Qos::AtLeastOnce, &base, mode).await;
            let digest = host.bus.register_schema(next.to_string().into()).await.unwrap();
            let changed = host
                .bus
                .change_topic(
                    TOPIC,
                    TopicConfig {
                        schema: Some(digest),
                        ..config.clone()
                    },
                )
                .await;
            assert_eq!(changed.is_ok(), allowed, "{what}, {mode:?}: {changed:?}");
            assert!(
                allowed || matches!(changed, Err(LedgerError::SchemaIncompatible { .. })),
                "{changed:?}"
            );
            let present = host.bus.topic_stats(TOPIC).unwrap().config.schema;
            assert_eq!(present, if allowed { Some(digest) } else { config.schema });
        }
    }
}

#[tokio::test]
async fn a_schema_may_come_or_go_only_where_compatibility_lets_it() {
    let host = Host::new();
    let digest = host
        .bus
        .register_schema(Bytes::from_static(b"{\"type\": \"string\"}"))
        .await
        .unwrap();
    for (mode, comes, goes) in [
        (Compatibility::None, true, true),
        (Compatibility::Backward, false, true),
        (Compatibility::Forward, true, false),
        (Compatibility::Full, false, false),
    ] {
        let name = |part: &str| format!("test.{part}.{}.v1", mode.as_str());
        let without = TopicConfig {
            compatibility: mode,
            ..TopicConfig::default()
        };
        let with = TopicConfig {
            schema: Some(digest),
            ..without.clone()
        };
        host.topic(&name("comes"), without.clone()).await;
        host.topic(&name("goes"), with.clone()).await;
        assert_eq!(
            host.bus.change_topic(&name("comes"), with).await.is_ok(),
            comes,
            "{mode:?}"
        );
        assert_eq!(
            host.bus.change_topic(&name("goes"), without).await.is_ok(),
            goes,
            "{mode:?}"
        );
    }
}

/// Schemas of a small language, and data they are about.
fn any_schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({})),
        Just(json!(false)),
        Just(json!({"type": "string"})),
        (0_u8..3).prop_map(|length| json!({"type": "string", "minLength": length})),
        (-2_i8..3).prop_map(|minimum| json!({"type": "integer", "minimum": minimum})),
        (-2_i8..3).prop_map(|maximum| json!({"maximum": maximum})),
        Just(json!({"type": ["null", "number"]})),
        prop::collection::vec(-1_i8..3, 1..3).prop_map(|values| json!({"enum": values})),
        Just(json!({"enum": ["a", null]})),
    ];
    leaf.prop_recursive(3, 16, 3, |inner| {
        let object = (
            prop::collection::btree_map("[ab]", inner.clone(), 0..3),
            prop::collection::btree_set("[ab]", 0..3),
            prop::option::of(any::<bool>()),
        );
        prop_oneof![
            object.prop_map(|(properties, required, open)| {
                let mut schema = json!({"type": "object", "properties": properties, "required": required});
                if let Some(open) = open {
                    schema["additionalProperties"] = open.into();
                }
                schema
            }),
            (inner.clone(), 0_u8..3).prop_map(|(items, count)| json!({"items": items, "maxItems": count})),
            prop::collection::vec(inner.clone(), 1..3).prop_map(|any| json!({"anyOf": any})),
            prop::collection::vec(inner.clone(), 1..3).prop_map(|all| json!({"allOf": all})),
            prop::collection::vec(inner.clone(), 1..3).prop_map(|one| json!({"oneOf": one})),
            inner.clone().prop_map(|not| json!({"not": not})),
            inner.prop_map(|inner| json!({"$ref": "#/$defs/x", "$defs": {"x": inner}})),
        ]
    })
}

fn any_data() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-4_i8..5).prop_map(Value::from),
        Just(json!(0.5)),
        "[ab]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[abc]", inner, 0..3).prop_map(|members| json!(members)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_called_compatible_is(
        old in any_schema(),
        new in any_schema(),
        data in prop::collection::vec(any_data(), 30),
    ) {
        let schema = |value: &Value| Schema::new(value.to_string().into());
        // Schemas that the checker refuses to make are refused before.
        let (old, new) = (schema(&old), schema(&new));
        prop_assume!(old.usable().is_ok() && new.usable().is_ok());
        let accepts = |schema: &Schema, data: &Value| {
            let envelope = Envelope::builder("1", "/a", "b").data(data.to_string().into_bytes()).build().unwrap();
            schema.check("a.b.v1", &envelope).is_ok()
        };
        let backward = old.followed_by(&new, Compatibility::Backward).is_ok();
        let forward = old.followed_by(&new, Compatibility::Forward).is_ok();
        prop_assert_eq!(old.followed_by(&new, Compatibility::Full).is_ok(), backward && forward);
        for data in data {
            let (by_old, by_new) = (accepts(&old, &data), accepts(&new, &data));
            prop_assert!(!backward || !by_old || by_new, "backward: {}", data);
            prop_assert!(!forward || !by_new || by_old, "forward: {}", data);
        }
    }
}
