//! Envelopes: what is valid, and the JSON format of CloudEvents in and out.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::bus::{Attribute, DATA_BYTES_MAX, EXTENSIONS_MAX, EnvelopeBuilder, JSON_BYTES_MAX, TopicId};

const TOPIC: &str = "test.numbers.v1";

fn placed(event: NewEvent) -> Event {
    Event {
        topic: TopicId(0),
        partition: 0,
        offset: 0,
        key: event.key,
        envelope: event.envelope,
    }
}

fn minimal() -> EnvelopeBuilder<'static> {
    Envelope::builder("1", "/a", "b")
}

fn json_of(envelope: Envelope) -> Value {
    serde_json::from_slice(&placed(NewEvent::new(TOPIC, envelope)).to_json()).unwrap()
}

#[test]
fn a_full_envelope_reads_back_what_was_put_in() {
    let envelope = Envelope::builder("id-1", "https://a.example/b?c", "com.example.made")
        .subject("Größe 😀")
        .time("2026-11-21T12:34:56.789Z")
        .content_type("application/json; charset=utf-8")
        .schema("urn:schema:1")
        .causation("id-0")
        .traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        .idempotency_key("once")
        .extension("retries", 3)
        .extension("urgent", true)
        .data(br#"{"a": [1, 2]}"#.as_slice())
        .build()
        .unwrap();
    for envelope in [envelope.clone(), Envelope::decode(envelope.as_bytes()).unwrap()] {
        assert_eq!(
            (envelope.id(), envelope.source(), envelope.kind()),
            ("id-1", "https://a.example/b?c", "com.example.made")
        );
        assert_eq!(envelope.subject(), Some("Größe 😀"));
        assert_eq!(envelope.time(), Some("2026-11-21T12:34:56.789Z"));
        assert_eq!(envelope.content_type(), Some("application/json; charset=utf-8"));
        assert_eq!(envelope.schema(), Some("urn:schema:1"));
        assert_eq!(envelope.causation().as_deref(), Some("id-0"));
        assert_eq!(envelope.idempotency_key().as_deref(), Some("once"));
        assert!(envelope.traceparent().unwrap().starts_with("00-"));
        assert_eq!(envelope.data_bytes().unwrap(), &br#"{"a": [1, 2]}"#[..]);
        assert_eq!(envelope.extensions().count(), 5);
        assert!(
            envelope
                .extensions()
                .any(|(name, value)| name == "retries" && value == Attribute::Integer(3))
        );
    }
    let expected = json!({
        "specversion": "1.0", "id": "id-1", "source": "https://a.example/b?c", "type": "com.example.made",
        "subject": "Größe 😀", "time": "2026-11-21T12:34:56.789Z",
        "datacontenttype": "application/json; charset=utf-8", "dataschema": "urn:schema:1",
        "causationid": "id-0", "idempotencykey": "once", "retries": 3, "urgent": true,
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "data": {"a": [1, 2]},
    });
    assert_eq!(json_of(envelope), expected);
}

#[test]
fn attributes_that_are_not_of_their_form_are_refused() {
    let long = "x".repeat(2049);
    let bad: Vec<EnvelopeBuilder<'_>> = vec![
        Envelope::builder("", "/a", "b"),
        Envelope::builder("1", "", "b"),
        Envelope::builder("1", "/a", ""),
        Envelope::builder("1", "not a uri", "b"),
        Envelope::builder("1\n", "/a", "b"),
        Envelope::builder(long.as_str(), "/a", "b"),
        minimal().subject(""),
        minimal().time("yesterday"),
        minimal().content_type("json"),
        minimal().schema("relative"),
        minimal().extension("", "x"),
        minimal().extension("Upper", "x"),
        minimal().extension("with_underscore", "x"),
        minimal().extension("waytoolongtobeaname42", "x"),
        minimal().extension("id", "x"),
        minimal().extension("data", "x"),
        minimal().extension("partitionkey", "x"),
        minimal().extension("good", "\u{0}"),
        minimal().extension("good", long.as_str()),
        minimal().data(vec![0; usize::try_from(DATA_BYTES_MAX).unwrap() + 1]),
    ];
    for builder in bad {
        let short = format!("{builder:?}").chars().take(200).collect::<String>();
        assert!(builder.build().is_err(), "{short}");
    }
    let many = |count| {
        (0..count).fold(minimal(), |builder, number| {
            builder.extension(format!("n{number}"), number)
        })
    };
    assert!(many(32).build().is_ok());
    assert_eq!(EXTENSIONS_MAX, 32);
    assert!(matches!(many(33).build(), Err(LedgerError::TooMany { .. })));
    assert!(
        minimal()
            .data(vec![0; usize::try_from(DATA_BYTES_MAX).unwrap()])
            .build()
            .is_ok()
    );
}

#[test]
fn the_examples_of_the_specification_are_read() {
    // CloudEvents JSON format 1.0.2, section 3.2.
    let binary = br#"{
        "specversion": "1.0", "type": "com.example.someevent", "source": "/mycontext", "subject": null,
        "id": "C234-1234-1234", "time": "2018-04-05T17:31:00Z", "comexampleextension1": "value",
        "comexampleothervalue": 5, "datacontenttype": "application/vnd.apache.thrift.binary",
        "data_base64": "aGVsbG8="
    }"#;
    let event = NewEvent::from_json(TOPIC, binary).unwrap();
    assert_eq!(event.envelope.data(), Some(&b"hello"[..]));
    assert_eq!(event.envelope.subject(), None);
    assert_eq!(event.envelope.extensions().count(), 2);

    let xml = br#"{
        "specversion": "1.0", "type": "com.example.someevent", "source": "/mycontext", "id": "B234-1234-1234",
        "time": "2018-04-05T17:31:00Z", "unsetextension": null, "datacontenttype": "application/xml",
        "data": "<much wow=\"xml\"/>"
    }"#;
    let event = NewEvent::from_json(TOPIC, xml).unwrap();
    assert_eq!(event.envelope.data(), Some(&b"<much wow=\"xml\"/>"[..]));

    let object = br#"{
        "specversion": "1.0", "type": "com.example.someevent", "source": "/mycontext", "id": "C234-1234-1234",
        "datacontenttype": "application/json", "data": { "appinfoA": "abc", "appinfoB": 123, "appinfoC": true }
    }"#;
    let event = NewEvent::from_json(TOPIC, object).unwrap();
    assert_eq!(
        event.envelope.data(),
        Some(&br#"{ "appinfoA": "abc", "appinfoB": 123, "appinfoC": true }"#[..])
    );

    let number = br#"{"specversion":"1.0","type":"t","source":"/s","id":"1","data":1.5}"#;
    assert_eq!(
        NewEvent::from_json(TOPIC, number).unwrap().envelope.data(),
        Some(&b"1.5"[..])
    );
    let text = br#"{"specversion":"1.0","type":"t","source":"/s","id":"1","data":"I'm just a string"}"#;
    assert_eq!(
        NewEvent::from_json(TOPIC, text).unwrap().envelope.data(),
        Some(&b"\"I'm just a string\""[..])
    );
}

#[test]
fn json_that_is_not_a_cloudevent_is_refused() {
    let good = json!({"specversion": "1.0", "type": "t", "source": "/s", "id": "1"});
    let with = |name: &str, value: Value| {
        let mut event = good.clone();
        event[name] = value;
        event.to_string()
    };
    let without = |name: &str| {
        let mut event = good.clone();
        event.as_object_mut().unwrap().remove(name);
        event.to_string()
    };
    assert!(NewEvent::from_json(TOPIC, good.to_string().as_bytes()).is_ok());
    let bad = [
        String::new(),
        "[]".into(),
        "1".into(),
        "{".into(),
        format!("{good} x"),
        without("specversion"),
        without("type"),
        without("source"),
        without("id"),
        with("specversion", json!("0.3")),
        with("specversion", json!(1.0)),
        with("id", json!(1)),
        with("id", json!(null)),
        with("time", json!(0)),
        with("float", json!(1.5)),
        with("big", json!(2_147_483_648_u64)),
        with("object", json!({})),
        with("list", json!([])),
        with("Upper", json!("x")),
        with("data_base64", json!("!")),
        with("data_base64", json!(7)),
        with("partitionkey", json!("")),
        with("partitionkey", json!(1)),
        with("kinetickey", json!("?")),
        with("datacontenttype", json!("nonsense")),
        r#"{"specversion":"1.0","type":"t","source":"/s","id":"1","id":"2"}"#.into(),
        r#"{"specversion":"1.0","type":"t","source":"/s","id":"1","data":1,"data_base64":"YQ=="}"#.into(),
        r#"{"specversion":"1.0","type":"t","source":"/s","id":"1","partitionkey":"a","kinetickey":"YQ=="}"#.into(),
        r#"{"specversion":"1.0","type":"t","source":"/s","id":"1","datacontenttype":"text/plain","data":{}}"#.into(),
        r#"{"specversion":"1.0","type":"t","source":"/s","id":"1","a":01}"#.into(),
    ];
    for bad in bad {
        assert!(NewEvent::from_json(TOPIC, bad.as_bytes()).is_err(), "{bad}");
    }
    let members: serde_json::Map<String, Value> = (0..1_000_000).map(|n| (format!("n{n}"), json!(1))).collect();
    assert!(NewEvent::from_json(TOPIC, Value::from(members).to_string().as_bytes()).is_err());
    let huge = vec![b' '; usize::try_from(JSON_BYTES_MAX).unwrap() + 1];
    assert!(matches!(
        NewEvent::from_json(TOPIC, &huge),
        Err(LedgerError::EventTooLarge { .. })
    ));
    let nested = format!(
        r#"{{"specversion":"1.0","type":"t","source":"/s","id":"1","data":{}"#,
        "[".repeat(1_000_000)
    );
    assert!(NewEvent::from_json(TOPIC, nested.as_bytes()).is_err());
}

fn text(max: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(prop_oneof![any::<char>(), prop::char::range(' ', '~')], 1..max)
        .prop_map(|chars| chars.into_iter().collect::<String>())
        .prop_filter("only what a text may have", |text| crate::bus::syntax::is_text(text))
}

prop_compose! {
    fn any_event()(
        id in text(20),
        source in "[a-z/:.#?]{1,20}",
        kind in text(20),
        subject in prop::option::of(text(20)),
        content_type in prop::option::of(prop_oneof![
            Just("application/json"), Just("text/plain"), Just("application/octet-stream"), Just("a/b+json; c=d"),
        ]),
        data in prop::option::of(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            text(20).prop_map(String::into_bytes),
            any::<i64>().prop_map(|number| number.to_string().into_bytes()),
            text(20).prop_map(|text| json!({"text": text, "nested": [null, 1.5]}).to_string().into_bytes()),
        ]),
        texts in prop::collection::btree_map("[a-z0-9]{1,6}x", text(10), 0..4),
        numbers in prop::collection::btree_map("[a-z0-9]{1,6}y", any::<i32>(), 0..4),
        key in prop::option::of(prop::collection::vec(any::<u8>(), 1..20)),
    ) -> NewEvent {
        let mut builder = Envelope::builder(id, source, kind);
        if let Some(subject) = subject { builder = builder.subject(subject); }
        if let Some(content_type) = content_type { builder = builder.content_type(content_type); }
        if let Some(data) = data { builder = builder.data(data); }
        for (name, value) in texts { builder = builder.extension(name, value); }
        for (name, value) in numbers { builder = builder.extension(name, value); }
        let event = NewEvent::new(TOPIC, builder.build().unwrap());
        match key {
            Some(key) => event.with_key(key),
            None => event,
        }
    }
}

/// White space around JSON data is lost in JSON.
fn as_in_json(event: &NewEvent) -> NewEvent {
    let json = crate::bus::syntax::is_json(event.envelope.content_type());
    let data = event.envelope.data().filter(|_| json);
    match data.and_then(|data| serde_json::from_slice::<&serde_json::value::RawValue>(data).ok()) {
        None => event.clone(),
        Some(data) => NewEvent {
            envelope: EnvelopeBuilder::of(&event.envelope)
                .data(data.get().as_bytes())
                .build()
                .unwrap(),
            ..event.clone()
        },
    }
}

#[test]
fn white_space_around_json_data_is_all_that_json_loses() {
    for (data, left) in [
        (" 7\n", "7"),
        ("{\"a\" : 1}\r\n", "{\"a\" : 1}"),
        ("7 7", "7 7"),
        (" ", " "),
    ] {
        let envelope = Envelope::builder("1", "/s", "t").data(data.as_bytes()).build().unwrap();
        let placed = placed(NewEvent::new(TOPIC, envelope));
        let again = NewEvent::from_json(TOPIC, &placed.to_json()).unwrap();
        assert_eq!(again.envelope.data(), Some(left.as_bytes()), "{data:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn an_event_is_the_same_after_json_and_after_the_log(event in any_event()) {
        let placed = placed(event.clone());
        prop_assert_eq!(NewEvent::from_json(TOPIC, &placed.to_json()).unwrap(), as_in_json(&event));
        let mut bytes = Vec::new();
        placed.encode(&mut bytes);
        prop_assert_eq!(Event::decode(&bytes.into()).unwrap(), placed);
    }
}
