//! `kinetic keys`: whom this host believes, for each namespace.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use kinetic_identity::{IdentityError, PublicKey, SigningKey, TrustRoot, TrustedKey};
use serde_json::{Value, json};

use super::Context;
use crate::data_dir::DataDir;
use crate::error::CliError;
use crate::{render, signing};

/// Make signing keys, and say whose keys may sign for which namespace
///
/// A capsule is served only if a key that the trust root lists for its namespace signed it. The
/// trust root is trust.json in the data folder; private keys lie beside it under keys/. A
/// running host sees changes within a second, and quarantines what a distrusted key signed. The
/// folder is --data, else that of the host running on this machine, else ./data.
///
/// Each of these keys may sign alone. A namespace with a root document is judged by that alone:
/// see `kinetic trust`.
///
///     kinetic keys new acme
///     kinetic keys show acme
///     kinetic keys trust partner ed25519:3q2+7w... --comment "release key"
///     kinetic keys trust partner --cosign-key cosign.pub
///     kinetic keys distrust partner 0123456789abcdef
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Keys {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Make a private key for a namespace and trust it
    New {
        /// The second part of the URNs it may sign
        namespace: String,
        /// Write the private key to this file and trust it nowhere: for an author whose host is elsewhere
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Show the keys that may sign for a namespace, and whether the private half is here
    Show {
        /// The second part of the URNs
        namespace: String,
    },
    /// Show every namespace and the keys that may sign for it
    List,
    /// Let somebody else's key sign for a namespace
    Trust {
        /// The second part of the URNs it may sign
        namespace: String,
        /// Their public key, as `kinetic keys show` prints it on their machine
        #[arg(required_unless_present = "cosign_key", conflicts_with = "cosign_key", value_parser = boxed_key)]
        public_key: Option<Box<PublicKey>>,
        /// Their cosign.pub, as `cosign generate-key-pair` wrote it (ECDSA P-256)
        #[arg(long, value_name = "FILE")]
        cosign_key: Option<PathBuf>,
        /// Whose it is
        #[arg(long, default_value = "")]
        comment: String,
    },
    /// Take a key away from a namespace; what it signed is refused from then on, and quarantined where it is active
    Distrust {
        /// The namespace
        namespace: String,
        /// The public key, or its id of 16 digits
        key: String,
    },
}

fn boxed_key(text: &str) -> Result<Box<PublicKey>, IdentityError> {
    text.parse().map(Box::new)
}

impl Keys {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        match self.what {
            What::New {
                namespace,
                out: Some(out),
            } => elsewhere(context, &namespace, &out),
            What::New { namespace, out: None } => new(context, &namespace),
            What::Show { namespace } => {
                let data = DataDir::existing(&context.data()?)?;
                let root = TrustRoot::load(&data.trust_file())?;
                if !root.list().any(|(name, _)| name == namespace) {
                    return Err(CliError::NoSuchKey { namespace }.into());
                }
                show(context, &data, &root, |name| name == namespace);
                Ok(ExitCode::SUCCESS)
            }
            What::List => {
                let data = DataDir::existing(&context.data()?)?;
                show(context, &data, &TrustRoot::load(&data.trust_file())?, |_| true);
                Ok(ExitCode::SUCCESS)
            }
            What::Trust {
                namespace,
                public_key,
                cosign_key,
                comment,
            } => {
                let public_key = match (public_key, cosign_key) {
                    (Some(key), _) => *key,
                    (None, Some(path)) => signing::cosign_key(&path)?,
                    (None, None) => return Err(CliError::NoSuchKey { namespace }.into()),
                };
                let data = DataDir::open(&context.data()?)?;
                data.change_trust(|root| Ok(root.add(&namespace, public_key, &comment)?))?;
                context.print(&entry(&namespace, &public_key, &comment, None), || {
                    format!(
                        "{public_key} may sign for {namespace} on the host with data folder {}",
                        data.root().display()
                    )
                });
                Ok(ExitCode::SUCCESS)
            }
            What::Distrust { namespace, key } => {
                let id = match key.parse::<PublicKey>() {
                    Ok(key) => key.id(),
                    Err(_) => key.parse()?,
                };
                let data = DataDir::existing(&context.data()?)?;
                data.change_trust(|root| Ok(root.remove(&namespace, &id)?))?;
                context.print(&json!({ "namespace": namespace, "id": id }), || {
                    format!(
                        "{id} no longer signs for {namespace}; a running host quarantines what it signed within a second"
                    )
                });
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

fn new(context: &Context, namespace: &str) -> anyhow::Result<ExitCode> {
    let data = DataDir::open(&context.data()?)?;
    let file = data.key_file(namespace)?;
    let key = SigningKey::generate()?;
    data.change_trust(|root| {
        // Checked before anything is written: a namespace may not be one at all.
        root.add(namespace, key.public(), MADE_HERE)?;
        Ok(key.save(&file)?)
    })?;
    context.print(&entry(namespace, &key.public(), MADE_HERE, Some(&file)), || {
        format!(
            "{} signs for {namespace}\nprivate half: {}",
            key.public(),
            file.display()
        )
    });
    Ok(ExitCode::SUCCESS)
}

fn elsewhere(context: &Context, namespace: &str, file: &Path) -> anyhow::Result<ExitCode> {
    let key = SigningKey::generate()?;
    // The trust root knows what a namespace is.
    TrustRoot::default().add(namespace, key.public(), "")?;
    key.save(file)?;
    let public = key.public();
    context.print(&entry(namespace, &public, "", Some(file)), || {
        format!(
            "private half: {}\nThe operator of the host runs: kinetic keys trust {namespace} {public}",
            file.display()
        )
    });
    Ok(ExitCode::SUCCESS)
}

/// The comment of a key whose private half is in the data folder.
const MADE_HERE: &str = "made here";

fn show(context: &Context, data: &DataDir, root: &TrustRoot, which: impl Fn(&str) -> bool) {
    let private = |namespace: &str, key: &PublicKey| {
        let file = data.key_file(namespace).ok()?;
        (SigningKey::load(&file).ok()?.public() == *key).then_some(file)
    };
    let keys: Vec<_> = root
        .list()
        .filter(|(name, _)| which(name))
        .flat_map(|(name, keys)| keys.iter().map(move |key| (name, key)))
        .map(|(name, key)| (name, key, private(name, &key.key)))
        .collect();
    let document: Value = keys
        .iter()
        .map(|(name, key, file)| entry(name, &key.key, &key.comment, file.as_deref()))
        .collect();
    context.print(&json!({ "data": data.root(), "keys": document }), || {
        let row = |(name, key, file): &(&str, &TrustedKey, Option<PathBuf>)| {
            let here = match (file, root.has_root(name)) {
                (_, true) => "not counted: the namespace has a root document",
                (Some(_), false) => "private half here",
                (None, false) => "",
            };
            vec![
                (*name).to_string(),
                key.key.id().to_string(),
                key.key.to_string(),
                here.to_string(),
                key.comment.clone(),
            ]
        };
        let rows: Vec<_> = keys.iter().map(row).collect();
        if rows.is_empty() {
            "no key is trusted".to_string()
        } else {
            render::table(&rows)
        }
    });
}

fn entry(namespace: &str, key: &PublicKey, comment: &str, private: Option<&Path>) -> Value {
    json!({ "namespace": namespace, "id": key.id(), "public_key": key, "comment": comment, "private_key_file": private })
}
