//! Reads what a request asks: the segments of its path and its query, byte by byte, and its body where that is JSON.

use axum::extract::Request;
use http::Uri;
use serde::de::DeserializeOwned;

use crate::app::Shared;
use crate::error::tame;
use crate::execute::media_type;
use crate::{GatewayError, body, json_guard};

/// Segments of the path before what the routes differ in: an empty one, `api`, `v1`, and the route's name.
const SEGMENTS_BEFORE: usize = 4;
/// What bodies of a closed schema are sent as.
const JSON: &str = "application/json";

/// A request's path and query, decoded.
pub(crate) struct Ask {
    segments: Vec<Vec<u8>>,
    query: Vec<(String, Vec<u8>)>,
}

/// The error of what cannot be read; `path` says where it stands.
pub(crate) fn bad(path: &str, why: impl Into<String>) -> GatewayError {
    GatewayError::BadRequest {
        path: tame(path),
        why: why.into(),
    }
}

/// A body that is JSON of a closed schema.
pub(crate) async fn read<T: DeserializeOwned>(app: &Shared, request: Request) -> Result<T, GatewayError> {
    media_type(request.headers(), JSON)?;
    let bytes = body::read(request, &app.config, app.config.body_bytes_max).await?;
    closed(app, &bytes)
}

/// As [`read`]; no body at all is as good as an object without members.
pub(crate) async fn read_or_default<T: DeserializeOwned + Default>(
    app: &Shared,
    request: Request,
) -> Result<T, GatewayError> {
    let headers = request.headers().clone();
    let bytes = body::read(request, &app.config, app.config.body_bytes_max).await?;
    if bytes.is_empty() {
        return Ok(T::default());
    }
    media_type(&headers, JSON)?;
    closed(app, &bytes)
}

/// JSON of a closed schema.
fn closed<T: DeserializeOwned>(app: &Shared, bytes: &[u8]) -> Result<T, GatewayError> {
    let value = json_guard::parse(bytes, app.config.json_depth_max)?;
    serde_json::from_value(value).map_err(|e| bad("the body", tame(&e.to_string())))
}

impl Ask {
    /// Takes a request apart. A query parameter that is not in `known`, or stands twice, is refused.
    pub(crate) fn of(uri: &Uri, known: &[&str]) -> Result<Self, GatewayError> {
        Self::with_lists(uri, known, &[])
    }

    /// As [`Ask::of`]; those in `lists` may stand more often.
    pub(crate) fn with_lists(uri: &Uri, known: &[&str], lists: &[&str]) -> Result<Self, GatewayError> {
        let segments = uri.path().split('/').skip(SEGMENTS_BEFORE);
        let segments = segments.map(|segment| decode("the path", segment.as_bytes(), false));
        let mut query: Vec<(String, Vec<u8>)> = Vec::new();
        for pair in uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
        {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let is_list = lists.contains(&name);
            if !is_list && !known.contains(&name) {
                let there = if known.is_empty() && lists.is_empty() {
                    "none".into()
                } else {
                    [known, lists].concat().join(", ")
                };
                return Err(bad(name, format!("no such query parameter; there are {there}")));
            }
            if !is_list && query.iter().any(|(given, _)| given == name) {
                return Err(bad(name, "it is given twice"));
            }
            query.push((name.into(), decode(name, value.as_bytes(), true)?));
        }
        Ok(Self {
            segments: segments.collect::<Result<_, _>>()?,
            query,
        })
    }

    /// A segment behind the route's name; of no bytes when there is none.
    pub(crate) fn segment(&self, at: usize) -> &[u8] {
        self.segments.get(at).map(Vec::as_slice).unwrap_or_default()
    }

    /// As [`Ask::segment`], as text.
    pub(crate) fn segment_text(&self, at: usize) -> Result<&str, GatewayError> {
        std::str::from_utf8(self.segment(at)).map_err(|_| bad("the path", "it is not UTF-8"))
    }

    /// A query parameter.
    pub(crate) fn bytes(&self, name: &str) -> Option<&[u8]> {
        let found = self.query.iter().find(|(given, _)| given == name);
        found.map(|(_, value)| value.as_slice())
    }

    /// As [`Ask::bytes`], as text.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, GatewayError> {
        let text = self.bytes(name).map(std::str::from_utf8).transpose();
        text.map_err(|_| bad(name, "it is not UTF-8"))
    }

    /// Every value of a query parameter that may stand more often, as text.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<&str>, GatewayError> {
        let all = self.query.iter().filter(|(given, _)| given == name);
        all.map(|(_, value)| std::str::from_utf8(value).map_err(|_| bad(name, "it is not UTF-8")))
            .collect()
    }

    /// As [`Ask::bytes`], as a number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, GatewayError> {
        let number = self.text(name)?.map(str::parse).transpose();
        number.map_err(|_| bad(name, "it must be a whole number from 0 on"))
    }

    /// How many entries a page has.
    pub(crate) fn limit(&self, default: usize, max: usize) -> Result<usize, GatewayError> {
        let limit = match self.number("limit")? {
            None => return Ok(default),
            Some(limit) => usize::try_from(limit).ok(),
        };
        let limit = limit.filter(|limit| (1..=max).contains(limit));
        limit.ok_or_else(|| bad("limit", format!("it must be 1 to {max}")))
    }
}

/// Undoes percent-encoding; in a query a plus is a space.
fn decode(path: &str, text: &[u8], query: bool) -> Result<Vec<u8>, GatewayError> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'%' => {
                let digit = |at: usize| after.get(at).and_then(|digit| char::from(*digit).to_digit(16));
                let pair = digit(0)
                    .zip(digit(1))
                    .and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
                out.push(pair.ok_or_else(|| bad(path, "a % is not followed by two hexadecimal digits"))?);
                rest = after.get(2..).unwrap_or_default();
            }
            b'+' if query => out.push(b' '),
            _ => out.push(byte),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(uri: &str, known: &[&str]) -> Result<Ask, GatewayError> {
        Ask::of(&uri.parse().unwrap(), known)
    }

    #[test]
    fn any_bytes_come_through_path_and_query() {
        let ask = ask("/api/v1/state/host/a%2Fb+%00%ff?after=%fe+c", &["after"]).unwrap();
        assert_eq!(
            (ask.segment(0), ask.segment(1)),
            (b"host".as_slice(), b"a/b+\x00\xff".as_slice())
        );
        assert_eq!(ask.bytes("after"), Some(b"\xfe c".as_slice()));
        assert!(ask.segment(2).is_empty() && ask.text("after").is_err());
    }

    #[test]
    fn what_may_stand_more_often_keeps_its_order() {
        let uri = "/api/v1/telemetry/stream?topic=b&from=x&topic=a%2Cc".parse().unwrap();
        let ask = Ask::with_lists(&uri, &["from"], &["topic", "workflow"]).unwrap();
        assert_eq!(ask.texts("topic").unwrap(), ["b", "a,c"]);
        assert_eq!(
            (ask.texts("workflow").unwrap().len(), ask.text("from").unwrap()),
            (0, Some("x"))
        );
        let twice = "/api/v1/telemetry/stream?from=x&from=x".parse().unwrap();
        assert!(Ask::with_lists(&twice, &["from"], &["topic"]).is_err());
    }

    #[test]
    fn what_no_route_reads_is_refused() {
        for bad in [
            "/api/v1/state/host?x=1",
            "/api/v1/state/host?at=1&at=2",
            "/api/v1/state/%zz",
            "/api/v1/state/host%4",
        ] {
            assert!(ask(bad, &["at"]).is_err(), "{bad}");
        }
        for bad in ["limit=0", "limit=11", "limit=x"] {
            assert!(
                ask(&format!("/api/v1/state/host?{bad}"), &["limit"])
                    .unwrap()
                    .limit(5, 10)
                    .is_err(),
                "{bad}"
            );
        }
        assert_eq!(ask("/api/v1/state/host", &["limit"]).unwrap().limit(5, 10), Ok(5));
    }
}
