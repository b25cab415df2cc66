//! What a receipt says about how a capsule was built, in a form that policies can judge: who built it, from where.

use kinetic_model::Digest;
use serde_json::Value;

use crate::IdentityError;
use crate::statement::Statement;

/// The longest URI of a builder or a source, in bytes.
const URI_BYTES_MAX: usize = 2_048;

/// The digest over the author's capsule folder, as [`crate::framed_digest`] makes it of all the files.
///
/// Two files are always among them, component.wasm and manifest.json; so whoever has these checks the digest where there are
/// just two, and else whoever has the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FolderDigest {
    /// SHA-256 over the framed files.
    pub digest: Digest,
    /// How many files there are: 2 or more.
    pub files: u64,
}

impl FolderDigest {
    /// The domain of the framed digest.
    pub const DOMAIN: &'static str = "kinetic/capsule/v1";
    /// The files that are always among those of a capsule.
    pub const ALWAYS: u64 = 2;

    /// That of a folder with nothing in it but these two.
    pub fn of_two(manifest: &[u8], component: &[u8]) -> Self {
        let files = [("component.wasm", component), ("manifest.json", manifest)];
        Self {
            // Two files of two names always have a digest.
            digest: crate::framed_digest(Self::DOMAIN, &files).unwrap_or(Digest::EMPTY),
            files: Self::ALWAYS,
        }
    }

    /// Compares it with what is here, where all of its files are: with component.wasm and manifest.json at hand, when there
    /// are no others.
    ///
    /// # Errors
    /// [`IdentityError::FolderMismatch`].
    pub fn fits_two(&self, manifest: &[u8], component: &[u8]) -> Result<(), IdentityError> {
        if self.files == Self::ALWAYS {
            self.is(&Self::of_two(manifest, component))
        } else {
            Ok(())
        }
    }

    /// Compares it with that of the folder that is here.
    ///
    /// # Errors
    /// [`IdentityError::FolderMismatch`].
    pub fn is(&self, found: &Self) -> Result<(), IdentityError> {
        if self == found {
            return Ok(());
        }
        Err(IdentityError::FolderMismatch {
            attested: self.to_string(),
            found: found.to_string(),
        })
    }
}

impl std::fmt::Display for FolderDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} over {} files", self.digest, self.files)
    }
}

/// The provenance of a receipt. It is worth as much as who signed it: see [`crate::Receipt::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// Who built it, as a URI.
    pub builder: String,
    /// Where its source is from, as a URI, if the receipt says.
    pub source: Option<String>,
}

impl Statement {
    /// Its provenance, when it is whole: as SLSA has it, a builder with a URI, and nothing in it that is no dependency or no
    /// time.
    pub(crate) fn provenance(&self) -> Result<Provenance, IdentityError> {
        let malformed = |why: &str| IdentityError::ProvenanceMalformed { why: why.into() };
        let (definition, run) = (&self.predicate.build_definition, &self.predicate.run_details);
        if !is_uri(&run.builder.id) {
            return Err(malformed("it names no builder by a URI"));
        }
        let source = definition.external_parameters.source.as_ref();
        if source.is_some_and(|source| !is_uri(&source.uri)) {
            return Err(malformed("its source is no URI"));
        }
        if !definition.resolved_dependencies.iter().all(is_dependency) {
            return Err(malformed("a dependency has neither URI nor digest"));
        }
        let times = [&run.metadata.started_on, &run.metadata.finished_on];
        if !times.into_iter().flatten().all(|time| is_time(time)) {
            return Err(malformed("a time is not of RFC 3339"));
        }
        Ok(Provenance {
            builder: run.builder.id.clone(),
            source: source.map(|source| source.uri.clone()),
        })
    }
}

/// A scheme, a colon, and something behind it without spaces (RFC 3986).
fn is_uri(text: &str) -> bool {
    let scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    };
    let plain = |rest: &str| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic());
    text.len() <= URI_BYTES_MAX
        && text
            .split_once(':')
            .is_some_and(|(before, rest)| scheme(before) && plain(rest))
}

/// A resource descriptor of in-toto has one of three.
fn is_dependency(value: &Value) -> bool {
    let text = |name: &str| {
        value
            .get(name)
            .and_then(Value::as_str)
            .is_some_and(|text| !text.is_empty())
    };
    let digests = value.get("digest").and_then(Value::as_object);
    let digest = digests.is_some_and(|digests| !digests.is_empty() && digests.values().all(Value::is_string));
    text("uri") || text("content") || digest
}

/// `2026-01-31T12:00:00Z`, with parts of a second or an offset.
fn is_time(text: &str) -> bool {
    let shape = b"0000-00-00T00:00:00";
    let Some((time, rest)) = text.as_bytes().split_at_checked(shape.len()) else {
        return false;
    };
    let fits = |(found, wanted): (&u8, &u8)| match wanted {
        b'0' => found.is_ascii_digit(),
        other => found == other,
    };
    let zone = rest.iter().position(|b| !b.is_ascii_digit() && *b != b'.');
    let zone = zone.and_then(|at| rest.get(at..)).unwrap_or_default();
    let offset = |zone: &[u8]| match zone {
        [b'+' | b'-', a, b, b':', c, d] => [a, b, c, d].into_iter().all(u8::is_ascii_digit),
        _ => false,
    };
    time.iter().zip(shape).all(fits) && (zone == b"Z" || offset(zone))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_have_a_scheme_and_no_spaces() {
        for good in [
            "https://example.com/b",
            "urn:kinetic:builder:cli",
            "git+https://e.org/r.git",
        ] {
            assert!(is_uri(good), "{good}");
        }
        for bad in [
            "",
            "kinetic",
            "https:",
            ":x",
            "1a:b",
            "a b:c",
            "https://e.org/a b",
            "https://e.org/\n",
        ] {
            assert!(!is_uri(bad), "{bad}");
        }
        assert!(!is_uri(&format!("a:{}", "b".repeat(URI_BYTES_MAX))));
    }

    #[test]
    fn times_are_those_of_rfc_3339() {
        for good in [
            "2026-01-31T12:00:00Z",
            "2026-01-31T12:00:00.123Z",
            "2026-01-31T12:00:00+02:00",
        ] {
            assert!(is_time(good), "{good}");
        }
        for bad in [
            "",
            "yesterday",
            "2026-01-31",
            "2026-01-31T12:00:00",
            "2026-01-31 12:00:00Z",
            "2026-01-31T12:00:00Zulu",
        ] {
            assert!(!is_time(bad), "{bad}");
        }
    }

    #[test]
    fn the_digest_of_a_folder_is_compared_where_nothing_but_the_two_files_is_in_it() {
        let two = FolderDigest::of_two(b"manifest", b"component");
        two.fits_two(b"manifest", b"component").unwrap();
        for (manifest, component) in [(&b"manifest"[..], &b"another"[..]), (b"another", b"component")] {
            assert!(matches!(
                two.fits_two(manifest, component),
                Err(IdentityError::FolderMismatch { .. })
            ));
        }
        let more = FolderDigest { files: 3, ..two };
        more.fits_two(b"manifest", b"another").unwrap();
        assert!(more.is(&two).is_err());
    }
}
