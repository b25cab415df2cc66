//! The one shape of every failure over HTTP: an RFC 9457 problem with a stable code and a fix.
//!
//! A handler answers with [`carried`], an empty response with the failure in it; where the id of the request is known, the
//! server takes it out again and [`write`]s it. Which status a code has is the server's to say.

use axum::body::Body;
use axum::response::Response;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use kinetic_model::{ErrorKind, Fault};
use serde::Serialize;

/// The media type of a problem.
const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// The members of every problem. A server may write others beside them.
#[derive(Clone, Debug, Serialize)]
pub struct Document<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<&'a str>,
    code: &'static str,
    fix: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

impl<'a> Document<'a> {
    /// The problem of a fault; `request` is the id and the path of the request it answers, where there is one.
    pub fn of(fault: &'a Fault, status: u16, request: Option<(&'a str, &'a str)>) -> Self {
        Self {
            r#type: format!("/errors/{}", fault.code),
            title: fault.kind.title(),
            status,
            detail: &fault.message,
            instance: request.map(|(_, path)| path),
            code: fault.code,
            fix: &fault.fix,
            request_id: request.map(|(id, _)| id),
        }
    }
}

/// An empty response of that status, which carries a failure to the place where it is written.
pub fn carried<P: Clone + Send + Sync + 'static>(problem: P, status: u16) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = code(status);
    response.extensions_mut().insert(problem);
    response
}

/// Makes a response that problem; headers that were set beside it (`Allow`, CORS) stay. `retry_after_s` is for whoever is one
/// too many.
pub fn write(
    response: &mut Response,
    fault: &Fault,
    status: u16,
    retry_after_s: Option<&'static str>,
    document: &impl Serialize,
) {
    let status = code(status);
    *response.status_mut() = status;
    // Text and numbers always serialise.
    *response.body_mut() = Body::from(serde_json::to_vec(document).unwrap_or_default());
    let headers = response.headers_mut();
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, MEDIA_TYPE);
    // The rest of such a body is still under way: the connection ends here, and the client must know.
    if matches!(status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT) {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if fault.kind == ErrorKind::Unauthenticated {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(seconds) = retry_after_s {
        headers.insert(RETRY_AFTER, HeaderValue::from_static(seconds));
    }
}

fn code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use http::header::ALLOW;
    use serde_json::{Value, json};

    use super::*;

    fn fault(kind: ErrorKind) -> Fault {
        Fault {
            code: "KIN-EXA-0001",
            kind,
            message: "it broke.".into(),
            fix: "Mend it.".into(),
        }
    }

    #[tokio::test]
    async fn what_was_carried_is_written_and_headers_beside_it_stay() {
        let fault = fault(ErrorKind::Invalid);
        let mut response = carried("the failure", 405);
        assert_eq!(response.extensions_mut().remove::<&str>(), Some("the failure"));
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        response
            .headers_mut()
            .insert(CONTENT_LENGTH, HeaderValue::from_static("3"));
        write(
            &mut response,
            &fault,
            405,
            None,
            &Document::of(&fault, 405, Some(("id", "/path"))),
        );
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()[ALLOW], "GET");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        for absent in [CONTENT_LENGTH, CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE] {
            assert!(!response.headers().contains_key(&absent), "{absent}");
        }
        let body: Value = serde_json::from_slice(&to_bytes(response.into_body(), 1_000).await.unwrap()).unwrap();
        let expected = json!({
            "type": "/errors/KIN-EXA-0001", "title": "InvalidRequestError", "status": 405, "detail": "it broke.",
            "instance": "/path", "code": "KIN-EXA-0001", "fix": "Mend it.", "request_id": "id",
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn whoever_is_refused_is_told_how_to_come_back() {
        let headers_of = |kind, status, retry_after_s| {
            let fault = fault(kind);
            let mut response = carried((), status);
            write(
                &mut response,
                &fault,
                status,
                retry_after_s,
                &Document::of(&fault, status, None),
            );
            response.into_parts().0.headers
        };
        assert_eq!(
            headers_of(ErrorKind::Unauthenticated, 401, None)[WWW_AUTHENTICATE],
            "Bearer"
        );
        assert_eq!(headers_of(ErrorKind::Busy, 503, Some("1"))[RETRY_AFTER], "1");
        assert_eq!(headers_of(ErrorKind::TooLarge, 413, None)[CONNECTION], "close");
        assert_eq!(headers_of(ErrorKind::Timeout, 408, None)[CONNECTION], "close");
        assert!(!headers_of(ErrorKind::Timeout, 504, None).contains_key(CONNECTION));
    }
}
