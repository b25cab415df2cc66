//! Promotions in a registry: what is asked and answered, where one lies, who accepts one, and that none is ever replaced.
//!
//! A registry of any make needs [`accept_promotion`] on the way in, [`promotion_path`] for where its bytes go, and
//! [`same_promotion`] for what lies there already.

mod http;

use kinetic_identity::{Promotion, Signers, TrustRoot};
use kinetic_model::{CapsuleRef, Digest, Fault, Pin, Urn};
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::RegistryError;

/// What a registry says it keeps: `POST /api/v1/registry/promotions/publish` with `{"promotion": <DSSE envelope>}` answers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promoted {
    /// The permanent URN.
    pub urn: Urn,
    /// Its version.
    pub version: Version,
    /// SHA-256 of the topology document.
    pub digest: Digest,
}

impl Promoted {
    /// What is said of a promotion.
    pub fn of(promotion: &Promotion) -> Self {
        Self {
            urn: promotion.urn().clone(),
            version: promotion.version().clone(),
            digest: promotion.digest(),
        }
    }
}

/// A promotion that may be kept.
#[derive(Clone, Debug)]
pub struct AcceptedPromotion {
    /// What it says.
    pub promotion: Promotion,
    /// The keys that count.
    pub signers: Signers,
    /// Where it is kept, below a registry's root: [`promotion_path`].
    pub path: String,
    /// What is kept there: the envelope as JSON.
    pub bytes: Vec<u8>,
}

/// Reads an envelope that somebody publishes, and checks that enough keys trusted for its URN's namespace signed it.
///
/// # Errors
/// Those of [`Promotion::from_value`] and [`Promotion::verify`], with their own codes.
pub fn accept_promotion(envelope: &Value, root: &TrustRoot) -> Result<AcceptedPromotion, Fault> {
    let promotion = Promotion::from_value(envelope).map_err(|error| Fault::from(&error))?;
    let signers = promotion.verify(root).map_err(|error| Fault::from(&error))?;
    Ok(AcceptedPromotion {
        signers,
        path: promotion_path(promotion.urn(), promotion.version()),
        bytes: promotion.to_json(),
        promotion,
    })
}

/// Where the promotion of a version lies: `promotions/<namespace>/<class>/<name>/v<N>/<version>.json`. Each part is of a
/// checked grammar, so none leads elsewhere.
pub fn promotion_path(urn: &Urn, version: &Version) -> String {
    format!("{}/{version}.json", versions_path(urn))
}

/// The folder of all versions of a URN.
pub(crate) fn versions_path(urn: &Urn) -> String {
    let class = urn.as_str().split(':').nth(3).unwrap_or_default();
    format!("promotions/{}/{class}/{}/v{}", urn.namespace(), urn.name(), urn.major())
}

/// Passes when what is kept already is the same: the same topology under the same URN and version, whoever signed it and
/// from whatever events it was made. It stays as it is then.
///
/// # Errors
/// [`RegistryError::PromotionTaken`] when it is another; [`RegistryError::BadPromotion`] when it is none.
pub fn same_promotion(origin: &str, there: &[u8], promotion: &Promotion) -> Result<(), RegistryError> {
    let what = reference(promotion);
    agree(origin, &kept(origin, &what, there)?, promotion)
}

/// As [`same_promotion`], of one that was read.
pub(crate) fn agree(origin: &str, there: &Promotion, promotion: &Promotion) -> Result<(), RegistryError> {
    if there.digest() == promotion.digest() {
        return Ok(());
    }
    Err(taken(origin, promotion, &there.digest().to_string()))
}

/// The error of a name that something else has.
pub(crate) fn taken(origin: &str, promotion: &Promotion, by: &str) -> RegistryError {
    RegistryError::PromotionTaken {
        what: reference(promotion).to_string(),
        origin: origin.into(),
        there: by.into(),
        digest: promotion.digest().to_string(),
    }
}

/// The name of a promotion.
pub(crate) fn reference(promotion: &Promotion) -> CapsuleRef {
    CapsuleRef {
        urn: promotion.urn().clone(),
        pin: Pin::Version(promotion.version().clone()),
    }
}

/// What is kept under a name; it must be what the name says.
pub(crate) fn kept(origin: &str, what: &CapsuleRef, bytes: &[u8]) -> Result<Promotion, RegistryError> {
    let bad = |why: String| RegistryError::BadPromotion {
        origin: origin.into(),
        what: what.to_string(),
        why: why.trim_end_matches('.').into(),
    };
    let promotion = Promotion::from_json(bytes).map_err(|error| bad(error.to_string()))?;
    if answers(&promotion, what) {
        Ok(promotion)
    } else {
        Err(bad(format!("it is {}", reference(&promotion))))
    }
}

/// Whether this is what a reference means; any version is an answer to one without a pin.
pub(crate) fn answers(promotion: &Promotion, asked: &CapsuleRef) -> bool {
    *promotion.urn() == asked.urn
        && match &asked.pin {
            Pin::Active => true,
            Pin::Version(version) => promotion.version() == version,
            Pin::Digest(digest) => promotion.digest() == *digest,
        }
}

/// The version that a URN without a pin means: the highest that is no pre-release, or the highest there is.
pub(crate) fn newest(versions: impl IntoIterator<Item = Version>) -> Option<Version> {
    versions
        .into_iter()
        .max_by(|a, b| (a.pre.is_empty(), a).cmp(&(b.pre.is_empty(), b)))
}

pub(crate) fn not_found(origin: &str, what: &CapsuleRef) -> RegistryError {
    RegistryError::NotFound {
        what: format!("promotion {what}"),
        origin: origin.into(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use kinetic_identity::SigningKey;
    use serde_json::json;

    use super::*;

    pub(crate) const URN: &str = "urn:acme:actionspace:node:planner:v1";

    /// A promotion of a topology with that number in it.
    pub(crate) fn promotion(version: &str, number: u64, key: &SigningKey) -> Promotion {
        kinetic_samples::promotion(URN, version, number, key)
    }

    #[test]
    fn what_is_accepted_says_where_it_goes_and_strangers_are_refused_with_their_own_code() {
        let key = SigningKey::generate().unwrap();
        let promotion = promotion("1.2.0", 1, &key);
        let mut root = TrustRoot::default();
        let refused = accept_promotion(&promotion.to_value(), &root).unwrap_err();
        assert_eq!(refused.code, "KIN-IDN-0024");
        root.add("acme", key.public(), "").unwrap();
        let accepted = accept_promotion(&promotion.to_value(), &root).unwrap();
        assert_eq!(accepted.path, "promotions/acme/node/planner/v1/1.2.0.json");
        assert_eq!(accepted.signers.to_string(), key.public().id().to_string());
        assert_eq!(kept("o", &reference(&promotion), &accepted.bytes).unwrap(), promotion);
        let refused = accept_promotion(&json!({}), &root).unwrap_err();
        assert_eq!(refused.code, "KIN-IDN-0065");
    }

    #[test]
    fn the_same_topology_is_the_same_whoever_signed_it_and_another_one_is_a_conflict() {
        let keys = [SigningKey::generate().unwrap(), SigningKey::generate().unwrap()];
        let there = promotion("1.0.0", 1, &keys[0]).to_json();
        same_promotion("o", &there, &promotion("1.0.0", 1, &keys[1])).unwrap();
        let other = same_promotion("o", &there, &promotion("1.0.0", 2, &keys[0]));
        assert!(matches!(other, Err(RegistryError::PromotionTaken { .. })));
        for bad in [
            same_promotion("o", &there, &promotion("1.1.0", 1, &keys[0])),
            same_promotion("o", b"{", &promotion("1.0.0", 1, &keys[0])),
        ] {
            assert!(matches!(bad, Err(RegistryError::BadPromotion { .. })));
        }
    }

    #[test]
    fn without_a_pin_the_highest_version_is_meant_that_is_no_pre_release() {
        let of = |versions: &[&str]| {
            let versions = versions.iter().map(|version| version.parse().unwrap());
            newest(versions).map(|version: Version| version.to_string())
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["1.9.0", "1.10.0", "1.11.0-rc.1"]).unwrap(), "1.10.0");
        assert_eq!(of(&["1.0.0-rc.1", "1.0.0-rc.2"]).unwrap(), "1.0.0-rc.2");
    }
}
