//! The operator's rule of provenance: what a receipt has to say about a build before the capsule is admitted.
//!
//! It is judged behind the signatures: what a receipt says counts because a trusted key signed it, and for no other reason.

use kinetic_identity::{FolderDigest, IdentityError, Receipt};
use kinetic_model::Urn;
use serde::Serialize;

use crate::KernelError;

/// How much a receipt has to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProvenanceLevel {
    /// What it has to for its subjects. The default.
    #[default]
    Any,
    /// SLSA provenance that is well formed: a builder with a URI, and dependencies and times that are such.
    Required,
    /// That, and the digest over the whole capsule folder.
    Complete,
}

/// What the operator asks of every receipt. The default asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ProvenancePolicy {
    /// How much it says.
    pub level: ProvenanceLevel,
    /// The ids of builders, of which it names one. Empty: any.
    pub builders: Vec<String>,
    /// What the URI of its source begins with, one of them. Empty: any, or none.
    pub sources: Vec<String>,
}

impl ProvenancePolicy {
    /// Whether a receipt of trusted keys says enough; gives the digest over the capsule folder that it names.
    ///
    /// # Errors
    /// `ProvenanceMissing`, `BuilderForbidden`, `SourceForbidden`, `FolderUnattested`.
    pub fn check(&self, urn: &Urn, receipt: &Receipt) -> Result<Option<FolderDigest>, KernelError> {
        let what = urn.to_string();
        let missing = |error: IdentityError| KernelError::ProvenanceMissing {
            what: what.clone(),
            why: error.to_string(),
        };
        let folder = receipt.folder().map_err(missing)?;
        if *self == Self::default() {
            return Ok(folder);
        }
        let provenance = receipt.provenance().map_err(missing)?;
        if !self.builders.is_empty() && !self.builders.contains(&provenance.builder) {
            let builder = provenance.builder;
            return Err(KernelError::BuilderForbidden { what, builder });
        }
        let source = provenance.source.unwrap_or_else(|| "nowhere it names".into());
        if !self.sources.is_empty() && !self.sources.iter().any(|start| source.starts_with(start)) {
            return Err(KernelError::SourceForbidden { what, source });
        }
        if self.level == ProvenanceLevel::Complete && folder.is_none() {
            return Err(KernelError::FolderUnattested { what });
        }
        Ok(folder)
    }
}

#[cfg(test)]
mod tests {
    use kinetic_identity::{BuildInfo, BuildSubject, Checkout, SigningKey};
    use kinetic_model::Digest;

    use super::*;

    const BUILDER: &str = "https://example.com/builder";

    fn receipt(info: &BuildInfo) -> Receipt {
        let subject = BuildSubject {
            urn: urn(),
            version: semver::Version::new(1, 0, 0),
            component: Digest::of(b"component"),
            component_bytes: 9,
            manifest: Digest::of(b"manifest"),
        };
        Receipt::sign(&subject, info, &SigningKey::generate().unwrap()).unwrap()
    }

    fn urn() -> Urn {
        "urn:acme:actionspace:solver:echo:v1".parse().unwrap()
    }

    fn whole() -> BuildInfo {
        BuildInfo {
            builder_id: BUILDER.into(),
            checkout: Some(Checkout {
                uri: Some("git+https://example.com/acme/echo.git".into()),
                commit: "0".repeat(40),
                dirty: false,
            }),
            folder: Some(FolderDigest::of_two(b"manifest", b"component")),
            ..BuildInfo::default()
        }
    }

    fn policy(level: ProvenanceLevel, builders: &[&str], sources: &[&str]) -> ProvenancePolicy {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_string()).collect();
        ProvenancePolicy {
            level,
            builders: owned(builders),
            sources: owned(sources),
        }
    }

    #[test]
    fn without_a_rule_a_receipt_that_says_nothing_is_enough() {
        let any = ProvenancePolicy::default();
        assert_eq!(any.check(&urn(), &receipt(&BuildInfo::default())).unwrap(), None);
        assert_eq!(any.check(&urn(), &receipt(&whole())).unwrap(), whole().folder);
    }

    #[test]
    fn a_receipt_without_a_builder_is_refused_where_provenance_is_required() {
        let required = policy(ProvenanceLevel::Required, &[], &[]);
        for builder in ["", "somebody"] {
            let info = BuildInfo {
                builder_id: builder.into(),
                ..whole()
            };
            let refused = required.check(&urn(), &receipt(&info));
            assert!(
                matches!(refused, Err(KernelError::ProvenanceMissing { .. })),
                "{refused:?}"
            );
        }
        let info = BuildInfo {
            folder: None,
            ..whole()
        };
        assert_eq!(required.check(&urn(), &receipt(&info)).unwrap(), None);
    }

    #[test]
    fn a_complete_one_names_the_digest_of_the_folder() {
        let complete = policy(ProvenanceLevel::Complete, &[], &[]);
        assert!(complete.check(&urn(), &receipt(&whole())).is_ok());
        let info = BuildInfo {
            folder: None,
            ..whole()
        };
        let refused = complete.check(&urn(), &receipt(&info));
        assert!(
            matches!(refused, Err(KernelError::FolderUnattested { .. })),
            "{refused:?}"
        );
    }

    #[test]
    fn only_the_builders_that_are_listed_count_and_each_whole() {
        for (builders, good) in [
            (&[BUILDER][..], true),
            (&["https://example.com/other", BUILDER], true),
            (&["https://example.com/"], false),
        ] {
            let found = policy(ProvenanceLevel::Any, builders, &[]).check(&urn(), &receipt(&whole()));
            assert_eq!(found.is_ok(), good, "{builders:?}: {found:?}");
        }
    }

    #[test]
    fn a_source_begins_as_one_that_is_listed_and_has_to_be_named() {
        let acme = policy(ProvenanceLevel::Any, &[], &["git+https://example.com/acme/"]);
        assert!(acme.check(&urn(), &receipt(&whole())).is_ok());
        let elsewhere = policy(ProvenanceLevel::Any, &[], &["git+https://example.com/other/"]);
        let unnamed = BuildInfo {
            checkout: None,
            ..whole()
        };
        for (policy, info) in [(elsewhere, whole()), (acme, unnamed)] {
            let refused = policy.check(&urn(), &receipt(&info));
            assert!(
                matches!(refused, Err(KernelError::SourceForbidden { .. })),
                "{refused:?}"
            );
        }
    }
}
