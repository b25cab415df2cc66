//! Capability URNs, and references that may pin a version or a digest.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Digest, ModelError};

/// The longest URN accepted, in bytes; the grammar itself has no bound.
const URN_BYTES_MAX: usize = 256;

/// The class of a capability: the fourth part of its URN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum UrnClass {
    /// Answers questions.
    Oracle,
    /// Computes.
    Solver,
    /// Changes something outside.
    Effector,
    /// Carries others.
    Substrate,
    /// Observes.
    Sensory,
    /// A member of a topology.
    Node,
}

impl UrnClass {
    const ALL: [(&'static str, Self); 6] = [
        ("oracle", Self::Oracle),
        ("solver", Self::Solver),
        ("effector", Self::Effector),
        ("substrate", Self::Substrate),
        ("sensory", Self::Sensory),
        ("node", Self::Node),
    ];
}

/// A capability's name: `urn:<namespace>:actionspace:<class>:<name>:v<major>`.
///
/// The grammar is `^urn:[a-z0-9_]+:actionspace:(oracle|solver|effector|substrate|sensory|node):[a-z0-9_]+:v[0-9]+$`;
/// `:vN` is the major of the manifest's semantic version, written without leading zeros.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Urn {
    text: String,
    namespace_end: usize,
    class: UrnClass,
    name_start: usize,
    name_end: usize,
    major: u64,
}

impl Urn {
    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Who may sign it: the second part.
    pub fn namespace(&self) -> &str {
        self.text.get(4..self.namespace_end).unwrap_or_default()
    }

    /// The class: the fourth part.
    pub const fn class(&self) -> UrnClass {
        self.class
    }

    /// The short name: the fifth part.
    pub fn name(&self) -> &str {
        self.text.get(self.name_start..self.name_end).unwrap_or_default()
    }

    /// The major version: the number after `:v`.
    pub const fn major(&self) -> u64 {
        self.major
    }
}

fn is_word(part: &str) -> bool {
    !part.is_empty()
        && part
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

impl FromStr for Urn {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        let bad = |why: &str| ModelError::BadUrn {
            text: text.chars().take(100).collect(),
            why: why.to_string(),
        };
        if text.len() > URN_BYTES_MAX {
            return Err(bad("it is longer than 256 bytes"));
        }
        let mut parts = text.split(':');
        let mut next = || parts.next().unwrap_or_default();
        let (scheme, namespace, space, class_word, name, version) = (next(), next(), next(), next(), next(), next());
        if parts.next().is_some() || version.is_empty() {
            return Err(bad("it must have six parts separated by colons"));
        }
        if scheme != "urn" || space != "actionspace" {
            return Err(bad("it must start with urn: and have actionspace as its third part"));
        }
        if !is_word(namespace) || !is_word(name) {
            return Err(bad("namespace and name are lower-case letters, digits and underscores"));
        }
        let Some((_, class)) = UrnClass::ALL.into_iter().find(|(word, _)| *word == class_word) else {
            return Err(bad(
                "its class is not one of oracle, solver, effector, substrate, sensory, node",
            ));
        };
        let digits = version
            .strip_prefix('v')
            .filter(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()));
        let Some(major) = digits.and_then(|d| d.parse::<u64>().ok()) else {
            return Err(bad("its last part is v and a number"));
        };
        if digits != Some(major.to_string().as_str()) {
            return Err(bad("the number after v has leading zeros"));
        }
        let name_end = text.len() - version.len() - 1;
        Ok(Self {
            namespace_end: 4 + namespace.len(),
            name_start: name_end - name.len(),
            name_end,
            class,
            major,
            text: text.to_string(),
        })
    }
}

impl fmt::Display for Urn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Urn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Urn {
    type Error = ModelError;

    fn try_from(text: String) -> Result<Self, ModelError> {
        text.parse()
    }
}

impl From<Urn> for String {
    fn from(urn: Urn) -> Self {
        urn.text
    }
}

impl schemars::JsonSchema for Urn {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Urn".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "maxLength": 256,
            "pattern": "^urn:[a-z0-9_]+:actionspace:(oracle|solver|effector|substrate|sensory|node):[a-z0-9_]+:v(0|[1-9][0-9]*)$"
        })
    }
}

/// Which of a URN's versions is meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Pin {
    /// The active one.
    Active,
    /// Exactly this version.
    Version(semver::Version),
    /// Exactly these bytes.
    Digest(Digest),
}

/// A URN with an optional pin: `urn`, `urn@1.4.2`, `urn@sha256:...`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CapsuleRef {
    /// The capability.
    pub urn: Urn,
    /// Which version of it.
    pub pin: Pin,
}

impl From<Urn> for CapsuleRef {
    fn from(urn: Urn) -> Self {
        Self { urn, pin: Pin::Active }
    }
}

impl FromStr for CapsuleRef {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        let Some((urn, pin)) = text.split_once('@') else {
            return Ok(Self {
                urn: text.parse()?,
                pin: Pin::Active,
            });
        };
        let urn: Urn = urn.parse()?;
        if pin.starts_with("sha256:") {
            return Ok(Self {
                urn,
                pin: Pin::Digest(pin.parse()?),
            });
        }
        let version = semver::Version::parse(pin).map_err(|_| ModelError::BadPin {
            text: pin.chars().take(100).collect(),
        })?;
        if version.major != urn.major() {
            return Err(ModelError::MajorMismatch {
                urn: urn.to_string(),
                version: version.to_string(),
            });
        }
        Ok(Self {
            urn,
            pin: Pin::Version(version),
        })
    }
}

impl fmt::Display for CapsuleRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.pin {
            Pin::Active => write!(f, "{}", self.urn),
            Pin::Version(version) => write!(f, "{}@{version}", self.urn),
            Pin::Digest(digest) => write!(f, "{}@{digest}", self.urn),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REDACT: &str = "urn:kinetic:actionspace:solver:redact:v1";

    #[test]
    fn a_urn_gives_its_parts() {
        let urn: Urn = "urn:my_org1:actionspace:oracle:web_search:v12".parse().unwrap();
        assert_eq!(
            (urn.namespace(), urn.class(), urn.name(), urn.major()),
            ("my_org1", UrnClass::Oracle, "web_search", 12)
        );
    }

    #[test]
    fn what_the_grammar_does_not_allow_is_refused_with_its_reason() {
        for bad in [
            "",
            "urn",
            "urn:Kinetic:actionspace:solver:redact:v1",
            "urn:kinetic:actionspace:magic:redact:v1",
            "urn:kinetic:actionspace:solver:re-dact:v1",
            "urn:kinetic:actionspace:solver:redact:1",
            "urn:kinetic:actionspace:solver:redact:v",
            "urn:kinetic:actionspace:solver:redact:v01",
            "urn:kinetic:actionspace:solver:redact:v1:x",
            "urn:kinetic:actionspace:solver::v1",
            "urn:kinetic:actionspace:solver:redact:v99999999999999999999",
            "urn:kinetic:actionspace:solver:redact:v1\n",
        ] {
            assert!(bad.parse::<Urn>().is_err(), "{bad}");
        }
        assert!(
            format!("urn:{}:actionspace:solver:x:v1", "a".repeat(300))
                .parse::<Urn>()
                .is_err()
        );
    }

    #[test]
    fn a_reference_pins_a_version_or_a_digest() {
        let digest = Digest::of(b"x");
        assert_eq!(REDACT.parse::<CapsuleRef>().unwrap().pin, Pin::Active);
        let version = format!("{REDACT}@1.4.2").parse::<CapsuleRef>().unwrap();
        assert_eq!(version.pin, Pin::Version(semver::Version::new(1, 4, 2)));
        let pinned = format!("{REDACT}@{digest}").parse::<CapsuleRef>().unwrap();
        assert_eq!(pinned.pin, Pin::Digest(digest));
        assert_eq!(pinned.to_string().parse::<CapsuleRef>().unwrap(), pinned);
    }

    #[test]
    fn a_pin_of_another_major_is_refused() {
        assert!(matches!(
            format!("{REDACT}@2.0.0").parse::<CapsuleRef>(),
            Err(ModelError::MajorMismatch { .. })
        ));
        assert!(matches!(
            format!("{REDACT}@latest").parse::<CapsuleRef>(),
            Err(ModelError::BadPin { .. })
        ));
    }
}
