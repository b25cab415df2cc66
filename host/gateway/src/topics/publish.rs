//! Publishing over HTTP: one event or many, as CloudEvents or in the simple form, all of a request in one commit.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use http::HeaderMap;
use kinetic_ledger::bus::NewEvent;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::simple::Simple;
use super::too_many;
use crate::app::Shared;
use crate::ask::{Ask, bad};
use crate::error::tame;
use crate::execute::media_type;
use crate::ledger::ledger_of;
use crate::problem::Problem;
use crate::{GatewayError, body, json_guard};

/// The most events of one request.
const EVENTS_MAX: usize = 10_000;
/// What a body of events can be.
const EVENT: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";
const SIMPLE: &str = "application/json";

/// How a body holds its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// One, in the JSON format of CloudEvents.
    Event,
    /// An array of those.
    Batch,
    /// One or an array, with all attributes filled in that are left out.
    Simple,
}

impl Form {
    fn of(headers: &HeaderMap) -> Result<Self, GatewayError> {
        if media_type(headers, EVENT).is_ok() {
            return Ok(Self::Event);
        }
        if media_type(headers, BATCH).is_ok() {
            return Ok(Self::Batch);
        }
        match media_type(headers, SIMPLE) {
            Ok(()) => Ok(Self::Simple),
            Err(GatewayError::UnsupportedMedia { found, .. }) => Err(GatewayError::UnsupportedMedia {
                found,
                expected: format!("{SIMPLE}, {EVENT} or {BATCH}"),
            }),
            Err(other) => Err(other),
        }
    }
}

/// `POST /api/v1/topics/{name}/events`: publishes, all of it in one record or nothing.
pub(crate) async fn publish(State(app): State<Shared>, request: Request) -> Result<Json<Value>, Problem> {
    let ask = Ask::of(request.uri(), &[])?;
    let form = Form::of(request.headers())?;
    let body = body::read(request, &app.config, app.config.body_bytes_max).await?;
    super::not_the_hosts(ask.segment_text(0)?)?;
    let events = events(ask.segment_text(0)?.into(), form, &body, app.config.json_depth_max)?;
    let published = ledger_of(&app)?.bus().publish(events).await?;
    Ok(Json(
        json!({ "seq": published.seq, "accepted": published.accepted, "shed": published.shed }),
    ))
}

fn events(topic: Arc<str>, form: Form, body: &[u8], depth_max: usize) -> Result<Vec<NewEvent>, Problem> {
    // Nesting and doubled members are looked for in all of it; data is then taken as it was written.
    json_guard::parse(body, depth_max)?;
    let many = form == Form::Batch || (form == Form::Simple && body.trim_ascii_start().starts_with(b"["));
    if !many {
        return Ok(vec![event(topic, form, body)?]);
    }
    let all: Vec<&RawValue> =
        serde_json::from_slice(body).map_err(|_| bad("the body", "it must be an array of events"))?;
    match all.len() {
        0 => Err(bad("the body", "there is no event in it").into()),
        count if count > EVENTS_MAX => Err(too_many("events in one request", EVENTS_MAX).into()),
        _ => all
            .iter()
            .map(|raw| event(topic.clone(), form, raw.get().as_bytes()))
            .collect(),
    }
}

fn event(topic: Arc<str>, form: Form, json: &[u8]) -> Result<NewEvent, Problem> {
    if form != Form::Simple {
        return Ok(NewEvent::from_json(topic, json)?);
    }
    // Else an array would be read as the members in their order.
    if !json.trim_ascii_start().starts_with(b"{") {
        return Err(bad("an event", "it must be an object").into());
    }
    let simple: Simple<'_> = serde_json::from_slice(json).map_err(|e| bad("an event", tame(&e.to_string())))?;
    Ok(simple.event(topic)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(form: Form, body: &'static str) -> Result<Vec<NewEvent>, Problem> {
        events("a.b.v1".into(), form, body.as_bytes(), 8)
    }

    fn code(form: Form, body: &'static str) -> &'static str {
        read(form, body).unwrap_err().fault().code
    }

    #[test]
    fn data_is_kept_as_it_was_written() {
        let events = read(
            Form::Simple,
            r#" [{"data": {"n": 12345678901234567890.10}}, {"data": null}]"#,
        )
        .unwrap();
        let data: Vec<_> = events.iter().map(|event| event.envelope.data().unwrap()).collect();
        assert_eq!(data, [br#"{"n": 12345678901234567890.10}"#.as_slice(), b"null"]);
        let json = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","partitionkey":"k","data":[1.0]}"#;
        let events = read(Form::Event, json).unwrap();
        assert_eq!(
            (events[0].envelope.data(), events[0].key.as_deref()),
            (Some(b"[1.0]".as_slice()), Some(b"k".as_slice()))
        );
    }

    #[test]
    fn what_is_no_event_or_names_something_twice_is_refused() {
        assert_eq!(code(Form::Simple, r#"{"temperature": 3}"#), "KIN-GWY-0016");
        assert_eq!(code(Form::Simple, "3"), "KIN-GWY-0016");
        assert_eq!(code(Form::Simple, "[]"), "KIN-GWY-0016");
        assert_eq!(
            code(
                Form::Simple,
                "[[1, null, null, null, null, null, null, null, null, null]]"
            ),
            "KIN-GWY-0016"
        );
        assert_eq!(code(Form::Batch, r#"{"specversion":"1.0"}"#), "KIN-GWY-0016");
        assert_eq!(code(Form::Event, r#"{"specversion":"1.0"}"#), "KIN-LED-0039");
        assert_eq!(code(Form::Event, "[]"), "KIN-LED-0039");
        assert_eq!(code(Form::Simple, r#"{"data": {"a": 1, "a": 2}}"#), "KIN-GWY-0014");
        assert_eq!(code(Form::Simple, r#"{"data": [[[[[[[[1]]]]]]]]}"#), "KIN-GWY-0015");
    }

    #[test]
    fn a_request_has_a_limit_on_its_events() {
        let body = |count: usize| format!("[{}]", vec![r#"{"data":1}"#; count].join(","));
        let of = |count| events("a.b.v1".into(), Form::Simple, body(count).as_bytes(), 8);
        assert_eq!(of(EVENTS_MAX).unwrap().len(), EVENTS_MAX);
        assert_eq!(of(EVENTS_MAX + 1).unwrap_err().fault().code, "KIN-LED-0050");
    }
}
