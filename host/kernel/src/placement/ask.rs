//! What a capsule asks of the node it runs on.

use kinetic_model::{Digest, GovernanceTier, TrustZone};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest label, in bytes.
const LABEL_BYTES_MAX: usize = 64;

/// The kind of processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Architecture {
    /// 64-bit x86.
    #[serde(rename = "x86_64")]
    X86_64,
    /// 64-bit ARM.
    #[serde(rename = "aarch64")]
    Aarch64,
}

impl Architecture {
    /// That of this program; none when it is one the host is not tested on.
    pub const fn here() -> Option<Self> {
        if cfg!(target_arch = "x86_64") {
            Some(Self::X86_64)
        } else if cfg!(target_arch = "aarch64") {
            Some(Self::Aarch64)
        } else {
            None
        }
    }

    /// The word used in manifests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }
}

/// What a manifest says of the node its capsule may run on. Left out, any node will do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PlacementAsk {
    /// It needs a node with a GPU.
    #[serde(skip_serializing_if = "is_false")]
    pub gpu: bool,
    /// The only kind of processor it runs on; left out, any: a component is compiled where it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arch: Option<Architecture>,
    /// Labels its node must have, such as where its data has to stay: "region=eu".
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Labels its node should have: the more of them, the better.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub near: Vec<String>,
}

impl PlacementAsk {
    /// Whether any node will do.
    pub(crate) fn is_anything(&self) -> bool {
        *self == Self::default()
    }

    /// The first label that is none, and why.
    pub(crate) fn fault(&self) -> Option<(&'static str, String)> {
        let lists = [("placement.labels", &self.labels), ("placement.near", &self.near)];
        lists.into_iter().find_map(|(path, labels)| {
            let fault = labels.iter().find_map(|label| label_fault(label))?;
            Some((path, fault))
        })
    }
}

/// Why a text is no label of nodes, if it is none.
pub fn label_fault(label: &str) -> Option<String> {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-=/".contains(&byte);
    let fits = (1..=LABEL_BYTES_MAX).contains(&label.len()) && label.bytes().all(good);
    (!fits).then(|| {
        let shown: String = label.chars().take(LABEL_BYTES_MAX).collect();
        format!("the label \"{shown}\" is not 1 to {LABEL_BYTES_MAX} of a-z, 0-9 and . _ - = /")
    })
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// A capsule, as placement sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wants<'a> {
    /// SHA-256 of its component.
    pub(crate) digest: Digest,
    pub(crate) zone: TrustZone,
    pub(crate) tier: GovernanceTier,
    /// Whose it is; none for the host's own.
    pub(crate) tenant: Option<&'a str>,
    /// The most memory a call of it takes, in bytes.
    pub(crate) memory_bytes: u64,
    pub(crate) ask: &'a PlacementAsk,
}
