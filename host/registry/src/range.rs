//! The rest of a component whose download broke: how it is asked for, and which answers are the rest of just that.

use futures_util::StreamExt as _;
use reqwest::header::{CONTENT_RANGE, ETAG, IF_RANGE, RANGE};
use reqwest::{RequestBuilder, Response, StatusCode};

use crate::error::tame;
use crate::wire::{announces, plain, unreachable};
use crate::{Download, RegistryError, Rest};

/// The longest entity tag kept, in bytes: it is sent back.
const TAG_BYTES_MAX: usize = 256;

/// Asks for the rest only; and of the very content that the bytes before were of, where that has a name.
pub(crate) fn ask(request: RequestBuilder, rest: &Rest) -> RequestBuilder {
    if rest.from_byte == 0 {
        return request;
    }
    let request = request.header(RANGE, format!("bytes={}-", rest.from_byte));
    match &rest.tag {
        Some(tag) => request.header(IF_RANGE, tag.as_str()),
        None => request,
    }
}

/// Whether an answer says that it is a part, and one was asked for.
pub(crate) fn is_part(response: &Response, rest: &Rest) -> bool {
    rest.from_byte > 0 && response.status() == StatusCode::PARTIAL_CONTENT
}

/// The body of an answer as it comes: just the rest, or anew from the beginning; and of no other length than was promised.
pub(crate) fn stream(
    response: Response,
    origin: &str,
    expected_bytes: u64,
    rest: &Rest,
) -> Result<Download, RegistryError> {
    plain(&response, origin)?;
    let from_byte = if is_part(&response, rest) {
        is_the_rest(&response, origin, expected_bytes, rest.from_byte)?;
        rest.from_byte
    } else {
        announces(&response, origin, expected_bytes)?;
        0
    };
    let tag = strong_tag(&response);
    let origin = origin.to_string();
    let chunks = response.bytes_stream();
    Ok(Download {
        from_byte,
        tag,
        bytes: Box::pin(chunks.map(move |chunk| chunk.map_err(|error| unreachable(&origin, &error)))),
    })
}

/// Refuses a part that is not everything from that byte on.
fn is_the_rest(response: &Response, origin: &str, expected_bytes: u64, from_byte: u64) -> Result<(), RegistryError> {
    let said = response
        .headers()
        .get(CONTENT_RANGE)
        .and_then(|value| value.to_str().ok());
    let said = said.unwrap_or("no range");
    let range = format!("bytes {from_byte}-{}/", expected_bytes.saturating_sub(1));
    let total = said.strip_prefix(&range);
    let fits = total.is_some_and(|total| total == "*" || total == expected_bytes.to_string());
    let announced = response.content_length();
    let rest_bytes = expected_bytes.saturating_sub(from_byte);
    if fits && announced.is_none_or(|announced| announced == rest_bytes) {
        return Ok(());
    }
    let found = match announced {
        Some(announced) if fits => format!("{announced} bytes"),
        _ => tame(said),
    };
    Err(RegistryError::OtherThanAsked {
        origin: origin.into(),
        asked: format!("{range}{expected_bytes}"),
        found,
    })
}

/// What the content is called, if the name is a strong one: under a weak one bytes may differ.
fn strong_tag(response: &Response) -> Option<String> {
    let tag = response.headers().get(ETAG)?.to_str().ok()?;
    let strong = tag.len() > 2 && tag.starts_with('"') && tag.ends_with('"');
    (strong && tag.len() <= TAG_BYTES_MAX).then(|| tag.to_string())
}
