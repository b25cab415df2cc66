//! Which hosts a capsule may reach: patterns of host and port, and the rule that names may not lead inside.

use crate::HttpError;

/// One pattern: `example.com`, `example.com:8443`, `*.example.com`, `localhost:*`, `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostPattern {
    host: HostPart,
    port: PortPart,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum HostPart {
    Any,
    /// `*.example.com`, kept as `.example.com`; the bare domain is not meant.
    Suffix(String),
    Exact(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PortPart {
    /// 443 for https, 80 for http.
    OfScheme,
    Any,
    Exact(u16),
}

impl HostPattern {
    pub(crate) fn parse(text: &str) -> Result<Self, HttpError> {
        let bad = |why: &str| HttpError::BadPattern {
            text: text.chars().take(200).collect(),
            why: why.into(),
        };
        // An IPv6 address keeps its colons in brackets.
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (text, None),
        };
        let port = match port {
            None => PortPart::OfScheme,
            Some("*") => PortPart::Any,
            Some(digits) => PortPart::Exact(digits.parse().map_err(|_| bad("the port is not a number or *"))?),
        };
        let host = host.to_ascii_lowercase();
        let name = host.strip_prefix("*.").unwrap_or(&host);
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'[' | b']' | b':');
        let host = match host.as_str() {
            "*" => HostPart::Any,
            _ if name.is_empty() || !name.bytes().all(fits) => return Err(bad("the host is not a name or address")),
            _ if host.starts_with("*.") => HostPart::Suffix(format!(".{name}")),
            _ => HostPart::Exact(host),
        };
        Ok(Self { host, port })
    }

    pub(crate) fn matches(&self, host: &str, port: u16, tls: bool) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let host_fits = match &self.host {
            HostPart::Any => true,
            HostPart::Suffix(suffix) => host.ends_with(suffix) && host.len() > suffix.len(),
            HostPart::Exact(exact) => *exact == host,
        };
        host_fits
            && match self.port {
                PortPart::Any => true,
                PortPart::OfScheme => port == if tls { 443 } else { 80 },
                PortPart::Exact(exact) => exact == port,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(pattern: &str, host: &str, port: u16, tls: bool) -> bool {
        HostPattern::parse(pattern).unwrap().matches(host, port, tls)
    }

    #[test]
    fn a_name_without_a_port_means_the_schemes_own() {
        assert!(allows("example.com", "EXAMPLE.com", 443, true));
        assert!(allows("example.com", "example.com.", 80, false));
        assert!(!allows("example.com", "example.com", 8080, false));
        assert!(!allows("example.com", "evil-example.com", 443, true));
        assert!(!allows("example.com", "example.com.evil.org", 443, true));
    }

    #[test]
    fn a_star_stands_for_at_least_one_label() {
        assert!(allows("*.example.com", "a.b.example.com", 443, true));
        assert!(!allows("*.example.com", "example.com", 443, true));
        assert!(!allows("*.example.com", "notexample.com", 443, true));
    }

    #[test]
    fn ports_may_be_named_or_open() {
        assert!(allows("localhost:*", "localhost", 12345, false));
        assert!(allows("[::1]:8080", "[::1]", 8080, false));
        assert!(!allows("localhost:81", "localhost", 80, false));
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["", "*.", "a b", "example.com:http", "http://example.com"] {
            assert!(HostPattern::parse(bad).is_err(), "{bad}");
        }
    }
}
