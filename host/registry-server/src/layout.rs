//! Where in the store each thing lies.
//!
//! ```text
//! blobs/sha256/<hex>                                         a component
//! versions/<namespace>/<class>/<name>/v<N>/<version>.json    a version; written last
//! index/<namespace>/<20 digits>.json                         a signed index, by its version
//! promotions/<namespace>/<class>/<name>/v<N>/<version>.json  a promotion, and who published it
//! ```

use kinetic_model::{Digest, Urn};
use semver::Version;

/// Below it lie the versions.
pub(crate) const VERSIONS: &str = "versions/";
/// Below it lie the indexes.
pub(crate) const INDEXES: &str = "index/";

pub(crate) fn blob(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

pub(crate) fn version(urn: &Urn, version: &Version) -> String {
    // urn : namespace : actionspace : class : name : vN, of which each word is safe in a path.
    let words: Vec<&str> = urn.as_str().split(':').collect();
    let place = match words.as_slice() {
        [_, namespace, _, class, name, major] => [*namespace, *class, *name, *major].join("/"),
        // No URN is of another form.
        _ => urn.as_str().replace(':', "/"),
    };
    format!("{VERSIONS}{place}/{version}.json")
}

pub(crate) fn indexes(namespace: &str) -> String {
    format!("{INDEXES}{namespace}/")
}

pub(crate) fn index(namespace: &str, version: u64) -> String {
    format!("{INDEXES}{namespace}/{version:020}.json")
}

/// Namespace and version of an index, by its path.
pub(crate) fn index_at(path: &str) -> Option<(&str, u64)> {
    let (namespace, file) = path.strip_prefix(INDEXES)?.split_once('/')?;
    let digits = file.strip_suffix(".json")?;
    let is_number = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    Some((namespace, digits.parse().ok().filter(|_| is_number)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_has_a_place_that_can_be_read_back() {
        let urn: Urn = "urn:acme:actionspace:solver:words:v1".parse().unwrap();
        let path = version(&urn, &"1.2.0-rc.1".parse().unwrap());
        assert_eq!(path, "versions/acme/solver/words/v1/1.2.0-rc.1.json");
        let path = index("acme", 7);
        assert_eq!(path, "index/acme/00000000000000000007.json");
        assert_eq!(index_at(&path), Some(("acme", 7)));
        assert_eq!(index_at("index/acme/7.json"), None);
        assert_eq!(index_at("index/acme/0000000000000000000x.json"), None);
    }
}
