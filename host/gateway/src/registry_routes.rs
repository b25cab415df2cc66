//! The registry's routes: list, describe, download, publish; what `kinetic_registry::HttpSource` speaks.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderValue, StatusCode};
use kinetic_http_server::range::{self, Asked, Part};
use kinetic_identity::RECEIPT_BYTES_MAX;
use kinetic_registry::{Descriptor, MANIFEST_BYTES_MAX, Published, Rest, Source as _};
use serde_json::{Value, json};

use crate::app::Shared;
use crate::ask::{Ask, bad};
use crate::error::tame;
use crate::execute::{media_type, path_capsule};
use crate::first_bytes::first_bytes;
use crate::json_guard::{Members, missing};
use crate::problem::Problem;
use crate::{GatewayError, body};

/// `GET /api/v1/registry/capabilities`: every version in the local store.
pub(crate) async fn list(State(app): State<Shared>) -> Result<Json<Value>, Problem> {
    let capabilities = app.calls.kernel.store().list().await?;
    Ok(Json(json!({ "capabilities": capabilities })))
}

/// `GET /api/v1/registry/capabilities/{ref}`: one version's descriptor.
pub(crate) async fn describe(
    State(app): State<Shared>,
    reference: Result<Path<String>, PathRejection>,
) -> Result<Json<Descriptor>, Problem> {
    let what = path_capsule(reference)?;
    Ok(Json(app.calls.kernel.store().describe(&what).await?))
}

/// `GET /api/v1/registry/capabilities/{ref}/download`: one version's component, streamed; or the part of it that a broken
/// download is still missing.
pub(crate) async fn download(
    State(app): State<Shared>,
    reference: Result<Path<String>, PathRejection>,
    asked: HeaderMap,
) -> Result<Response, Problem> {
    let store = app.calls.kernel.store();
    let descriptor = store.describe(&path_capsule(reference)?).await?;
    let (size_bytes, tag) = (descriptor.size_bytes, format!("\"{}\"", descriptor.digest));
    // Whoever asks for what there is not gets all of it: a server may leave a range aside.
    let part = match range::asked(&asked, size_bytes, &tag) {
        Asked::Part(part) => Some(part),
        Asked::Whole | Asked::Beyond => None,
    };
    let rest = Rest {
        from_byte: part.map_or(0, |part| part.first),
        tag: None,
    };
    let bytes = store.download(&descriptor, &rest).await?.bytes;
    let sent_bytes = part.map_or(size_bytes, Part::bytes);
    let body = if part.is_some() {
        Body::from_stream(first_bytes(bytes, sent_bytes))
    } else {
        Body::from_stream(bytes)
    };
    let mut response = Response::new(body);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/wasm"));
    headers.insert(CONTENT_LENGTH, sent_bytes.into());
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    if let Some(part) = part {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        if let Some(range) = part.content_range(size_bytes) {
            headers.insert(CONTENT_RANGE, range);
        }
    }
    response.headers_mut().extend(headers);
    Ok(response)
}

/// `POST /api/v1/registry/capabilities/publish?activate=true|false` with `{manifest, receipt, component}`: admits and stores;
/// activates unless it is told not to.
pub(crate) async fn publish(State(app): State<Shared>, request: Request) -> Result<Response, Problem> {
    media_type(request.headers(), "application/json")?;
    let ask = Ask::of(request.uri(), &["activate"])?;
    let activate = match ask.text("activate")? {
        None | Some("true") => true,
        Some("false") => false,
        Some(_) => return Err(bad("activate", "it must be true or false").into()),
    };
    let (publication, members) = publication(&app, request).await?;
    members.end("manifest, receipt and component")?;
    let Publication {
        manifest,
        receipt,
        component,
    } = publication;
    let kernel = &app.calls.kernel;
    let published = if activate {
        let capsule = kernel.publish(manifest, receipt, component).await?;
        Published {
            urn: capsule.manifest.id.clone(),
            version: capsule.manifest.version.clone(),
            digest: capsule.digest,
        }
    } else {
        let stored = kernel.stage(manifest, receipt, component).await?;
        Published {
            urn: stored.urn,
            version: stored.version,
            digest: stored.digest,
        }
    };
    Ok((StatusCode::CREATED, Json(published)).into_response())
}

/// A signed capsule, as publishing takes it.
pub(crate) struct Publication {
    pub(crate) manifest: String,
    pub(crate) receipt: Value,
    pub(crate) component: Bytes,
}

/// Reads `{manifest, receipt, component}`; gives also what other members there are.
pub(crate) async fn publication(app: &Shared, request: Request) -> Result<(Publication, Members), GatewayError> {
    let bytes = body::read(request, &app.config, publication_bytes_max(app)).await?;
    let mut members = Members::parse(&bytes, app.config.json_depth_max)?;
    drop(bytes);
    let manifest = members.text("manifest")?.ok_or_else(|| missing("manifest"))?;
    let receipt = members.object("receipt")?.ok_or_else(|| missing("receipt"))?;
    let component = members.text("component")?.ok_or_else(|| missing("component"))?;
    let component = BASE64.decode(component).map_err(|e| {
        let why = format!("it is not base64: {}", tame(&e.to_string()));
        GatewayError::BadRequest {
            path: "component".into(),
            why,
        }
    })?;
    let publication = Publication {
        manifest,
        receipt: Value::Object(receipt),
        component: component.into(),
    };
    Ok((publication, members))
}

/// What the largest publication can take: the largest component as base64, the largest manifest however it is escaped, and
/// the largest receipt.
fn publication_bytes_max(app: &Shared) -> u64 {
    let component = app.calls.kernel.engine().config().component_bytes_max;
    let envelope = MANIFEST_BYTES_MAX * 6 + RECEIPT_BYTES_MAX as u64 + 4_096;
    (component.div_ceil(3).saturating_mul(4).saturating_add(envelope)).max(app.config.body_bytes_max)
}
