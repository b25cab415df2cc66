//! What every request to a remote registry shares: which answers are accepted, and what a refusal means.

use std::error::Error as _;

use futures_util::StreamExt;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, LOCATION};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::RegistryError;
use crate::descriptor::{at_most, read_json};
use crate::error::tame;

/// The largest refusal read, in bytes.
const PROBLEM_BYTES_MAX: u64 = 65_536;

/// Sends a request and gives the response when its status is a success.
///
/// `what` is named when the registry answers that it holds no such thing.
pub(crate) async fn send(request: RequestBuilder, origin: &str, what: &str) -> Result<Response, RegistryError> {
    accepted(sent(request, origin).await?, origin, what).await
}

/// Sends a request and gives whatever is answered.
pub(crate) async fn sent(request: RequestBuilder, origin: &str) -> Result<Response, RegistryError> {
    request.send().await.map_err(|error| unreachable(origin, &error))
}

/// The answer, if it is a success; see [`send`].
pub(crate) async fn accepted(response: Response, origin: &str, what: &str) -> Result<Response, RegistryError> {
    match response.status() {
        StatusCode::OK | StatusCode::CREATED => Ok(response),
        status if status.is_redirection() => {
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let location = location.map_or_else(|| "nowhere".to_string(), tame);
            Err(RegistryError::Redirected {
                origin: origin.into(),
                location,
            })
        }
        StatusCode::NOT_FOUND => Err(RegistryError::NotFound {
            what: what.into(),
            origin: origin.into(),
        }),
        status if status.is_client_error() || status.is_server_error() => Err(refusal(response, origin).await),
        status => Err(RegistryError::NotAnAnswer {
            origin: origin.into(),
            why: format!("its status is {status}"),
        }),
    }
}

/// Reads a JSON answer of at most `bytes_max` bytes, strictly.
pub(crate) async fn read<T: DeserializeOwned>(
    response: Response,
    origin: &str,
    bytes_max: u64,
) -> Result<T, RegistryError> {
    let bytes = read_bytes(response, origin, bytes_max).await?;
    read_json(&bytes).map_err(|why| RegistryError::NotAnAnswer {
        origin: origin.into(),
        why,
    })
}

/// The error of a request or body that did not get through.
pub(crate) fn unreachable(origin: &str, error: &reqwest::Error) -> RegistryError {
    if error.is_timeout() {
        return RegistryError::SourceTimeout { origin: origin.into() };
    }
    // reqwest's own sentence only says which step failed; the reason is the innermost error.
    let mut why = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        why = inner.to_string();
        cause = inner.source();
    }
    RegistryError::Unreachable {
        origin: origin.into(),
        why: tame(&why),
    }
}

/// Reads an answer of at most `bytes_max` bytes.
pub(crate) async fn read_bytes(response: Response, origin: &str, bytes_max: u64) -> Result<Vec<u8>, RegistryError> {
    let what = || format!("the answer of {origin}");
    plain(&response, origin)?;
    at_most(&what(), response.content_length().unwrap_or_default(), bytes_max)?;
    let mut bytes = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| unreachable(origin, &error))?;
        at_most(&what(), (bytes.len() + chunk.len()) as u64, bytes_max)?;
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// The members of an RFC 9457 problem that are passed on.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    code: String,
    title: String,
    detail: String,
    fix: String,
}

/// The error that an answer of 4xx or 5xx means, with the registry's own words.
pub(crate) async fn refusal(response: Response, origin: &str) -> RegistryError {
    let status = response.status();
    let media_type = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let body = if media_type.is_some_and(|media_type| media_type.starts_with("application/problem+json")) {
        read_bytes(response, origin, PROBLEM_BYTES_MAX)
            .await
            .unwrap_or_default()
    } else {
        Vec::new()
    };
    refusal_of(origin, status, &body)
}

/// The error a refusal means: `problem` is the body of an RFC 9457 problem, or anything at all; what it says is cleaned
/// of control characters and shortened.
pub fn refusal_of(origin: &str, status: StatusCode, problem: &[u8]) -> RegistryError {
    let problem: Problem = read_json(problem).unwrap_or_default();
    let detail = if problem.detail.is_empty() {
        &problem.title
    } else {
        &problem.detail
    };
    refused(origin, status, &problem.code, detail, &problem.fix)
}

/// The error of a status with what the registry says to it; each may be empty.
pub(crate) fn refused(origin: &str, status: StatusCode, code: &str, detail: &str, fix: &str) -> RegistryError {
    let origin = origin.to_string();
    let or = |text: &str, other: &str| tame(if text.is_empty() { other } else { text });
    let detail = or(detail, status.canonical_reason().unwrap_or("no reason given"));
    // Only the registry knows what stands in the way: advice of ours could contradict what it says.
    let fix = or(fix, "none; repair what it names, and try again.");
    let (code, status) = (or(code, "no code"), status.as_u16());
    match status {
        401 => RegistryError::SourceUnauthenticated { origin, code, detail },
        403 => RegistryError::SourceForbids {
            origin,
            code,
            detail,
            fix,
        },
        409 => RegistryError::SourceConflict {
            origin,
            code,
            detail,
            fix,
        },
        400..500 => RegistryError::SourceRefuses {
            origin,
            status,
            code,
            detail,
            fix,
        },
        _ => RegistryError::SourceFailed {
            origin,
            status,
            code,
            detail,
        },
    }
}

/// Refuses an announced length that is not the promised one, before anything of the body is read.
pub(crate) fn announces(response: &Response, origin: &str, expected_bytes: u64) -> Result<(), RegistryError> {
    let origin = origin.to_string();
    match response.content_length() {
        Some(announced) if announced > expected_bytes => {
            Err(RegistryError::LongerThanPromised { origin, expected_bytes })
        }
        Some(announced) if announced < expected_bytes => Err(RegistryError::Truncated {
            origin,
            expected_bytes,
            found_bytes: announced,
        }),
        _ => Ok(()),
    }
}

/// Refuses an answer that was encoded: nothing here decodes any, so that a few bytes never become many.
pub(crate) fn plain(response: &Response, origin: &str) -> Result<(), RegistryError> {
    let mut encodings = response.headers().get_all(CONTENT_ENCODING).iter();
    let odd = encodings.find(|value| !value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity"));
    odd.map_or(Ok(()), |encoding| {
        Err(RegistryError::Encoded {
            origin: origin.into(),
            encoding: tame(&String::from_utf8_lossy(encoding.as_bytes())),
        })
    })
}
