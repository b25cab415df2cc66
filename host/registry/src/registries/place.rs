//! Where a registry is: `oci://`, `https://`, `dir:`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::http_source::parse_base;
use crate::oci::{SCHEME, ip_of};
use crate::{OciAddress, RegistryError};

/// How the place of a folder begins.
const FOLDER: &str = "dir:";

/// Where a registry is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Place {
    /// `oci://host[:port][/prefix]`: over TLS, but on this machine.
    Oci(OciAddress),
    /// `https://host[:port][/path]`: another host; `http://` on this machine.
    Http(String),
    /// `dir:PATH`: a folder that a host, or `kinetic publish`, keeps capsules in.
    Folder(PathBuf),
}

impl FromStr for Place {
    type Err = RegistryError;

    fn from_str(text: &str) -> Result<Self, RegistryError> {
        if let Some(path) = text.strip_prefix(FOLDER) {
            if path.is_empty() {
                return Err(RegistryError::BadBaseUrl {
                    text: text.into(),
                    why: "it names no folder".into(),
                });
            }
            return Ok(Self::Folder(path.into()));
        }
        if text.starts_with(SCHEME) {
            return Ok(Self::Oci(OciAddress::parse(text)?));
        }
        let url = parse_base(text)?;
        if url.scheme() == "http" && !ip_of(&url).is_some_and(|ip| ip.is_loopback()) {
            return Err(RegistryError::BadBaseUrl {
                text: url.to_string(),
                why: "without TLS anybody on the way could read the token; http is for this machine alone".into(),
            });
        }
        Ok(Self::Http(url.as_str().trim_end_matches('/').to_string()))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Oci(address) => write!(f, "{address}"),
            Self::Http(url) => f.write_str(url),
            Self::Folder(path) => write!(f, "{FOLDER}{}", path.display()),
        }
    }
}

impl TryFrom<String> for Place {
    type Error = RegistryError;

    fn try_from(text: String) -> Result<Self, RegistryError> {
        text.parse()
    }
}

impl From<Place> for String {
    fn from(place: Place) -> Self {
        place.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_written_as_they_are_read() {
        for text in [
            "oci://registry.example/team",
            "https://registry.example/mirror",
            "http://127.0.0.1:8000",
            "http://localhost:8000",
            "dir:/srv/capsules",
        ] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn other_machines_are_spoken_to_over_tls_only() {
        for bad in [
            "http://registry.example",
            "http://10.0.0.1:8000",
            "ftp://h",
            "dir:",
            "registry",
            "",
        ] {
            let refused = bad.parse::<Place>();
            assert!(matches!(refused, Err(RegistryError::BadBaseUrl { .. })), "{bad}");
        }
    }
}
