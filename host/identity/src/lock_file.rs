//! A lock file: which bytes a URN stands for, as they were when somebody looked.

use std::collections::BTreeMap;

use kinetic_model::{Digest, Urn};
use semver::Version;
use serde::{Deserialize, Serialize};

use crate::error::{sentence, shorten};
use crate::{IdentityError, strict_json};

/// The largest lock file read, in bytes.
pub const LOCK_BYTES_MAX: usize = 8_388_608;
/// URNs one lock file may hold.
pub const LOCK_ENTRIES_MAX: usize = 10_000;
/// `{capsules: {urn: {member}}}` nests three deep.
const DEPTH_MAX: usize = 3;
/// The form that is written and read.
const FORM: u64 = 1;

/// What a URN stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockEntry {
    /// SHA-256 of the component.
    pub component: Digest,
    /// SHA-256 of the exact text of manifest.json.
    pub manifest: Digest,
    /// The version of the namespace's root document, where there was one. For people; nothing is refused by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_version: Option<u64>,
    /// The version.
    pub version: Version,
}

/// URNs and what they stand for, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockFile {
    capsules: BTreeMap<Urn, LockEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    capsules: BTreeMap<Urn, LockEntry>,
    form: u64,
}

impl LockFile {
    /// Reads a lock file; spaces and order do not matter, so that people and merges may touch it.
    ///
    /// # Errors
    /// [`IdentityError::LockMalformed`] for too many bytes or entries, members named twice or unknown, and versions that
    /// are not of their URN's major.
    pub fn from_json(bytes: &[u8]) -> Result<Self, IdentityError> {
        let malformed = |why: String| IdentityError::LockMalformed { why };
        if bytes.len() > LOCK_BYTES_MAX {
            return Err(malformed(format!("it has more than {LOCK_BYTES_MAX} bytes")));
        }
        let value = strict_json::parse(bytes, DEPTH_MAX).map_err(|error| malformed(sentence(&error)))?;
        let Form { capsules, form } = serde_json::from_value(value).map_err(|e| malformed(shorten(&e.to_string())))?;
        if form != FORM {
            return Err(malformed(format!("it is of form {form}, not {FORM}")));
        }
        let mut lock = Self::default();
        for (urn, entry) in capsules {
            lock.put(urn, entry)?;
        }
        Ok(lock)
    }

    /// It as JSON for people: the same bytes for the same entries.
    pub fn to_json(&self) -> String {
        let form = Form {
            capsules: self.capsules.clone(),
            form: FORM,
        };
        // Texts and numbers can always be written.
        let mut text = serde_json::to_string_pretty(&form).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Says what a URN stands for, in the place of what it stood for.
    ///
    /// # Errors
    /// [`IdentityError::LockMalformed`] for a version of another major, and beyond [`LOCK_ENTRIES_MAX`].
    pub fn put(&mut self, urn: Urn, entry: LockEntry) -> Result<(), IdentityError> {
        let malformed = |why: String| Err(IdentityError::LockMalformed { why });
        if entry.version.major != urn.major() {
            return malformed(format!("{urn} cannot be {}", entry.version));
        }
        if self.capsules.len() >= LOCK_ENTRIES_MAX && !self.capsules.contains_key(&urn) {
            return malformed(format!("it holds more than {LOCK_ENTRIES_MAX} URNs"));
        }
        self.capsules.insert(urn, entry);
        Ok(())
    }

    /// Every URN with what it stands for, sorted.
    pub fn entries(&self) -> impl Iterator<Item = (&Urn, &LockEntry)> {
        self.capsules.iter()
    }

    /// What a URN stands for; none for one that it does not hold.
    pub fn get(&self, urn: &Urn) -> Option<&LockEntry> {
        self.capsules.get(urn)
    }

    /// Whether these are the bytes that a URN stands for.
    ///
    /// # Errors
    /// [`IdentityError::NotLocked`].
    pub fn check(
        &self,
        urn: &Urn,
        version: &Version,
        component: &Digest,
        manifest: &Digest,
    ) -> Result<(), IdentityError> {
        let refused = |why: String| {
            Err(IdentityError::NotLocked {
                what: format!("{urn}@{version}"),
                why,
            })
        };
        let Some(locked) = self.capsules.get(urn) else {
            return refused("it holds nothing of that URN".into());
        };
        if locked.version != *version {
            return refused(format!("it holds version {}", locked.version));
        }
        for (part, expected, found) in [
            ("component", &locked.component, component),
            ("manifest", &locked.manifest, manifest),
        ] {
            if expected != found {
                return refused(format!("its {part} is {expected}, what is here is {found}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn urn(name: &str) -> Urn {
        format!("urn:acme:actionspace:solver:{name}:v1").parse().unwrap()
    }

    fn entry(minor: u64) -> LockEntry {
        LockEntry {
            component: Digest::of(b"component"),
            manifest: Digest::of(b"manifest"),
            root_version: minor.is_multiple_of(2).then_some(minor),
            version: Version::new(1, minor, 0),
        }
    }

    fn sample() -> LockFile {
        let mut lock = LockFile::default();
        for (name, minor) in [("b", 1), ("a", 2), ("a_b", 3)] {
            lock.put(urn(name), entry(minor)).unwrap();
        }
        lock
    }

    #[test]
    fn a_lock_file_is_sorted_and_reads_back_what_it_writes() {
        let text = sample().to_json();
        assert_eq!(LockFile::from_json(text.as_bytes()).unwrap(), sample());
        let names: Vec<_> = sample().entries().map(|(urn, _)| urn.name().to_string()).collect();
        assert_eq!(names, ["a", "a_b", "b"]);
        assert!(
            text.starts_with("{\n  \"capsules\": {\n    \"urn:acme:actionspace:solver:a:v1\": {\n      \"component\"")
        );
        assert!(text.ends_with("  \"form\": 1\n}\n"), "{text}");
    }

    #[test]
    fn only_the_locked_bytes_pass() {
        let lock = sample();
        let (version, component, manifest) = (Version::new(1, 1, 0), Digest::of(b"component"), Digest::of(b"manifest"));
        let other = Digest::of(b"other");
        assert_eq!(lock.get(&urn("b")).map(|entry| &entry.version), Some(&version));
        assert_eq!(lock.get(&urn("c")), None);
        lock.check(&urn("b"), &version, &component, &manifest).unwrap();
        for refused in [
            lock.check(&urn("c"), &version, &component, &manifest),
            lock.check(&urn("b"), &Version::new(1, 1, 1), &component, &manifest),
            lock.check(&urn("b"), &version, &other, &manifest),
            lock.check(&urn("b"), &version, &component, &other),
            LockFile::default().check(&urn("b"), &version, &component, &manifest),
        ] {
            assert!(matches!(refused, Err(IdentityError::NotLocked { .. })), "{refused:?}");
        }
    }

    #[test]
    fn a_malformed_lock_file_is_refused_and_not_read_as_empty() {
        let good = sample().to_json();
        for bad in [
            String::new(),
            "{}".into(),
            "[".repeat(100_000),
            good.replace("\"form\": 1", "\"form\": 2"),
            good.replace("\"form\": 1", "\"form\": 1, \"more\": 1"),
            good.replace("\"form\": 1", "\"form\": 1, \"form\": 1"),
            good.replace("solver:a:v1", "solver:b:v1"),
            good.replace("\"1.1.0\"", "\"2.1.0\""),
            good.replace("\"1.1.0\"", "\"latest\""),
            good.replace("sha256:", "sha512:"),
            format!("{good}{}", " ".repeat(LOCK_BYTES_MAX)),
        ] {
            let refused = LockFile::from_json(bad.as_bytes());
            assert!(
                matches!(refused, Err(IdentityError::LockMalformed { .. })),
                "{refused:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = LockFile::from_json(&bytes);
        }

        #[test]
        fn the_same_entries_give_the_same_bytes_in_whatever_order_they_came(order in Just(vec![0, 1, 2, 3, 4]).prop_shuffle()) {
            let mut lock = LockFile::default();
            for at in order {
                lock.put(urn(&format!("n{at}")), entry(at)).unwrap();
            }
            let mut sorted = LockFile::default();
            for at in 0..5 {
                sorted.put(urn(&format!("n{at}")), entry(at)).unwrap();
            }
            prop_assert_eq!(lock.to_json(), sorted.to_json());
        }
    }
}
