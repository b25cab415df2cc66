//! One GET through wasi:http, redirects followed.

use crate::bindings::wasi::http::outgoing_handler::handle;
use crate::bindings::wasi::http::types::{ErrorCode, Fields, IncomingResponse, Method, OutgoingRequest, Scheme};
use crate::bindings::wasi::io::streams::StreamError;
use crate::bindings::{Page, Refusal};
use crate::{Url, readable};

/// Redirects followed.
const REDIRECTS_MAX: usize = 5;
/// Bytes of a page that are read.
const BODY_BYTES_MAX: usize = 2 << 20;
/// Bytes asked for at once.
const PIECE_BYTES: u64 = 65_536;

/// Gets a page.
pub(crate) fn get(url: &str) -> Result<Page, Refusal> {
    let mut url = Url::parse(url).map_err(|error| Refusal::InvalidUrl(error.text().into()))?;
    for _ in 0..=REDIRECTS_MAX {
        let response = send(&url)?;
        let status = response.status();
        let headers = response.headers();
        let header = |name: &str| {
            let values = headers.get(name);
            values.first().map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
        };
        let location = header("location");
        if matches!(status, 301 | 302 | 303 | 307 | 308) && !location.is_empty() {
            url = url.join(&location).map_err(|error| Refusal::InvalidUrl(format!("redirected: {}", error.text())))?;
            continue;
        }
        let content_type = header("content-type");
        drop(headers);
        return read(&url, status, content_type, &response);
    }
    Err(Refusal::TooManyRedirects)
}

fn send(url: &Url) -> Result<IncomingResponse, Refusal> {
    let fields = [("accept", "text/html, text/*;q=0.9, application/json;q=0.8"), ("user-agent", "kinetic-fetch/1")];
    let fields = fields.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
    let headers = Fields::from_list(&fields).map_err(|error| Refusal::Other(format!("{error:?}")))?;
    let request = OutgoingRequest::new(headers);
    let set = request
        .set_method(&Method::Get)
        .and_then(|()| request.set_scheme(Some(&if url.tls { Scheme::Https } else { Scheme::Http })))
        .and_then(|()| request.set_authority(Some(&url.authority)))
        .and_then(|()| request.set_path_with_query(Some(&url.path)));
    set.map_err(|()| Refusal::InvalidUrl("no request can be made of it".into()))?;
    let refused = |error| refusal(error, url);
    let pending = handle(request, None).map_err(refused)?;
    pending.subscribe().block();
    match pending.get() {
        Some(Ok(Ok(response))) => Ok(response),
        Some(Ok(Err(error))) => Err(refused(error)),
        _ => Err(Refusal::Other("the host gave no answer".into())),
    }
}

fn refusal(error: ErrorCode, url: &Url) -> Refusal {
    match error {
        ErrorCode::HttpRequestDenied => Refusal::Denied(url.authority.clone()),
        ErrorCode::ConnectionTimeout | ErrorCode::HttpResponseTimeout | ErrorCode::ConnectionReadTimeout => Refusal::TimedOut,
        ErrorCode::HttpRequestUriInvalid => Refusal::InvalidUrl("the host refuses it".into()),
        other => Refusal::Unreachable(format!("{}: {other:?}", url.authority)),
    }
}

/// Whether a media type is text in some form.
fn is_text(content_type: &str) -> bool {
    let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let known = ["application/json", "application/xml", "application/javascript", "application/xhtml+xml"];
    media.is_empty() || media.starts_with("text/") || media.ends_with("+json") || media.ends_with("+xml") || known.contains(&media.as_str())
}

fn read(url: &Url, status: u16, content_type: String, response: &IncomingResponse) -> Result<Page, Refusal> {
    if !is_text(&content_type) {
        return Err(Refusal::NotText(content_type));
    }
    let broken = |what: String| Refusal::Unreachable(format!("{}: {what}", url.authority));
    let body = response.consume().map_err(|()| broken("the answer has no body".into()))?;
    let stream = body.stream().map_err(|()| broken("the answer has no body".into()))?;
    let mut bytes = Vec::new();
    let mut truncated = false;
    loop {
        match stream.blocking_read(PIECE_BYTES) {
            Ok(piece) => bytes.extend_from_slice(&piece),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(error)) => return Err(broken(error.to_debug_string())),
        }
        if bytes.len() > BODY_BYTES_MAX {
            bytes.truncate(BODY_BYTES_MAX);
            truncated = true;
            break;
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    let looks_like_html = content_type.is_empty() && text.trim_start().starts_with('<');
    let (title, text) = if content_type.contains("html") || looks_like_html {
        let page = readable(&text);
        (page.title, page.text)
    } else {
        (None, text.into_owned())
    };
    Ok(Page { url: url.to_string(), status, content_type, title, text, truncated })
}
