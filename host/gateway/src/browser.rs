//! Keeps web pages out: a page a user happens to open must not reach the host through that user's browser.
//!
//! Two ways lead there. A page can send requests to 127.0.0.1 itself: its browser then names the page in `Origin`. Or its
//! own name can be made to resolve to 127.0.0.1 (DNS rebinding): its browser then sends that name as `Host`.

use std::net::{IpAddr, SocketAddr};

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, HOST, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Uri};

use crate::error::tame;
use crate::{GatewayConfig, GatewayError};

/// Which names and origins are ours.
pub(crate) struct Guard {
    listen_ip: IpAddr,
    check_host: bool,
    hosts: Vec<String>,
    origins: Vec<String>,
}

impl Guard {
    pub(crate) fn new(config: &GatewayConfig, listen: SocketAddr) -> Self {
        let lower = |names: &[String]| names.iter().map(|name| name.to_ascii_lowercase()).collect::<Vec<_>>();
        Self {
            listen_ip: listen.ip(),
            // Beyond loopback the token is what keeps strangers out, and a page's browser does not have it.
            check_host: listen.ip().is_loopback() || !config.allowed_hosts.is_empty(),
            hosts: lower(&config.allowed_hosts),
            origins: lower(&config.allowed_origins),
        }
    }

    /// Passes a request that no foreign page can have sent.
    ///
    /// The answer is the origin that must be let read the response, when it is a configured one.
    pub(crate) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<Option<HeaderValue>, GatewayError> {
        let host = host(uri, headers);
        if self.check_host && !self.is_ours(host) {
            return Err(GatewayError::ForeignHost { host: tame(host) });
        }
        let Some(origin) = headers.get(ORIGIN) else {
            return Ok(None);
        };
        let text = origin.to_str().unwrap_or("an unreadable origin").to_ascii_lowercase();
        if self.origins.contains(&text) {
            return Ok(Some(origin.clone()));
        }
        // A page this host served itself names the host it was served by.
        let own = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
        if own.is_some_and(|authority| authority.eq_ignore_ascii_case(host)) {
            return Ok(None);
        }
        Err(GatewayError::ForeignOrigin { origin: tame(&text) })
    }

    fn is_ours(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let name = without_port(&host);
        let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        address.is_ok_and(|ip| ip.is_loopback() || ip == self.listen_ip)
            || name == "localhost"
            || self.hosts.iter().any(|ours| *ours == name || *ours == host)
    }
}

/// The name the request was sent to: in the Host header, or in the URI of an absolute-form request.
fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> &'a str {
    let mut values = headers.get_all(HOST).iter();
    match (uri.authority(), values.next(), values.next()) {
        (Some(authority), _, _) => authority.as_str(),
        (None, Some(value), None) => value.to_str().unwrap_or_default(),
        // Two Host headers are nobody's name.
        _ => "",
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|b| b.is_ascii_digit()) && (!name.contains(':') || name.ends_with(']')) =>
        {
            name
        }
        _ => host,
    }
}

/// Lets a page of a configured origin read an answer.
pub(crate) fn let_read(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("*, mcp-session-id, x-request-id"),
    );
    headers.append(VARY, HeaderValue::from_static("origin"));
}

/// Answers a browser that asks whether a page of a configured origin may send a request.
pub(crate) fn let_send(headers: &mut HeaderMap) {
    let allowed = "authorization, content-type, accept, last-event-id, mcp-session-id, mcp-protocol-version, mcp-method, mcp-name, x-request-id";
    headers.insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, POST, DELETE"),
    );
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(allowed));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(listen: &str, hosts: &[&str], origins: &[&str]) -> Guard {
        let config = GatewayConfig {
            allowed_hosts: hosts.iter().map(ToString::to_string).collect(),
            allowed_origins: origins.iter().map(ToString::to_string).collect(),
            ..GatewayConfig::default()
        };
        Guard::new(&config, listen.parse().unwrap())
    }

    fn asks(guard: &Guard, host: &str, origin: Option<&str>) -> Result<Option<HeaderValue>, GatewayError> {
        let mut headers = HeaderMap::from_iter([(HOST, HeaderValue::from_str(host).unwrap())]);
        if let Some(origin) = origin {
            headers.insert(ORIGIN, HeaderValue::from_str(origin).unwrap());
        }
        guard.check(&Uri::from_static("/healthz"), &headers)
    }

    #[test]
    fn on_loopback_only_names_of_loopback_are_answered() {
        let guard = guard("127.0.0.1:8000", &[], &[]);
        for ours in [
            "127.0.0.1:8000",
            "localhost:8000",
            "LOCALHOST",
            "[::1]:8000",
            "127.0.0.2",
        ] {
            assert!(asks(&guard, ours, None).is_ok(), "{ours}");
        }
        for foreign in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example:8000",
            "",
            "10.0.0.1",
            "a:b:1",
        ] {
            assert!(
                matches!(asks(&guard, foreign, None), Err(GatewayError::ForeignHost { .. })),
                "{foreign}"
            );
        }
    }

    #[test]
    fn a_configured_name_is_answered_too() {
        let guard = guard("127.0.0.1:8000", &["kinetic.example"], &[]);
        assert!(asks(&guard, "Kinetic.Example:443", None).is_ok());
        assert!(asks(&guard, "other.example", None).is_err());
    }

    #[test]
    fn beyond_loopback_any_name_is_answered_because_the_token_decides() {
        assert!(asks(&guard("0.0.0.0:8000", &[], &[]), "host.example", None).is_ok());
    }

    #[test]
    fn a_page_of_another_origin_is_refused_unless_it_is_configured() {
        let guard = guard("127.0.0.1:8000", &[], &["http://localhost:3000"]);
        assert!(
            asks(&guard, "127.0.0.1:8000", Some("http://localhost:3000"))
                .unwrap()
                .is_some()
        );
        assert!(
            asks(&guard, "127.0.0.1:8000", Some("http://127.0.0.1:8000"))
                .unwrap()
                .is_none()
        );
        for foreign in [
            "https://evil.example",
            "null",
            "http://localhost:3001",
            "http://127.0.0.1:9000",
        ] {
            let refused = asks(&guard, "127.0.0.1:8000", Some(foreign));
            assert!(matches!(refused, Err(GatewayError::ForeignOrigin { .. })), "{foreign}");
        }
    }

    #[test]
    fn two_host_headers_are_nobodys_name() {
        let mut headers = HeaderMap::new();
        headers.append(HOST, HeaderValue::from_static("localhost"));
        headers.append(HOST, HeaderValue::from_static("evil.example"));
        assert!(
            guard("127.0.0.1:8000", &[], &[])
                .check(&Uri::from_static("/"), &headers)
                .is_err()
        );
    }
}
