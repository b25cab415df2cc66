//! `POST .../execute`: runs one function, with arguments as JSON or as raw bytes, and answers in either form.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query, Request, State};
use axum::response::Response;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use kinetic_engine::{Function, Input, Output, WitType};
use kinetic_model::{CapsuleRef, Fault};
use serde_json::{Map, Value};

use crate::answer::{Answered, CapsuleView, Telemetry, intent_hash};
use crate::app::{Shared, request_id};
use crate::calls::Done;
use crate::error::tame;
use crate::json_guard::{self, Members};
use crate::problem::Problem;
use crate::request_id::RequestId;
use crate::{GatewayError, body};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const OCTETS: &str = "application/octet-stream";
/// The parameter that takes the request's `state`.
const STATE: &str = "state";

/// `POST /api/v1/capabilities/execute` with `{toolName, function?, intent, state?}`.
pub(crate) async fn json(State(app): State<Shared>, request: Request) -> Result<Response, Problem> {
    media_type(request.headers(), "application/json")?;
    let (id, raw) = (request_id(&request), wants_octets(request.headers()));
    let bytes = body::read(request, &app.config, app.config.body_bytes_max).await?;
    let mut members = Members::parse(&bytes, app.config.json_depth_max)?;
    drop(bytes);
    let what = members
        .text("toolName")?
        .ok_or_else(|| json_guard::missing("toolName"))?;
    let what = json_guard::capsule("toolName", &what)?;
    let function = members.text("function")?;
    let mut intent = members.object("intent")?.ok_or_else(|| json_guard::missing("intent"))?;
    let state = members.object(STATE)?.unwrap_or_default();
    members.end("toolName, function, intent and state")?;
    let hash = intent_hash(&intent)?;
    if !state.is_empty() {
        give_state(&app, &what, function.as_deref(), state, &mut intent).await?;
    }
    let done = app.calls.call(&what, function.as_deref(), Input::Json(intent)).await?;
    respond(done, Some(&hash), id.as_ref(), raw)
}

/// `POST /api/v1/capabilities/{urn}/execute?function=..&arg.NAME=..` with the bytes of the one parameter that is left.
pub(crate) async fn bytes(
    State(app): State<Shared>,
    urn: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let what = path_capsule(urn)?;
    media_type(request.headers(), OCTETS)?;
    let (id, raw) = (request_id(&request), wants_octets(request.headers()));
    let Query(pairs) =
        Query::<Vec<(String, String)>>::try_from_uri(request.uri()).map_err(|e| GatewayError::BadRequest {
            path: "the query".into(),
            why: tame(&e.body_text()),
        })?;
    let mut function = None;
    let mut given = Vec::new();
    for (name, value) in pairs {
        match name.strip_prefix("arg.") {
            None if name == "function" && function.is_none() => function = Some(value),
            None => {
                let why = "no such query parameter; there are function, once, and arg.NAME".into();
                return Err(GatewayError::BadRequest { path: tame(&name), why }.into());
            }
            Some(name) => given.push((name.to_string(), value)),
        }
    }
    let rest = if given.is_empty() {
        Map::new()
    } else {
        let capsule = app.calls.kernel.activate(&what).await?;
        let function = capsule
            .capability
            .function(function.as_deref())
            .map_err(|e| Fault::from(&e))?;
        arguments(function, given, app.config.json_depth_max)?
    };
    let bytes = body::read(request, &app.config, app.config.body_bytes_max).await?;
    let done = app
        .calls
        .call(&what, function.as_deref(), Input::Bytes { bytes, rest })
        .await?;
    respond(done, None, id.as_ref(), raw)
}

/// The capability a path names.
pub(crate) fn path_capsule(urn: Result<Path<String>, PathRejection>) -> Result<CapsuleRef, GatewayError> {
    let Path(urn) = urn.map_err(|e| GatewayError::BadRequest {
        path: "the path".into(),
        why: tame(&e.body_text()),
    })?;
    json_guard::capsule("the path", &urn)
}

/// State goes to the parameter of that name and nowhere else: capsules keep nothing between calls, and what a caller
/// believes to be kept must not vanish without a word.
async fn give_state(
    app: &Shared,
    what: &CapsuleRef,
    function: Option<&str>,
    state: Map<String, Value>,
    intent: &mut Map<String, Value>,
) -> Result<(), Problem> {
    let capsule = app.calls.kernel.activate(what).await?;
    let function = capsule.capability.function(function).map_err(|e| Fault::from(&e))?;
    let takes = function.params.iter().any(|(name, _)| name == STATE) && !intent.contains_key(STATE);
    if !takes {
        return Err(GatewayError::StateNotTaken {
            function: function.name.clone(),
        }
        .into());
    }
    intent.insert(STATE.into(), Value::Object(state));
    Ok(())
}

/// Arguments out of a query: text stays text where the parameter is text, elsewhere it is JSON.
fn arguments(
    function: &Function,
    given: Vec<(String, String)>,
    depth_max: usize,
) -> Result<Map<String, Value>, GatewayError> {
    let mut arguments = Map::new();
    for (name, text) in given {
        let ty = function
            .params
            .iter()
            .find(|(param, _)| *param == name)
            .map(|(_, ty)| ty);
        let value = match ty {
            Some(ty) if is_text(ty) => Value::String(text),
            _ => json_guard::parse(text.as_bytes(), depth_max).map_err(|e| GatewayError::BadRequest {
                path: tame(&format!("arg.{name}")),
                why: e.to_string(),
            })?,
        };
        if arguments.insert(name.clone(), value).is_some() {
            return Err(GatewayError::BadRequest {
                path: tame(&format!("arg.{name}")),
                why: "it is given twice".into(),
            });
        }
    }
    Ok(arguments)
}

fn is_text(ty: &WitType) -> bool {
    match ty {
        WitType::String | WitType::Char | WitType::Enum(_) => true,
        WitType::Option(inner) => is_text(inner),
        _ => false,
    }
}

/// Refuses a body of another media type than the route reads. Parameters such as a charset are not looked at.
pub(crate) fn media_type(headers: &HeaderMap, expected: &str) -> Result<(), GatewayError> {
    let found = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = found.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    let found = if found.is_empty() {
        "of no named type".into()
    } else {
        tame(found)
    };
    Err(GatewayError::UnsupportedMedia {
        found,
        expected: expected.into(),
    })
}

/// Whether the bare value is wanted, not JSON around it.
pub(crate) fn wants_octets(headers: &HeaderMap) -> bool {
    accepts(headers, OCTETS)
}

/// Whether the client names a media type among those it wants.
pub(crate) fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    let mut accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.any(|value| {
        value
            .split(',')
            .any(|one| one.split(';').next().unwrap_or_default().trim() == media_type)
    })
}

fn respond(done: Done, hash: Option<&str>, id: Option<&RequestId>, raw: bool) -> Result<Response, Problem> {
    if raw {
        return octets(done);
    }
    let answered = Answered {
        success: done.success,
        output: &done.output,
        logs: &done.logs,
        usage: &done.usage,
        intent_hash: hash,
        capsule: &done.capsule,
        function: &done.function,
        request_id: id.map(RequestId::as_str).unwrap_or_default(),
        receipt_id: done.receipt_id.as_deref(),
    };
    let mut response = Response::new(answered.to_json()?.into());
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    Ok(response)
}

/// The bare output: bytes and text as they are, anything else as JSON; what stands beside it is in headers.
fn octets(done: Done) -> Result<Response, Problem> {
    let failed = |e: serde_json::Error| GatewayError::AnswerFailed { why: e.to_string() };
    let header = |json: Result<String, serde_json::Error>| -> Result<HeaderValue, GatewayError> {
        let json = json.map_err(failed)?;
        HeaderValue::from_str(&json).map_err(|e| GatewayError::AnswerFailed { why: e.to_string() })
    };
    let telemetry = header(serde_json::to_string(&Telemetry(&done.usage)))?;
    let capsule = header(serde_json::to_string(&CapsuleView(&done.capsule)))?;
    let function = header(Ok(done.function))?;
    let receipt = done.receipt_id.map(|id| header(Ok(id)));
    let (body, media_type) = match done.output {
        Output::Bytes(bytes) => (bytes, HeaderValue::from_static(OCTETS)),
        Output::Json(Value::String(text)) => (text.into_bytes(), HeaderValue::from_static("text/plain; charset=utf-8")),
        Output::Json(value) => (serde_json::to_vec(&value).map_err(failed)?, JSON),
    };
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, media_type);
    let success = HeaderValue::from_static(if done.success { "true" } else { "false" });
    headers.insert(HeaderName::from_static("x-kinetic-success"), success);
    headers.insert(HeaderName::from_static("x-kinetic-telemetry"), telemetry);
    headers.insert(HeaderName::from_static("x-kinetic-capsule"), capsule);
    headers.insert(HeaderName::from_static("x-kinetic-function"), function);
    if let Some(receipt) = receipt.transpose()? {
        headers.insert(HeaderName::from_static("x-kinetic-receipt-id"), receipt);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_is_compared_without_its_parameters() {
        let headers = |value| HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]);
        assert!(media_type(&headers("Application/JSON; charset=utf-8"), "application/json").is_ok());
        assert!(media_type(&headers("text/json"), "application/json").is_err());
        assert!(media_type(&HeaderMap::new(), "application/json").is_err());
    }

    #[test]
    fn raw_bytes_are_answered_only_to_who_names_them() {
        let accepts = |value| wants_octets(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(value))]));
        assert!(accepts("application/octet-stream") && accepts("text/html, application/octet-stream;q=0.9"));
        assert!(!accepts("*/*") && !accepts("application/json"));
    }
}
