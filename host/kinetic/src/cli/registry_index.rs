//! `kinetic registry index`: the next signed index of a namespace, for registries at which no host signs.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use kinetic_identity::{SigningKey, utc_text};
use kinetic_model::{CapsuleRef, Pin, Urn};
use kinetic_registry::{Renewal, Renewed};
use semver::Version;
use serde_json::{Value, json};

use super::Context;
use crate::data_dir::DataDir;
use crate::error::CliError;
use crate::registries;

/// The longest an index may count, in hours: a year.
const VALID_HOURS_MAX: u64 = 8_784;
const HOUR_S: u64 = 3_600;

/// Sign the list of a namespace's versions, and put it up at a dir: or oci: registry
///
/// Hosts that pinned a root document of the namespace believe a registry only what such an index
/// lists, as long as it counts: renew it in time, after each publication, and to yank. Versions
/// that were listed stay listed; new ones are listed when their receipts are believed here. Its
/// version counts up. A host signs the indexes of its own registry itself.
///
/// An OCI registry does not say which URNs it holds: those of the index before are looked at, and
/// those that --urn names.
///
///     kinetic registry index acme --registry site --key index.pem
///     kinetic registry index acme --registry team --key index.pem --urn urn:acme:actionspace:solver:word_count:v1
///     kinetic registry index acme --registry site --key index.pem --yank urn:acme:actionspace:solver:word_count:v1@1.2.0="it forgets words"
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Index {
    /// The second part of the URNs
    namespace: String,
    /// The registry it is put up at
    #[arg(long, value_name = "NAME")]
    registry: String,
    /// A private key with the role "index"; again for each further one that has to sign
    #[arg(long = "key", value_name = "FILE", required = true)]
    keys: Vec<PathBuf>,
    /// How long it counts
    #[arg(long, value_name = "N", default_value_t = 168, value_parser = clap::value_parser!(u64).range(1..=VALID_HOURS_MAX))]
    valid_hours: u64,
    /// A version that is not to be used any more, and why; may be given several times
    #[arg(long = "yank", value_name = "URN@VERSION=REASON")]
    yank: Vec<String>,
    /// A version that may be used again; may be given several times
    #[arg(long = "unyank", value_name = "URN@VERSION")]
    unyank: Vec<CapsuleRef>,
    /// A URN to look for at an OCI registry; may be given several times
    #[arg(long = "urn", value_name = "URN")]
    urns: Vec<Urn>,
}

impl Index {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let config = context.load(None)?.config;
        let data = DataDir::existing(&context.data()?)?;
        let yank = self.yank.iter().map(|text| yanked(text)).collect::<Result<_, _>>()?;
        let unyank = self.unyank.into_iter().map(versioned).collect::<Result<_, _>>()?;
        let keys = self.keys.iter().map(|path| SigningKey::load(path));
        let keys: Vec<_> = keys.collect::<Result<_, _>>()?;
        let renewal = Renewal {
            keys: &keys,
            valid: Duration::from_secs(self.valid_hours.saturating_mul(HOUR_S)),
            yank,
            unyank,
            urns: self.urns,
        };
        let registries = registries::of(&data, &config)?;
        let renewed = super::block_on(async {
            let renewing = registries.renew_index(&self.registry, &self.namespace, renewal);
            Ok(renewing.await?)
        })?;
        let document = described(&self.registry, &renewed);
        context.print(&document, || shown(&self.registry, &renewed));
        Ok(ExitCode::SUCCESS)
    }
}

fn described(registry: &str, renewed: &Renewed) -> Value {
    let index = renewed.index.document();
    let left: Value = renewed
        .left
        .iter()
        .map(|left| json!({ "what": left.what, "code": left.why.code, "why": left.why.message }))
        .collect();
    json!({
        "registry": registry, "namespace": index.namespace, "version": index.version,
        "digest": renewed.index.digest(), "expires_unix_ms": index.expires_unix_ms,
        "entries": index.entries.len(), "added": renewed.added,
        "yanked": index.entries.iter().filter(|entry| entry.yanked.is_some()).count(),
        "left_out": left,
    })
}

fn shown(registry: &str, renewed: &Renewed) -> String {
    let index = renewed.index.document();
    let mut lines = vec![format!(
        "version {} of the index of {} is at {registry}: {} versions, {} of them new; it counts until {}",
        index.version,
        index.namespace,
        index.entries.len(),
        renewed.added,
        utc_text(index.expires_unix_ms)
    )];
    let left = renewed.left.iter();
    lines.extend(left.map(|left| format!("left out: {}: {}", left.what, left.why.message)));
    lines.join("\n")
}

/// `URN@VERSION=REASON`
fn yanked(text: &str) -> Result<(Urn, Version, String), CliError> {
    let bad = |why: &str| CliError::BadArgument {
        why: format!("--yank {text}: {why}"),
    };
    let (what, reason) = text
        .split_once('=')
        .ok_or_else(|| bad("it gives no reason behind a ="))?;
    let what: CapsuleRef = what.parse().map_err(|_| bad("it names no URN and version"))?;
    if reason.is_empty() {
        return Err(bad("its reason is empty"));
    }
    let (urn, version) = versioned(what)?;
    Ok((urn, version, reason.to_string()))
}

/// URN and version of a reference that names one.
pub(super) fn versioned(what: CapsuleRef) -> Result<(Urn, Version), CliError> {
    match what.pin {
        Pin::Version(version) => Ok((what.urn, version)),
        Pin::Active | Pin::Digest(_) => Err(CliError::BadArgument {
            why: format!("{what} names no version, like URN@1.2.0"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_yanked_with_a_reason_that_may_hold_anything() {
        let (urn, version, why) = yanked("urn:acme:actionspace:solver:a:v1@1.2.0=it says a=b").unwrap();
        assert_eq!(
            (urn.name(), version.to_string().as_str(), why.as_str()),
            ("a", "1.2.0", "it says a=b")
        );
        for bad in [
            "urn:acme:actionspace:solver:a:v1@1.2.0",
            "urn:acme:actionspace:solver:a:v1@1.2.0=",
            "urn:acme:actionspace:solver:a:v1=why",
            "a@1.2.0=why",
        ] {
            assert!(matches!(yanked(bad), Err(CliError::BadArgument { .. })), "{bad}");
        }
    }
}
