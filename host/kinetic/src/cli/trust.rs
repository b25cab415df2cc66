//! `kinetic trust`: root documents, with which the owner of a namespace says whose keys count, and how many of them.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use kinetic_identity::{
    IdentityError, PublicKey, ROOT_BYTES_MAX, Role, RootDocument, RootKey, SignedRoot, SigningKey, Thresholds,
    now_unix_ms, utc_text,
};
use kinetic_model::Digest;
use serde_json::{Value, json};

use super::Context;
use crate::data_dir::DataDir;
use crate::error::{self, CliError};
use crate::{render, signing};

/// Pin root documents: whose keys count for a namespace, and how many of them have to sign
///
/// A root document lists the keys of a namespace with what each may sign (root, release, index),
/// how many have to, when it expires, and which components are revoked. It is signed by its own
/// root keys, and every later version by enough root keys of the version before too: the operator
/// confirms the first one by its digest, and from then on its owner changes keys without asking.
///
/// A namespace with a root document is judged by it alone; what `kinetic keys` lists for it counts
/// for nothing. An expired one admits nothing more, and what runs goes on until the host stops.
/// What a new version does not cover any more, or revokes, a running host quarantines within a
/// second.
///
///     kinetic trust root draft acme --key ed25519:... --key ed25519:... --threshold root=2 > root.json
///     kinetic trust root sign root.json --key ann.pem --out root.signed.json
///     kinetic trust root add root.signed.json --digest sha256:...
///     kinetic trust root show acme
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Trust {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Draft, sign, pin and replace root documents
    Root {
        #[command(subcommand)]
        what: Root,
    },
}

#[derive(Subcommand)]
enum Root {
    /// Print a first or next document, to be read, changed and signed
    Draft {
        /// The second part of the URNs it is for
        namespace: String,
        /// A public key, with all roles or those behind an @, like ed25519:...@release,index; again for each further one
        #[arg(long, value_name = "KEY[@ROLES]", required_unless_present = "cosign_key")]
        key: Vec<String>,
        /// A cosign.pub (ECDSA P-256), with the role release; again for each further one
        #[arg(long, value_name = "FILE")]
        cosign_key: Vec<PathBuf>,
        /// How many keys have to sign as root, release or index, like release=2; again for each role [default: 1]
        #[arg(long, value_name = "ROLE=COUNT")]
        threshold: Vec<String>,
        /// The component or manifest with this digest counts for nothing any more; again for each further one
        #[arg(long, value_name = "DIGEST")]
        revoke: Vec<Digest>,
        /// Its version: that of the one before and one more
        #[arg(long, default_value_t = 1)]
        version: u64,
        /// How many days it is good for
        #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u64).range(1..=36_500))]
        days: u64,
    },
    /// Sign a draft, or add a signature to one that is signed
    Sign {
        /// The draft, or what somebody else signed
        file: PathBuf,
        /// The private key to sign with
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Where the signed document goes; it may be the same file
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Pin the first document of a namespace, once its digest is confirmed
    Add {
        /// The signed document
        file: PathBuf,
        /// The digest that its owner names on another way; without it the document is shown and nothing is pinned
        #[arg(long, value_name = "DIGEST")]
        digest: Option<Digest>,
    },
    /// Put the next version in the place of the pinned one
    Update {
        /// The signed document
        file: PathBuf,
    },
    /// Show what is pinned
    Show {
        /// The second part of the URNs [default: every namespace]
        namespace: Option<String>,
    },
    /// Forget a namespace's document and how far it was; then the keys that `kinetic keys` lists count again
    Remove {
        /// The second part of the URNs
        namespace: String,
    },
}

impl Trust {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let What::Root { what } = self.what;
        match what {
            Root::Draft {
                namespace,
                key,
                cosign_key,
                threshold,
                revoke,
                version,
                days,
            } => {
                let document = RootDocument {
                    expires_unix_ms: now_unix_ms().saturating_add(days * 86_400_000),
                    keys: keys(&key, &cosign_key)?,
                    namespace,
                    revoked_digests: sorted(revoke),
                    thresholds: thresholds(&threshold)?,
                    version,
                };
                document.check()?;
                let document = serde_json::to_value(&document)?;
                context.print(&document, || render::pretty(&document));
                Ok(ExitCode::SUCCESS)
            }
            Root::Sign { file, key, out } => sign(context, &file, &key, &out),
            Root::Add { file, digest } => add(context, &file, digest),
            Root::Update { file } => update(context, &file),
            Root::Show { namespace } => show(context, namespace),
            Root::Remove { namespace } => {
                let data = DataDir::existing(&context.data()?)?;
                data.change_roots(|roots| Ok(roots.remove(&namespace)?))?;
                context.print(&json!({ "namespace": namespace, "removed": true }), || {
                    format!("the root document of {namespace} is forgotten; the keys `kinetic keys` lists for it count again")
                });
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

fn sign(context: &Context, file: &Path, key: &Path, out: &Path) -> anyhow::Result<ExitCode> {
    let bytes = read(file)?;
    let key = SigningKey::load(key)?;
    let enveloped = serde_json::from_slice(&bytes).is_ok_and(|value: Value| value.get("payloadType").is_some());
    let root = if enveloped {
        let mut root = SignedRoot::from_json(&bytes)?;
        root.add_signature(&key)?;
        root
    } else {
        SignedRoot::sign(RootDocument::from_draft(&bytes)?, &key)?
    };
    std::fs::write(out, root.to_json()).map_err(error::file(out))?;
    context.print(&described(&root), || {
        let document = root.document();
        format!(
            "{}\nsigned by {} of the {} root keys of its own that it needs; the next version of one that is pinned needs \
             those of that one too",
            text(&root),
            root.own_signatures(),
            document.thresholds.root
        )
    });
    Ok(ExitCode::SUCCESS)
}

fn add(context: &Context, file: &Path, digest: Option<Digest>) -> anyhow::Result<ExitCode> {
    let root = SignedRoot::from_json(&read(file)?)?;
    root.check_own()?;
    if digest != Some(root.digest()) {
        let unconfirmed = IdentityError::RootUnconfirmed {
            namespace: root.document().namespace.clone(),
            digest: root.digest().to_string(),
        };
        return Ok(context.print_refused(described(&root), &(&unconfirmed).into(), || text(&root)));
    }
    let data = DataDir::open(&context.data()?)?;
    data.change_roots(|roots| Ok(roots.pin(&root, now_unix_ms())?))?;
    context.print(&described(&root), || {
        format!(
            "{}\nis pinned on the host with data folder {}",
            text(&root),
            data.root().display()
        )
    });
    Ok(ExitCode::SUCCESS)
}

fn update(context: &Context, file: &Path) -> anyhow::Result<ExitCode> {
    let root = SignedRoot::from_json(&read(file)?)?;
    let data = DataDir::existing(&context.data()?)?;
    let changed = data.change_roots(|roots| Ok(roots.update(&root)?))?;
    let mut document = described(&root);
    if let Some(members) = document.as_object_mut() {
        members.insert("changed".into(), changed.into());
    }
    context.print(&document, || {
        let done = if changed {
            "is pinned in the place of the version before; a running host quarantines what it does not cover within a second"
        } else {
            "was pinned already"
        };
        format!("{}\n{done}", text(&root))
    });
    Ok(ExitCode::SUCCESS)
}

fn show(context: &Context, namespace: Option<String>) -> anyhow::Result<ExitCode> {
    let data = DataDir::existing(&context.data()?)?;
    let folder = data.roots();
    let roots = match namespace {
        Some(namespace) => {
            let root = folder.read(&namespace)?;
            vec![root.ok_or(IdentityError::RootMissing { namespace })?]
        }
        None => {
            let read = folder
                .namespaces()?
                .into_iter()
                .map(|namespace| folder.read(&namespace));
            read.filter_map(Result::transpose).collect::<Result<_, _>>()?
        }
    };
    let documents: Value = roots.iter().map(described).collect();
    context.print(&json!({ "data": data.root(), "roots": documents }), || {
        let texts: Vec<_> = roots.iter().map(text).collect();
        if texts.is_empty() {
            "no root document is pinned".to_string()
        } else {
            texts.join("\n\n")
        }
    });
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(error::file(path))?;
    // One more than is allowed, so that whoever parses it sees that it is too large.
    file.take(ROOT_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(error::file(path))?;
    Ok(bytes)
}

fn described(root: &SignedRoot) -> Value {
    let document = root.document();
    json!({
        "namespace": document.namespace,
        "version": document.version,
        "digest": root.digest(),
        "expires": utc_text(document.expires_unix_ms),
        "expired": document.expired(now_unix_ms()),
        "document": document,
    })
}

fn text(root: &SignedRoot) -> String {
    let document = root.document();
    let (version, namespace) = (document.version, &document.namespace);
    let expires = utc_text(document.expires_unix_ms);
    let when = if document.expired(now_unix_ms()) {
        format!("EXPIRED at {expires}: it admits nothing more")
    } else {
        format!("good until {expires}")
    };
    let needed = Role::ALL.map(|role| {
        let (needed, keys) = (document.thresholds.of(role), document.keys_of(role).count());
        format!("{role} {needed} of {keys}")
    });
    let rows: Vec<Vec<String>> = document
        .keys
        .iter()
        .map(|key| {
            let roles: Vec<_> = key.roles.iter().map(|role| role.as_str()).collect();
            vec![key.key_id.to_string(), key.public_key.to_string(), roles.join(",")]
        })
        .collect();
    let mut lines = vec![
        format!("root document of {namespace}, version {version}, {when}"),
        format!("digest {}", root.digest()),
        format!("signatures needed: {}", needed.join(", ")),
        render::table(&rows).trim_end().to_string(),
    ];
    lines.extend(
        document
            .revoked_digests
            .iter()
            .map(|digest| format!("revoked {digest}")),
    );
    lines.join("\n")
}

fn keys(given: &[String], by_cosign: &[PathBuf]) -> anyhow::Result<Vec<RootKey>> {
    let mut keys = Vec::new();
    for path in by_cosign {
        let public_key = signing::cosign_key(path)?;
        keys.push(RootKey {
            key_id: public_key.id(),
            public_key,
            roles: vec![Role::Release],
        });
    }
    for text in given {
        let (key, roles) = text.split_once('@').unwrap_or((text.as_str(), "index,release,root"));
        let public_key: PublicKey = key.parse()?;
        let roles = roles.split(',').map(role).collect::<Result<Vec<_>, CliError>>()?;
        keys.push(RootKey {
            key_id: public_key.id(),
            public_key,
            roles: sorted(roles),
        });
    }
    keys.sort_by(|a, b| a.key_id.cmp(&b.key_id));
    Ok(keys)
}

fn thresholds(given: &[String]) -> Result<Thresholds, CliError> {
    let mut thresholds = Thresholds {
        index: 1,
        release: 1,
        root: 1,
    };
    for text in given {
        let bad = || CliError::BadArgument {
            why: format!("--threshold {text} is not a role and a count, like release=2"),
        };
        let (name, count) = text.split_once('=').ok_or_else(bad)?;
        let count = count.parse::<usize>().map_err(|_| bad())?;
        match role(name)? {
            Role::Index => thresholds.index = count,
            Role::Release => thresholds.release = count,
            Role::Root => thresholds.root = count,
        }
    }
    Ok(thresholds)
}

fn role(text: &str) -> Result<Role, CliError> {
    text.parse().map_err(|why| CliError::BadArgument { why })
}

fn sorted<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort_unstable();
    items.dedup();
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_given_with_their_roles_and_sorted_by_their_ids() {
        let public: Vec<String> = (0..4)
            .map(|_| SigningKey::generate().unwrap().public().to_string())
            .collect();
        let mut given = public.clone();
        given[0].push_str("@release,root,release");
        let keys = keys(&given, &[]).unwrap();
        assert!(keys.is_sorted_by(|a, b| a.key_id < b.key_id));
        let first = keys.iter().find(|key| key.public_key.to_string() == public[0]).unwrap();
        assert_eq!(first.roles, [Role::Release, Role::Root]);
        assert_eq!(keys.iter().filter(|key| key.roles == Role::ALL).count(), 3);
        for bad in [
            "",
            "ed25519:",
            &format!("{}@", public[0]),
            &format!("{}@boss", public[0]),
        ] {
            assert!(super::keys(&[bad.to_string()], &[]).is_err(), "{bad}");
        }
    }

    #[test]
    fn thresholds_are_one_unless_they_are_given() {
        let given = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_string()).collect();
            thresholds(&texts)
        };
        let found = given(&["release=3", "root=2"]).unwrap();
        assert_eq!((found.index, found.release, found.root), (1, 3, 2));
        for bad in ["release", "release=", "release=x", "boss=1", "release=-1"] {
            assert!(given(&[bad]).is_err(), "{bad}");
        }
    }
}
