//! Where an OCI registry is, and where in it a capsule lies.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use kinetic_model::Urn;
use reqwest::Url;

use crate::RegistryError;
use crate::error::tame;

/// How the address of such a registry begins.
pub(crate) const SCHEME: &str = "oci://";
/// The longest name of a repository, in bytes; what registries accept.
const REPOSITORY_BYTES_MAX: usize = 255;

/// `oci://host[:port][/prefix]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OciAddress {
    /// Host and port, as credentials name it.
    authority: String,
    /// Empty, or words with slashes between them.
    prefix: String,
}

impl OciAddress {
    /// Reads an address.
    ///
    /// # Errors
    /// [`RegistryError::BadBaseUrl`].
    pub fn parse(text: &str) -> Result<Self, RegistryError> {
        let bad = |why: &str| RegistryError::BadBaseUrl {
            text: tame(text),
            why: why.to_string(),
        };
        let rest = text
            .strip_prefix(SCHEME)
            .ok_or_else(|| bad("it does not start with oci://"))?;
        let (authority, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_end_matches('/');
        if authority.contains('@') {
            // Not shown: it holds a secret.
            return Err(RegistryError::BadBaseUrl {
                text: "...@...".into(),
                why: "it holds a user or password; log in with `docker login` instead".into(),
            });
        }
        let url = Url::parse(&format!("https://{authority}/")).ok();
        let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
        if host.is_empty() || authority.contains(['?', '#', '\\']) {
            return Err(bad("what follows oci:// is no host"));
        }
        let port = url.as_ref().and_then(Url::port).map(|port| format!(":{port}"));
        if !prefix.is_empty() && !prefix.split('/').all(is_component) {
            return Err(bad(
                "its path is not words of lower-case letters and digits, with . _ or - between them",
            ));
        }
        Ok(Self {
            authority: format!("{host}{}", port.unwrap_or_default()),
            prefix: prefix.to_string(),
        })
    }

    /// Host and port.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Whether it is on this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        let url = Url::parse(&format!("https://{}/", self.authority)).ok();
        url.as_ref().and_then(ip_of).is_some_and(|ip| ip.is_loopback())
    }

    /// The URL below which everything is: https, and http where that does not leave this machine.
    pub(super) fn base(&self, tls: bool) -> Result<Url, RegistryError> {
        let scheme = if tls { "https" } else { "http" };
        Url::parse(&format!("{scheme}://{}/v2/", self.authority)).map_err(|error| RegistryError::BadBaseUrl {
            text: self.to_string(),
            why: error.to_string(),
        })
    }

    /// The repository of a URN: `[prefix/]<namespace>/<class>/<name>/v<N>`.
    ///
    /// # Errors
    /// [`RegistryError::NoOciName`]: URNs may have underscores where OCI's grammar has none.
    pub(super) fn repository(&self, urn: &Urn) -> Result<String, RegistryError> {
        let no_name = |why: String| RegistryError::NoOciName {
            urn: urn.to_string(),
            why,
        };
        let class = urn.as_str().split(':').nth(3).unwrap_or_default();
        let major = format!("v{}", urn.major());
        self.below(&[urn.namespace(), class, urn.name(), &major])
            .map_err(no_name)
    }

    /// The repository of a namespace's index: `[prefix/]<namespace>/kinetic-index`.
    ///
    /// # Errors
    /// As [`OciAddress::repository`]'s.
    pub(super) fn index_repository(&self, namespace: &str) -> Result<String, RegistryError> {
        self.below(&[namespace, "kinetic-index"])
            .map_err(|why| RegistryError::NoOciName {
                urn: format!("the index of \"{}\"", tame(namespace)),
                why,
            })
    }

    /// A repository below the prefix; else why there is none.
    fn below(&self, words: &[&str]) -> Result<String, String> {
        if let Some(word) = words.iter().find(|word| !is_component(word)) {
            return Err(format!("\"{word}\" is no part of a name there"));
        }
        let below = words.join("/");
        let name = if self.prefix.is_empty() {
            below
        } else {
            format!("{}/{below}", self.prefix)
        };
        if name.len() > REPOSITORY_BYTES_MAX {
            return Err(format!(
                "{name} is longer than the {REPOSITORY_BYTES_MAX} bytes a name may have there"
            ));
        }
        Ok(name)
    }
}

impl fmt::Display for OciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.authority)?;
        if self.prefix.is_empty() {
            return Ok(());
        }
        write!(f, "/{}", self.prefix)
    }
}

/// The address that a URL names without asking anybody: an IP address, or this machine.
pub(crate) fn ip_of(url: &Url) -> Option<IpAddr> {
    let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']');
    if host == "localhost" {
        return Some(Ipv4Addr::LOCALHOST.into());
    }
    host.parse().ok()
}

/// OCI's grammar of one part of a repository's name.
fn is_component(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends = text.bytes().next().is_some_and(word) && text.bytes().last().is_some_and(word);
    // Between words one dot, one or two underscores, or any number of hyphens.
    let mut between = text.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    ends && between.all(|gap| matches!(gap, "" | "." | "_" | "__") || gap.bytes().all(|b| b == b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(address: &str, urn: &str) -> Result<String, RegistryError> {
        OciAddress::parse(address).unwrap().repository(&urn.parse().unwrap())
    }

    #[test]
    fn a_urn_has_its_repository_below_the_prefix() {
        let urn = "urn:acme:actionspace:solver:word_count:v1";
        assert_eq!(
            repository("oci://registry.example", urn).unwrap(),
            "acme/solver/word_count/v1"
        );
        assert_eq!(
            repository("oci://registry.example:5000/team/capsules/", urn).unwrap(),
            "team/capsules/acme/solver/word_count/v1"
        );
    }

    #[test]
    fn a_urn_that_is_no_name_there_is_refused() {
        for name in ["_x", "x_", "a___b"] {
            let urn = format!("urn:acme:actionspace:solver:{name}:v1");
            assert!(
                matches!(repository("oci://h", &urn), Err(RegistryError::NoOciName { .. })),
                "{name}"
            );
        }
        assert!(repository("oci://h", "urn:acme:actionspace:solver:a__b:v1").is_ok());
        let long = format!("urn:{}:actionspace:solver:x:v1", "a".repeat(200));
        let refused = repository(&format!("oci://h/{}", "p".repeat(50)), &long);
        assert!(matches!(refused, Err(RegistryError::NoOciName { .. })));
    }

    #[test]
    fn addresses_are_read_strictly_and_secrets_in_them_are_not_shown() {
        for (good, shown) in [
            ("oci://Registry.Example", "oci://registry.example"),
            ("oci://127.0.0.1:5000/a", "oci://127.0.0.1:5000/a"),
            ("oci://[::1]:5000", "oci://[::1]:5000"),
        ] {
            assert_eq!(OciAddress::parse(good).unwrap().to_string(), shown);
        }
        for bad in [
            "oci://",
            "oci:///x",
            "https://h",
            "oci://h/UPPER",
            "oci://h/a//b",
            "oci://h/a?b",
            "oci://h?b",
            "oci://u:geheim@h",
        ] {
            let refused = OciAddress::parse(bad).unwrap_err();
            assert!(matches!(refused, RegistryError::BadBaseUrl { .. }), "{bad}");
            assert!(!refused.to_string().contains("geheim"));
        }
    }

    #[test]
    fn only_this_machine_is_spoken_to_without_tls() {
        let is_loopback = |text: &str| OciAddress::parse(text).unwrap().is_loopback();
        assert!(
            is_loopback("oci://127.0.0.1:5000") && is_loopback("oci://localhost") && is_loopback("oci://[::1]:5000")
        );
        assert!(!is_loopback("oci://registry.example") && !is_loopback("oci://10.0.0.1:5000"));
    }
}
