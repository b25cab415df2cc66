//! `kinetic sync`: what a lock file means, or all of a registry, brought here or to another registry, verified.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;

use bytes::Bytes;
use clap::Args;
use futures_util::stream::{self, StreamExt as _};
use kinetic_kernel::Kernel;
use kinetic_model::{CapsuleRef, Digest, Fault, Pin, Urn};
use kinetic_registry::{Descriptor, HttpSource, Publish as _, Registries, RegistryError};
use semver::Version;
use serde_json::{Value, json};

use super::{Context, signed};
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::error::CliError;
use crate::{boot, client, registries, render};

/// The lock file that is looked for where none is named.
const LOCK: &str = "kinetic.lock";
/// The most versions that are under way at once.
const JOBS_MAX: u64 = 32;

/// Bring what a lock file means from registries into the local store, verified
///
/// With --all instead everything that registries list, of the namespaces that are named or of all.
/// Each version is checked as `kinetic pull` checks it. What is here already is left alone: a
/// second run does nothing, and one that was interrupted is taken up where it stopped.
///
///     kinetic sync
///     kinetic sync --lock acme.lock --from acme
///     kinetic sync --all --namespace acme --dry-run
///
/// With --to they go to another registry and not into the local store; with --all and when nothing
/// was refused, the signed index of the namespace goes there too, if that takes one.
///
///     kinetic sync --all --from acme --to mirror
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Sync {
    /// The lock file [default: the setting kernel.lock, else kinetic.lock]
    #[arg(long, value_name = "FILE", conflicts_with = "all")]
    lock: Option<PathBuf>,
    /// Bring everything that is listed, and not what a lock file holds
    #[arg(long)]
    all: bool,
    /// A namespace to bring, and no other; may be given several times
    #[arg(long = "namespace", value_name = "NAMESPACE", requires = "all")]
    namespaces: Vec<String>,
    /// The registry to ask, and no other [default: all, in the order of `kinetic registry list`]
    #[arg(long, value_name = "REGISTRY")]
    from: Option<String>,
    /// The registry to bring them to [default: the local store]
    #[arg(long, value_name = "REGISTRY")]
    to: Option<String>,
    /// Only say what would be brought
    #[arg(long)]
    dry_run: bool,
    /// Versions that are under way at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=JOBS_MAX))]
    jobs: u64,
}

/// One version that is to be brought.
struct Wanted {
    urn: Urn,
    version: Version,
    digest: Digest,
    /// The registry that lists it.
    from: Option<String>,
}

/// Where they go.
enum To {
    Store,
    /// Into the store of a running host, which puts it there itself.
    Host(HttpSource),
    Registry(String),
}

/// What became of one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Became {
    New,
    Wanting,
    Present,
}

struct Syncing {
    kernel: Kernel,
    registries: Registries,
    to: To,
    dry_run: bool,
}

impl Sync {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let mut config = context.load(None)?.config;
        if !self.all {
            config.kernel.lock = self.lock_file(&config);
        }
        let data = DataDir::open(&context.data()?)?;
        let to = self.to(context, &data)?;
        let jobs = usize::try_from(self.jobs).unwrap_or(1);
        let (rows, refused) = super::block_on(async {
            let syncing = Syncing {
                kernel: boot::pulling_kernel(&config, &data)?,
                registries: registries::of(&data, &config)?,
                to,
                dry_run: self.dry_run,
            };
            let (wanted, mut rows) = self.wanted(&syncing).await?;
            let begun = wanted.iter().map(|wanted| syncing.bring(wanted));
            let ended: Vec<_> = stream::iter(begun).buffered(jobs).collect().await;
            rows.extend(wanted.iter().zip(ended).map(|(wanted, ended)| row(wanted, ended)));
            let refused = rows
                .iter()
                .filter(|row| row.get("state") == Some(&json!("refused")))
                .count();
            if self.all && refused == 0 && !self.dry_run {
                rows.extend(syncing.mirror_indexes(&wanted).await);
            }
            Ok((rows, refused))
        })?;
        let versions = rows.iter().filter(|row| row.get("version").is_some()).count();
        let count = |state: &str| {
            rows.iter()
                .filter(|row| row.get("state") == Some(&json!(state)))
                .count()
        };
        let document = json!({
            "new": count("new"), "would_come": count("would-come"), "present": count("present"), "refused": refused,
            "versions": rows,
        });
        if refused == 0 {
            context.print(&document, || shown(&document));
            return Ok(ExitCode::SUCCESS);
        }
        let fault = (&CliError::NotAllSynced {
            refused,
            all: versions.max(refused),
        })
            .into();
        Ok(context.print_refused(document.clone(), &fault, || shown(&document)))
    }

    fn lock_file(&self, config: &Config) -> PathBuf {
        let configured = Some(&config.kernel.lock).filter(|path| !path.as_os_str().is_empty());
        let named = self.lock.as_ref().or(configured);
        named.cloned().unwrap_or_else(|| PathBuf::from(LOCK))
    }

    fn to(&self, context: &Context, data: &DataDir) -> anyhow::Result<To> {
        if let Some(name) = &self.to {
            return Ok(To::Registry(name.clone()));
        }
        // A host reads its store when it starts, so one that runs has to put it there itself.
        Ok(match data.served_at() {
            Some(address) => To::Host(signed::host(context, &client::url_of(address))?),
            None => To::Store,
        })
    }

    /// What is to be brought, sorted and each once; and a row for each registry that does not say what it has.
    async fn wanted(&self, syncing: &Syncing) -> anyhow::Result<(Vec<Wanted>, Vec<Value>)> {
        if !self.all {
            let lock = syncing.kernel.policy().lock.clone();
            let entries = lock.iter().flat_map(|lock| lock.entries());
            let wanted = entries.map(|(urn, entry)| Wanted {
                urn: urn.clone(),
                version: entry.version.clone(),
                digest: entry.component,
                from: self.from.clone(),
            });
            return Ok((wanted.collect(), Vec::new()));
        }
        let names = match &self.from {
            Some(name) => vec![name.clone()],
            None => {
                let known = syncing.registries.list()?.into_iter().map(|registry| registry.name);
                known.filter(|name| self.to.as_ref() != Some(name)).collect()
            }
        };
        let (mut all, mut rows) = (BTreeMap::new(), Vec::new());
        for name in names {
            match syncing.registries.list_of(&name, &self.namespaces).await {
                Ok(listed) => {
                    for held in listed {
                        let wanted = Wanted {
                            urn: held.urn.clone(),
                            version: held.version.clone(),
                            digest: held.digest,
                            from: Some(name.clone()),
                        };
                        // The nearer one, as for a call.
                        all.entry((held.urn, held.version)).or_insert(wanted);
                    }
                }
                Err(error) => {
                    let fault = Fault::from(&error);
                    rows.push(json!({
                        "registry": name, "state": "refused", "code": fault.code, "why": fault.message, "fix": fault.fix,
                    }));
                }
            }
        }
        Ok((all.into_values().collect(), rows))
    }
}

impl Syncing {
    async fn bring(&self, wanted: &Wanted) -> Result<Became, Fault> {
        let what = CapsuleRef {
            urn: wanted.urn.clone(),
            pin: Pin::Version(wanted.version.clone()),
        };
        if self.is_there(&what, wanted).await? {
            return Ok(Became::Present);
        }
        if self.dry_run {
            return Ok(Became::Wanting);
        }
        let (descriptor, component) = self.verified(&what, wanted).await?;
        let put = match &self.to {
            To::Store => self.kernel.store().put(descriptor, component).await,
            To::Host(host) => {
                let staged = host.stage(&descriptor.manifest, &descriptor.receipt, &component).await;
                staged.map(drop)
            }
            To::Registry(name) => self.registries.publish(name, &descriptor, component).await,
        };
        put.map_err(|error| Fault::from(&error))?;
        Ok(Became::New)
    }

    /// Whether it is where it is to go. Something else under its version is left to the putting, which refuses it.
    async fn is_there(&self, what: &CapsuleRef, wanted: &Wanted) -> Result<bool, Fault> {
        let To::Registry(name) = &self.to else {
            let stored = self.kernel.store().resolve(what);
            return Ok(stored.is_some_and(|stored| stored.digest == wanted.digest));
        };
        let held = self
            .registries
            .held(name, what)
            .await
            .map_err(|error| Fault::from(&error))?;
        Ok(held.is_some_and(|held| held.digest == wanted.digest))
    }

    /// Its descriptor and bytes: from the local store if it is believed today, else from a registry.
    async fn verified(&self, what: &CapsuleRef, wanted: &Wanted) -> Result<(Descriptor, Bytes), Fault> {
        let is_same = |digest: Digest| digest == wanted.digest;
        // One whose keys have gone since may have been signed anew, and a registry have that.
        if matches!(self.to, To::Registry(_))
            && let Ok(stored) = self.kernel.pull_stored(what).await
            && is_same(stored.descriptor.digest)
        {
            return Ok((stored.descriptor, stored.component));
        }
        let pulled = self.kernel.pull(what, wanted.from.as_deref()).await?;
        if is_same(pulled.descriptor.digest) {
            return Ok((pulled.descriptor, pulled.component));
        }
        let error = RegistryError::OtherThanAsked {
            origin: pulled.source,
            asked: format!("{what} {}", wanted.digest),
            found: pulled.descriptor.digest.to_string(),
        };
        Err(Fault::from(&error))
    }

    /// Brings the signed indexes of what was brought to the registry it was brought to; a row for each that is new there.
    async fn mirror_indexes(&self, wanted: &[Wanted]) -> Vec<Value> {
        let To::Registry(to) = &self.to else {
            return Vec::new();
        };
        let from = wanted
            .iter()
            .filter_map(|wanted| Some((wanted.urn.namespace(), wanted.from.as_deref()?)));
        let mut rows = Vec::new();
        for (namespace, from) in from.collect::<BTreeSet<_>>() {
            match self.mirror_index(namespace, from, to).await {
                Ok(None) => {}
                Ok(Some(version)) => {
                    rows.push(json!({ "index": namespace, "number": version, "state": "new" }));
                }
                // The versions are there all the same.
                Err(error) => tracing::warn!(namespace, "its index was not brought: {error}"),
            }
        }
        rows
    }

    async fn mirror_index(&self, namespace: &str, from: &str, to: &str) -> Result<Option<u64>, RegistryError> {
        let Some(index) = self.registries.index_of(from, namespace).await? else {
            return Ok(None);
        };
        let there = self.registries.index_of(to, namespace).await?;
        let version = index.document().version;
        if there.is_some_and(|there| there.document().version >= version) {
            return Ok(None);
        }
        self.registries.put_index(to, &index).await?;
        Ok(Some(version))
    }
}

fn row(wanted: &Wanted, ended: Result<Became, Fault>) -> Value {
    let mut row = json!({ "urn": wanted.urn, "version": wanted.version, "digest": wanted.digest });
    let more = match ended {
        Ok(Became::New) => json!({ "state": "new" }),
        Ok(Became::Wanting) => json!({ "state": "would-come" }),
        Ok(Became::Present) => json!({ "state": "present" }),
        Err(fault) => json!({ "state": "refused", "code": fault.code, "why": fault.message, "fix": fault.fix }),
    };
    if let (Some(row), Value::Object(more)) = (row.as_object_mut(), more) {
        row.extend(more);
    }
    row
}

fn shown(document: &Value) -> String {
    let versions = document.get("versions").and_then(Value::as_array);
    let line = |row: &Value| {
        let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default().to_string();
        let name = match (text("urn"), text("registry"), text("index")) {
            (urn, _, _) if !urn.is_empty() => urn,
            (_, registry, _) if !registry.is_empty() => format!("registry {registry}"),
            (_, _, namespace) => format!("index of {namespace}"),
        };
        let why = match (text("code"), text("why")) {
            (code, _) if code.is_empty() => String::new(),
            (code, why) => format!("{code}: {why}"),
        };
        vec![name, text("version"), text("state"), why]
    };
    // What is here already is counted and not listed: it is most of it, most of the time.
    let told = versions.into_iter().flatten();
    let told = told.filter(|row| row.get("state") != Some(&json!("present")));
    let table = render::table(&told.map(line).collect::<Vec<_>>());
    let count = |name: &str| document.get(name).and_then(Value::as_u64).unwrap_or_default();
    let mut sums = vec![
        format!("{} new", count("new")),
        format!("{} here already", count("present")),
        format!("{} refused", count("refused")),
    ];
    if count("would_come") > 0 {
        sums.insert(0, format!("{} would come", count("would_come")));
    }
    let lines = [table.trim_end().to_string(), sums.join(", ")];
    lines
        .into_iter()
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_and_what_did_not_is_listed_and_what_was_there_is_counted() {
        let row = |name: &str, state: &str| json!({ "urn": name, "version": "1.0.0", "state": state });
        let mut refused = row("urn:c", "refused");
        refused["code"] = json!("KIN-X-1");
        refused["why"] = json!("no.");
        let document = json!({
            "new": 1, "would_come": 0, "present": 1, "refused": 1,
            "versions": [row("urn:a", "new"), row("urn:b", "present"), refused],
        });
        let text = shown(&document);
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[0].starts_with("urn:a") && lines[0].ends_with("new"), "{text}");
        assert!(lines[1].ends_with("refused  KIN-X-1: no."), "{text}");
        assert_eq!(lines[2], "1 new, 1 here already, 1 refused");
        let nothing = json!({ "new": 0, "would_come": 0, "present": 4, "refused": 0, "versions": [] });
        assert_eq!(shown(&nothing), "0 new, 4 here already, 0 refused");
    }
}
