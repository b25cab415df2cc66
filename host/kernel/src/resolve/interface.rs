//! An interface with its version, and which version stands in for which.

use std::fmt;

use semver::Version;

/// An interface as manifests write it: `namespace:package/interface@version`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interface {
    /// `namespace:package/interface`, or `namespace:package` for what a world exports itself.
    pub name: String,
    /// Its version.
    pub version: Version,
}

impl Interface {
    /// Reads a name with a version; none when there is no semantic version behind an `@`.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, version) = text.split_once('@')?;
        Some(Self {
            name: name.to_string(),
            version: Version::parse(version).ok()?,
        })
    }

    /// Whether this one can be given where `required` is asked for: the same name, and the same version or a later one
    /// of the same line. A line is a major; below 1.0.0 a minor; below 0.1.0, and for pre-releases, the version alone.
    /// That is the rule by which the engine links components.
    pub fn meets(&self, required: &Self) -> bool {
        let (has, asked) = (&self.version, &required.version);
        if self.name != required.name {
            return false;
        }
        if !has.pre.is_empty() || !asked.pre.is_empty() || (asked.major, asked.minor) == (0, 0) {
            return has.cmp_precedence(asked).is_eq();
        }
        let same_line = has.major == asked.major && (asked.major > 0 || has.minor == asked.minor);
        same_line && has.cmp_precedence(asked).is_ge()
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meets(has: &str, asked: &str) -> bool {
        let interface = |version: &str| Interface::parse(&format!("acme:db/query@{version}")).unwrap();
        interface(has).meets(&interface(asked))
    }

    #[test]
    fn a_later_version_of_the_same_line_stands_in_and_no_other_does() {
        for (has, asked) in [
            ("1.2.0", "1.2.0"),
            ("1.9.3", "1.2.0"),
            ("0.3.4", "0.3.1"),
            ("0.0.2", "0.0.2"),
        ] {
            assert!(meets(has, asked), "{has} for {asked}");
        }
        for (has, asked) in [
            ("1.1.9", "1.2.0"),
            ("2.0.0", "1.2.0"),
            ("0.4.0", "0.3.1"),
            ("1.0.0", "0.3.1"),
            ("0.0.3", "0.0.2"),
        ] {
            assert!(!meets(has, asked), "{has} for {asked}");
        }
    }

    #[test]
    fn a_pre_release_stands_in_for_itself_alone() {
        assert!(meets("1.0.0-rc.1", "1.0.0-rc.1"));
        assert!(!meets("1.0.0-rc.2", "1.0.0-rc.1"));
        assert!(!meets("1.1.0-rc.1", "1.0.0"));
        assert!(!meets("1.0.0", "1.0.0-rc.1"));
    }

    #[test]
    fn another_name_never_meets_and_a_name_without_a_version_is_none() {
        let query = Interface::parse("acme:db/query@1.0.0").unwrap();
        assert!(!Interface::parse("acme:db/admin@1.0.0").unwrap().meets(&query));
        assert_eq!(Interface::parse("acme:db/query"), None);
        assert_eq!(Interface::parse("acme:db/query@one"), None);
        assert_eq!(query.to_string(), "acme:db/query@1.0.0");
    }
}
