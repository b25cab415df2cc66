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
    /// Where its source lies, in one of them: the repository that is named, with or without `.git`, or what is below it by
    /// a `/`, `@`, `#` or `?`. Empty: any, or none.
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
        if !self.sources.is_empty() && !self.sources.iter().any(|place| is_within(&source, place)) {
            return Err(KernelError::SourceForbidden { what, source });
        }
        if self.level == ProvenanceLevel::Complete && folder.is_none() {
            return Err(KernelError::FolderUnattested { what });
        }
        Ok(folder)
    }
}

/// Whether a source lies where an operator said: what is named ends where a part of the source does, so that nobody gets
/// in by a name that only begins like it.
fn is_within(source: &str, place: &str) -> bool {
    let Some(rest) = source.strip_prefix(place) else {
        return false;
    };
    // Whoever fetches it takes these parts out, and comes out elsewhere.
    let leads_up = |part: &str| part.to_ascii_lowercase().replace("%2e", ".") == "..";
    if rest.split(['/', '\\']).any(leads_up) {
        return false;
    }
    if place.ends_with('/') || rest.is_empty() || rest.starts_with(['/', '#', '?']) {
        return true;
    }
    // Behind a host alone they would make another host of it: https://host@other, https://host.git.
    let has_path = place.split_once("://").is_none_or(|(_, place)| place.contains('/'));
    let ends = |rest: &str| rest.is_empty() || rest.starts_with(['/', '@', '#', '?']);
    has_path && (ends(rest) || rest.strip_prefix(".git").is_some_and(ends))
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

    #[test]
    fn a_source_is_within_a_place_where_one_of_its_parts_ends() {
        let place = "git+https://example.com/acme";
        for (rest, good) in [
            ("", true),
            ("/echo", true),
            ("/echo.git@v1", true),
            (".git", true),
            (".git@0123", true),
            (".git#main", true),
            ("@v1", true),
            ("#main", true),
            ("?ref=main", true),
            ("-evil", false),
            ("-evil/echo", false),
            (".evil", false),
            (".github", false),
            (".git.evil.example", false),
            (":8443/echo", false),
            ("%2fecho", false),
            ("/..echo", true),
            ("/../evil", false),
            ("/echo/%2E./%2e%2e/evil", false),
        ] {
            assert_eq!(is_within(&format!("{place}{rest}"), place), good, "{rest}");
        }
        // A host by itself is whole as well, and nobody is within nothing.
        let host = "git+https://example.com";
        assert!(is_within("git+https://example.com/acme", host));
        for other in [".evil/acme", ".git/acme", "@evil.example/acme", ":8443/acme"] {
            assert!(!is_within(&format!("{host}{other}"), host), "{other}");
        }
        assert!(is_within("git+https://example.com/acme", "git+https://example.com/"));
        assert!(!is_within("git+https://example.com", "git+https://example.com/"));
        assert!(!is_within(
            "git+https://example.com/../evil",
            "git+https://example.com/"
        ));
        assert!(!is_within("git+https://example.com/acme", ""));
    }
}
