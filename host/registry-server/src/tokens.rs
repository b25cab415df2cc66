//! Who may publish, yank and read: a file of tokens, of which only digests are kept.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::str::FromStr;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use kinetic_identity::strict_json;
use kinetic_model::{Digest, Fault};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use crate::ServerError;
use crate::catalogue::Usage;
use crate::error::tame;
use crate::indexes::is_namespace;

/// The largest file of tokens, in bytes.
const FILE_BYTES_MAX: u64 = 1_048_576;
/// `{tokens: [{quota: {}}]}` nests four deep; lists of rights and namespaces as well.
const DEPTH_MAX: usize = 4;
/// The longest name of a token, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// Random bytes of a token.
const TOKEN_BYTES: usize = 32;
/// The most publications a minute that can be counted.
pub(crate) const PER_MINUTE_MAX: u32 = 100_000;

/// What a token lets its bearer do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// Read, where reading is not open to everybody.
    Read,
    /// Publish versions.
    Publish,
    /// Yank versions, and take that back.
    Yank,
}

/// How much a token may publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quota {
    /// Components and manifests together, in bytes; 10 GiB by default.
    pub bytes_max: u64,
    /// Versions; 10,000 by default.
    pub versions_max: u64,
    /// Publications in any 60 s, those that are refused too; 60 by default, 100,000 at most.
    pub publications_per_minute_max: u32,
}

impl Default for Quota {
    fn default() -> Self {
        Self {
            bytes_max: 10_737_418_240,
            versions_max: 10_000,
            publications_per_minute_max: 60,
        }
    }
}

/// Where a token may publish and yank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Namespaces {
    /// In all that there are and will be: `"all"` in the file.
    All,
    /// In these: a list in the file, and an empty one is none at all.
    #[serde(untagged)]
    Only(Vec<String>),
}

/// What a new token is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// What to call it: 1 to 64 lower-case letters, digits, hyphens and underscores.
    pub name: String,
    /// What its bearer may do; at least one.
    pub rights: Vec<Right>,
    /// Where it may publish and yank; at least one namespace if it may do either.
    pub namespaces: Namespaces,
    /// How much it may publish.
    pub quota: Quota,
}

/// Somebody whose token is in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) name: String,
    pub(crate) quota: Quota,
    /// None where the file does not say it.
    namespaces: Option<Namespaces>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tokens {
    tokens: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    /// Of the token's text.
    sha256: Digest,
    rights: Vec<Right>,
    /// An entry that does not say it is for no namespace: it used to be for all, which nobody had to ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    namespaces: Option<Namespaces>,
    #[serde(default)]
    quota: Quota,
}

impl Right {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Publish => "publish",
            Self::Yank => "yank",
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Right {
    type Err = ServerError;

    fn from_str(text: &str) -> Result<Self, ServerError> {
        let all = [Self::Read, Self::Publish, Self::Yank];
        all.into_iter()
            .find(|right| right.as_str() == text)
            .ok_or_else(|| ServerError::BadSetting {
                name: "the right".into(),
                why: "it is none of read, publish and yank".into(),
            })
    }
}

/// Puts a new token into the file, which is made when it is missing, and gives the token. It is kept nowhere else.
///
/// # Errors
/// [`ServerError::BadSetting`], [`ServerError::TokenForNothing`], [`ServerError::TokenExists`], [`ServerError::BadTokens`],
/// [`ServerError::TokensOpen`].
pub fn add_token(path: &Path, new: NewToken) -> Result<String, ServerError> {
    new.check_namespaces()?;
    let mut tokens = Tokens::load(path)?.unwrap_or_default();
    if tokens.tokens.iter().any(|entry| entry.name == new.name) {
        return Err(ServerError::TokenExists { name: new.name });
    }
    let mut secret = [0; TOKEN_BYTES];
    getrandom::fill(&mut secret).map_err(|error| bad_tokens(path, &error))?;
    let token = hex::encode(secret);
    let entry = Entry {
        name: new.name,
        sha256: Digest::of(token.as_bytes()),
        rights: new.rights,
        namespaces: Some(new.namespaces),
        quota: new.quota,
    };
    entry.check().map_err(|why| ServerError::BadSetting {
        name: "the token".into(),
        why,
    })?;
    tokens.tokens.push(entry);
    tokens.save(path).map_err(|error| bad_tokens(path, &error))?;
    Ok(token)
}

/// Whose token a request carries, if that one has the right. The file is read anew, so that a token that was taken out of
/// it counts no more.
pub(crate) fn caller(headers: &HeaderMap, path: Option<&Path>, right: Right) -> Result<Caller, ServerError> {
    let refuse = |why: &str| ServerError::BadToken { why: why.into() };
    let path = path.ok_or_else(|| refuse("this registry was started without --tokens, so nobody may do this"))?;
    let found = Digest::of(bearer(headers)?);
    let tokens = Tokens::load(path)?.unwrap_or_default();
    // All are compared, whichever it is: how long it takes tells nothing.
    let mut caller = None;
    for entry in tokens.tokens {
        if bool::from(found.as_bytes().ct_eq(entry.sha256.as_bytes())) {
            caller = Some(entry);
        }
    }
    let entry = caller.ok_or_else(|| refuse("the token is none of this registry's"))?;
    if !entry.rights.contains(&right) {
        return Err(ServerError::RightMissing {
            name: entry.name,
            right: right.to_string(),
        });
    }
    Ok(Caller {
        name: entry.name,
        quota: entry.quota,
        namespaces: entry.namespaces,
    })
}

fn bearer(headers: &HeaderMap) -> Result<&[u8], ServerError> {
    let refuse = |why: &str| ServerError::BadToken { why: why.into() };
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(refuse("it needs one Authorization header"));
    };
    match value.as_bytes().split_at_checked(7) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => Ok(token.trim_ascii()),
        _ => Err(refuse("the Authorization header is not Bearer and a token")),
    }
}

impl Caller {
    /// Passes for a namespace of the token's.
    pub(crate) fn may_in(&self, namespace: &str) -> Result<(), ServerError> {
        let name = self.name.clone();
        match &self.namespaces {
            Some(Namespaces::All) => Ok(()),
            Some(Namespaces::Only(known)) if known.iter().any(|known| known == namespace) => Ok(()),
            Some(Namespaces::Only(_)) => Err(ServerError::NamespaceMissing {
                name,
                namespace: namespace.into(),
            }),
            None => Err(ServerError::NamespacesUnsaid { name }),
        }
    }

    /// Passes when one more version, of so many bytes, is within what the token may have.
    pub(crate) fn within_quota(&self, bytes: u64, usage: Usage) -> Result<(), Fault> {
        let used_up = |what: &str, max: u64| ServerError::QuotaUsedUp {
            name: self.name.clone(),
            what: what.into(),
            max,
        };
        if usage.versions >= self.quota.versions_max {
            return Err(used_up("versions", self.quota.versions_max).into());
        }
        if usage.bytes.saturating_add(bytes) > self.quota.bytes_max {
            return Err(used_up("bytes", self.quota.bytes_max).into());
        }
        Ok(())
    }
}

impl NewToken {
    /// Passes when it is said where it may do what it may.
    fn check_namespaces(&self) -> Result<(), ServerError> {
        let Namespaces::Only(namespaces) = &self.namespaces else {
            return Ok(());
        };
        if namespaces.is_empty() && self.rights.iter().any(|right| *right != Right::Read) {
            return Err(ServerError::TokenForNothing { name: tame(&self.name) });
        }
        match namespaces.iter().find(|namespace| !is_namespace(namespace)) {
            None => Ok(()),
            Some(bad) => Err(ServerError::BadSetting {
                name: "the token".into(),
                why: format!("\"{}\" is no namespace", tame(bad)),
            }),
        }
    }
}

impl Entry {
    fn check(&self) -> Result<(), String> {
        let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        if self.name.is_empty() || self.name.len() > NAME_BYTES_MAX || !self.name.bytes().all(word) {
            return Err(format!(
                "\"{}\" is not 1 to {NAME_BYTES_MAX} lower-case letters, digits, hyphens and underscores",
                tame(&self.name)
            ));
        }
        if self.rights.is_empty() {
            return Err(format!("\"{}\" has no right", self.name));
        }
        let per_minute = self.quota.publications_per_minute_max;
        if per_minute > PER_MINUTE_MAX {
            return Err(format!(
                "\"{}\" has more than {PER_MINUTE_MAX} publications a minute",
                self.name
            ));
        }
        Ok(())
    }
}

impl Tokens {
    /// None when there is no file.
    fn load(path: &Path) -> Result<Option<Self>, ServerError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(bad_tokens(path, &error)),
        };
        // The mode of the open file, not of the path: nobody can swap the file between the check and the read.
        let mode = file
            .metadata()
            .map_err(|error| bad_tokens(path, &error))?
            .permissions()
            .mode();
        if mode & 0o077 != 0 {
            return Err(ServerError::TokensOpen {
                path: path.display().to_string(),
                mode: format!("{:03o}", mode & 0o777),
            });
        }
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| bad_tokens(path, &error))?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(bad_tokens(path, &format!("it is larger than {FILE_BYTES_MAX} bytes")));
        }
        let value = strict_json::parse(&bytes, DEPTH_MAX).map_err(|error| bad_tokens(path, &error))?;
        let tokens: Self = serde_json::from_value(value).map_err(|error| bad_tokens(path, &error))?;
        let mut names = std::collections::BTreeSet::new();
        for entry in &tokens.tokens {
            entry.check().map_err(|why| bad_tokens(path, &why))?;
            if !names.insert(entry.name.as_str()) {
                return Err(bad_tokens(path, &format!("it names \"{}\" twice", entry.name)));
            }
        }
        Ok(Some(tokens))
    }

    /// Whole or not at all, with mode 0600.
    fn save(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or_else(|| Path::new("."));
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&text)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        File::open(folder)?.sync_all()
    }
}

fn bad_tokens(path: &Path, why: &impl fmt::Display) -> ServerError {
    ServerError::BadTokens {
        path: path.display().to_string(),
        why: tame(why.to_string().trim_end_matches('.')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn new(name: &str, rights: &[Right]) -> NewToken {
        NewToken {
            name: name.into(),
            rights: rights.into(),
            namespaces: Namespaces::Only(vec!["acme".into()]),
            quota: Quota::default(),
        }
    }

    fn headers(token: &str) -> HeaderMap {
        HeaderMap::from_iter([(
            AUTHORIZATION,
            HeaderValue::from_str(&format!("Bearer {token}")).unwrap(),
        )])
    }

    #[test]
    fn a_token_counts_for_its_rights_and_namespaces_until_it_is_taken_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        let publisher = add_token(&path, new("ci", &[Right::Publish])).unwrap();
        let reader = add_token(&path, new("reader", &[Right::Read])).unwrap();
        assert!(
            !std::fs::read_to_string(&path).unwrap().contains(&publisher),
            "only digests are kept"
        );
        let of = |token: &str, right| caller(&headers(token), Some(path.as_path()), right);
        let ci = of(&publisher, Right::Publish).unwrap();
        assert_eq!(ci.name, "ci");
        assert!(ci.may_in("acme").is_ok() && ci.may_in("other").is_err());
        assert!(matches!(
            of(&publisher, Right::Yank),
            Err(ServerError::RightMissing { .. })
        ));
        assert!(matches!(
            of(&reader, Right::Publish),
            Err(ServerError::RightMissing { .. })
        ));
        assert!(matches!(of("guess", Right::Publish), Err(ServerError::BadToken { .. })));
        assert!(matches!(
            caller(&HeaderMap::new(), Some(path.as_path()), Right::Read),
            Err(ServerError::BadToken { .. })
        ));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(
            of(&publisher, Right::Publish),
            Err(ServerError::BadToken { .. })
        ));
        assert!(matches!(
            caller(&headers(&publisher), None, Right::Publish),
            Err(ServerError::BadToken { .. })
        ));
    }

    #[test]
    fn nobody_may_publish_everywhere_of_whom_it_was_not_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        let with = |name: &str, right, namespaces| NewToken {
            namespaces,
            ..new(name, &[right])
        };
        let of = |names: &[&str]| Namespaces::Only(names.iter().map(|name| (*name).to_string()).collect());
        for right in [Right::Publish, Right::Yank] {
            assert_eq!(
                add_token(&path, with("ci", right, of(&[]))),
                Err(ServerError::TokenForNothing { name: "ci".into() })
            );
        }
        for wrong in ["", "Acme", "acme,other"] {
            let refused = add_token(&path, with("ci", Right::Publish, of(&["acme", wrong])));
            assert!(matches!(refused, Err(ServerError::BadSetting { .. })), "{wrong}");
        }
        // Reading knows no namespaces.
        add_token(&path, with("reader", Right::Read, of(&[]))).unwrap();
        let some = add_token(&path, with("some", Right::Publish, of(&["acme", "other"]))).unwrap();
        let all = add_token(&path, with("all", Right::Publish, Namespaces::All)).unwrap();
        let of = |token: &str| caller(&headers(token), Some(path.as_path()), Right::Publish).unwrap();
        assert!(of(&some).may_in("other").is_ok() && of(&some).may_in("third").is_err());
        assert!(of(&all).may_in("third").is_ok());
        // As files were written in which saying nothing meant everywhere.
        let mut file: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(file["tokens"][2]["namespaces"], "all");
        let entries = file["tokens"].as_array_mut().unwrap();
        entries[2].as_object_mut().unwrap().remove("namespaces");
        entries[1]["namespaces"] = serde_json::json!([]);
        std::fs::write(&path, file.to_string()).unwrap();
        assert_eq!(
            of(&all).may_in("third"),
            Err(ServerError::NamespacesUnsaid { name: "all".into() })
        );
        assert!(matches!(
            of(&some).may_in("acme"),
            Err(ServerError::NamespaceMissing { .. })
        ));
    }

    #[test]
    fn a_file_that_others_may_read_or_that_says_two_things_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        let token = add_token(&path, new("ci", &[Right::Publish])).unwrap();
        assert_eq!(
            add_token(&path, new("ci", &[Right::Read])),
            Err(ServerError::TokenExists { name: "ci".into() })
        );
        for wrong in ["", "C I", &"x".repeat(65)] {
            assert!(matches!(
                add_token(&path, new(wrong, &[Right::Read])),
                Err(ServerError::BadSetting { .. })
            ));
        }
        assert!(add_token(&path, new("nothing", &[])).is_err());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let of = || caller(&headers(&token), Some(path.as_path()), Right::Publish);
        assert!(matches!(of(), Err(ServerError::TokensOpen { .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        for text in [
            r#"{"tokens":[],"tokens":[]}"#,
            r#"{"tokens":[{}]}"#,
            "[]",
            r#"{"tokens":[],"more":1}"#,
        ] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(of(), Err(ServerError::BadTokens { .. })), "{text}");
        }
    }
}
