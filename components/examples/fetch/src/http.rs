//! One GET through wasi:http, redirects followed.

use crate::bindings::wasi::http::outgoing_handler::handle;
use crate::bindings::wasi::http::types::{
    ErrorCode, Fields, IncomingResponse, Method, OutgoingRequest, Scheme, http_error_code,
};
use crate::bindings::wasi::io::streams::StreamError;
use crate::bindings::{Error, Page};
use crate::html::{Readable, readable};
use crate::media::{Media, utf8};
use crate::url::Url;

/// Redirects followed.
const REDIRECTS_MAX: usize = 5;
/// Bytes of a page that are read.
const BODY_BYTES_MAX: usize = 2 << 20;
/// Bytes asked for at once.
const PIECE_BYTES: u64 = 65_536;
/// What every request says. Without accept-encoding no server may compress.
const HEADERS: [(&str, &str); 2] = [
    (
        "accept",
        "text/html, application/xhtml+xml, text/*;q=0.9, application/json;q=0.8",
    ),
    ("user-agent", concat!("kinetic-fetch/", env!("CARGO_PKG_VERSION"))),
];

/// Gets a page.
pub(crate) fn get(url: &str) -> Result<Page, Error> {
    let mut url = Url::parse(url).map_err(|error| Error::InvalidUrl(error.text().into()))?;
    for _ in 0..=REDIRECTS_MAX {
        let response = send(&url)?;
        match redirect(&response) {
            Some(location) => {
                let target = url.join(&location);
                url = target.map_err(|error| Error::InvalidUrl(format!("redirected: {}", error.text())))?;
            }
            None => return read(&url, &response),
        }
    }
    Err(Error::TooManyRedirects)
}

fn header(response: &IncomingResponse, name: &str) -> String {
    let values = response.headers().get(name);
    values
        .first()
        .map(|value| String::from_utf8_lossy(value).into_owned())
        .unwrap_or_default()
}

fn redirect(response: &IncomingResponse) -> Option<String> {
    let moved = matches!(response.status(), 301 | 302 | 303 | 307 | 308);
    moved
        .then(|| header(response, "location"))
        .filter(|location| !location.is_empty())
}

fn send(url: &Url) -> Result<IncomingResponse, Error> {
    let headers = HEADERS.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
    let headers = Fields::from_list(&headers).map_err(|error| Error::Other(error.to_string()))?;
    let request = OutgoingRequest::new(headers);
    let scheme = if url.tls { Scheme::Https } else { Scheme::Http };
    request
        .set_method(&Method::Get)
        .and_then(|()| request.set_scheme(Some(&scheme)))
        .and_then(|()| request.set_authority(Some(&url.authority)))
        .and_then(|()| request.set_path_with_query(Some(&url.path)))
        .map_err(|()| Error::InvalidUrl("no request can be made of it".into()))?;
    let pending = handle(request, None).map_err(|error| failed(error, url))?;
    pending.subscribe().block();
    match pending.get() {
        Some(Ok(Ok(response))) => Ok(response),
        Some(Ok(Err(error))) => Err(failed(error, url)),
        _ => Err(Error::Other("the host gave no answer".into())),
    }
}

fn failed(error: ErrorCode, url: &Url) -> Error {
    let why = match error {
        ErrorCode::HttpRequestDenied => {
            // The case has no room for it, and after a redirect it is not the host that was asked for.
            eprintln!(
                "denied: {} is not on both lists, or its name leads into the host's own network",
                url.authority
            );
            return Error::Denied;
        }
        ErrorCode::DnsTimeout
        | ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => return Error::TimedOut,
        ErrorCode::HttpRequestUriInvalid => return Error::InvalidUrl("no request can be made of it".into()),
        ErrorCode::DnsError(_) => "its name leads nowhere".into(),
        ErrorCode::ConnectionRefused => "it refuses the connection".into(),
        ErrorCode::ConnectionTerminated | ErrorCode::HttpResponseIncomplete => "it broke off".into(),
        ErrorCode::TlsCertificateError => "its certificate is not to be trusted".into(),
        ErrorCode::TlsProtocolError => "TLS with it fails".into(),
        ErrorCode::HttpProtocolError => "it does not speak HTTP".into(),
        ErrorCode::InternalError(Some(why)) => why,
        other => other.to_string(),
    };
    Error::Unreachable(format!("{}: {why}", url.authority))
}

fn read(url: &Url, response: &IncomingResponse) -> Result<Page, Error> {
    let content_type = header(response, "content-type");
    let encoding = header(response, "content-encoding");
    if !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity") {
        return Err(Error::Other(format!(
            "the server answers in the coding {encoding}, which was not asked for"
        )));
    }
    if Media::of(&content_type) == Media::Other {
        return Err(Error::NotText(content_type));
    }
    let (bytes, cut) = body(url, response)?;
    let text = utf8(&bytes, cut);
    let (title, text, truncated) = match Media::of(&content_type).or_of_bytes(&bytes) {
        Media::Html => {
            let Readable { title, text, truncated } = readable(&text, Some(url));
            (title, text, truncated)
        }
        Media::Text | Media::Unknown => (None, text.into_owned(), false),
        Media::Other => return Err(Error::NotText(content_type)),
    };
    Ok(Page {
        url: url.to_string(),
        status: response.status(),
        content_type,
        title,
        text,
        truncated: truncated || cut,
    })
}

/// The body, and whether there was more of it.
fn body(url: &Url, response: &IncomingResponse) -> Result<(Vec<u8>, bool), Error> {
    let missing = || Error::Other("the host gave no body".into());
    let body = response.consume().map_err(|()| missing())?;
    let stream = body.stream().map_err(|()| missing())?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(PIECE_BYTES) {
            Ok(piece) => bytes.extend_from_slice(&piece),
            Err(StreamError::Closed) => return Ok((bytes, false)),
            Err(StreamError::LastOperationFailed(error)) => {
                // Only its first line: the host may write its own call stack below.
                let why = error.to_debug_string();
                let why = why.lines().next().unwrap_or_default();
                let broken = || Error::Unreachable(format!("{}: it broke off: {why}", url.authority));
                return Err(http_error_code(&error).map_or_else(broken, |code| failed(code, url)));
            }
        }
        if bytes.len() > BODY_BYTES_MAX {
            bytes.truncate(BODY_BYTES_MAX);
            return Ok((bytes, true));
        }
    }
}
