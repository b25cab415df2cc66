//! Crystallization: a topology that was made from recorded calls is measured against their records, signed, and put into
//! the outbox, from where a registry gives it its permanent URN.

use std::collections::BTreeSet;
use std::path::PathBuf;

use kinetic_identity::{PROMOTION_SOURCES_MAX, Promoting, Promotion, PublicKey, SigningKey, Topology, TrustRoot};
use kinetic_ledger::{Ledger, LedgerError};
use kinetic_model::{CapsuleRef, Fault, Pin, Urn};
use kinetic_registry::{Promoted, Publish as _, RegistryError, accept_promotion};
use semver::Version;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{Kernel, KernelError, OutboxView};

/// What made a promotion, as it says itself.
const SOFTWARE: &str = concat!("kinetic/", env!("CARGO_PKG_VERSION"));
/// What the receipt of a call says that it is of.
const CALL: &str = "execution";
const STORE: &str = "the local store";

/// Where the keys are that promotions are signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrystallizationKeys {
    /// The key for all namespaces; without one that of the URN's namespace in the folder below.
    pub key: Option<PathBuf>,
    /// The folder of namespaces' keys: `NAMESPACE.pem`.
    pub folder: PathBuf,
}

/// What somebody wants to have promoted.
#[derive(Clone, Debug, PartialEq)]
pub struct Crystallization {
    /// The registry that is to give it its URN, by its name on this host.
    pub registry: String,
    /// The permanent URN.
    pub urn: Urn,
    /// Its version; the major is the URN's.
    pub version: Version,
    /// The topology document.
    pub topology: Map<String, Value>,
    /// The calls it was made from, by the names of their receipts; one that is named twice counts once.
    pub events: Vec<String>,
    /// The workflow or thread it came from.
    pub workflow_id: Option<String>,
}

/// What the ledger says of the calls.
#[derive(Debug, PartialEq, Eq)]
struct Episodes {
    ids: BTreeSet<String>,
    bytes: u64,
    newest_unix_ms: u64,
}

/// A receipt, as far as it matters here.
#[derive(Deserialize)]
struct Recorded {
    predicate: RecordedEvent,
}

#[derive(Deserialize)]
struct RecordedEvent {
    event: String,
}

impl CrystallizationKeys {
    /// The file of the key that signs for a namespace, which is a checked word.
    fn of(&self, namespace: &str) -> PathBuf {
        let own = || self.folder.join(format!("{namespace}.pem"));
        self.key.clone().unwrap_or_else(own)
    }
}

impl Kernel {
    /// Lets this host crystallize, with these keys; each is read when it is needed.
    ///
    /// # Errors
    /// `NoCrystallization` when it was said already.
    pub fn allow_crystallization(&self, keys: CrystallizationKeys) -> Result<(), Fault> {
        self.0.crystallization.set(keys).map_err(|_| {
            let why = "its keys were named already".into();
            KernelError::NoCrystallization { why }.into()
        })
    }

    /// Measures a topology against the records of the calls it was made from, signs the promotion, and puts it into the
    /// outbox for the registry of that name. When this returns it is in the ledger and on the disk; its URN is permanent
    /// when the registry has it.
    ///
    /// # Errors
    /// A host without an outbox or keys; a registry that is not known or not for the namespace; `NotAnEpisode`,
    /// `BadCrystallization`; what [`Promotion::sign`] refuses; a key that this host's own trust root does not take for
    /// enough; a name that another topology has here; an outbox that is full.
    pub async fn crystallize(&self, what: Crystallization) -> Result<OutboxView, Fault> {
        let no = |why: &str| KernelError::NoCrystallization { why: why.into() };
        let outbox = self.open_one()?.clone();
        let keys = self.0.crystallization.get();
        let keys = keys.ok_or_else(|| no("it was given no keys"))?.clone();
        let recorder = self.0.recorder.as_ref();
        let ledger = recorder.ok_or_else(|| no("it keeps no ledger"))?.ledger.clone();
        let namespace = what.urn.namespace();
        self.registries().permits(&what.registry, namespace)?;
        let trust_root = self.trust_root().to_path_buf();
        let (registry, key_file) = (what.registry.clone(), keys.of(namespace));
        // Records and keys are read from the disk.
        let made = tokio::task::spawn_blocking(move || {
            let promotion = make(what, &ledger, &key_file)?;
            // What this host would not believe itself it sends to nobody.
            let root = TrustRoot::load(&trust_root).map_err(|error| Fault::from(&error))?;
            promotion.verify(&root).map_err(|error| Fault::from(&error))?;
            Ok::<_, Fault>(promotion)
        });
        let promotion = made
            .await
            .map_err(|error| KernelError::NoCrystallization { why: error.to_string() })??;
        self.name_is_free(&promotion).await?;
        self.to_the_end(async move { outbox.accept_promotion(registry, &promotion).await })
            .await
    }

    /// Takes a promotion that somebody publishes to this host: verified against its trust root, kept once, never replaced.
    ///
    /// # Errors
    /// What [`accept_promotion`] refuses; [`RegistryError::PromotionTaken`]; a store that cannot be written.
    pub async fn take_promotion(&self, envelope: &Value) -> Result<Promoted, Fault> {
        let root = TrustRoot::load(self.trust_root()).map_err(|error| Fault::from(&error))?;
        let accepted = accept_promotion(envelope, &root)?;
        self.name_is_free(&accepted.promotion).await?;
        let promoted = Promoted::of(&accepted.promotion);
        let store = self.store().clone();
        self.to_the_end(async move { Ok(store.put_promotion(accepted.promotion).await?) })
            .await?;
        Ok(promoted)
    }

    /// Passes when the local store has nothing else under the name.
    async fn name_is_free(&self, promotion: &Promotion) -> Result<(), Fault> {
        let what = CapsuleRef {
            urn: promotion.urn().clone(),
            pin: Pin::Version(promotion.version().clone()),
        };
        let taken = |there: String| {
            Fault::from(RegistryError::PromotionTaken {
                what: what.to_string(),
                origin: STORE.into(),
                there,
                digest: promotion.digest().to_string(),
            })
        };
        if self.store().resolve(&what).is_some() {
            return Err(taken("a capsule".into()));
        }
        match self.store().promotion(&what).await {
            Ok(there) if there.digest() == promotion.digest() => Ok(()),
            Ok(there) => Err(taken(there.digest().to_string())),
            Err(RegistryError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Reads what it was made from, and signs. Blocks on the disk.
fn make(what: Crystallization, ledger: &Ledger, key_file: &std::path::Path) -> Result<Promotion, Fault> {
    let topology = Topology::new(what.topology).map_err(|error| Fault::from(&error))?;
    let episodes = episodes(ledger, &what.events)?;
    let host: PublicKey = ledger.key();
    let key = SigningKey::load(key_file).map_err(|error| Fault::from(&error))?;
    let promoting = Promoting {
        urn: what.urn,
        version: what.version,
        topology,
        sources: episodes.ids,
        events_bytes: episodes.bytes,
        newest_unix_ms: episodes.newest_unix_ms,
        host,
        software: SOFTWARE.into(),
        workflow_id: what.workflow_id,
    };
    Promotion::sign(&promoting, &key).map_err(|error| Fault::from(&error))
}

/// Looks each call up in the ledger.
fn episodes(ledger: &Ledger, events: &[String]) -> Result<Episodes, Fault> {
    if events.is_empty() || events.len() > PROMOTION_SOURCES_MAX {
        let why = format!("it must name 1 to {PROMOTION_SOURCES_MAX} events");
        return Err(KernelError::BadCrystallization { why }.into());
    }
    let ids: BTreeSet<String> = events.iter().cloned().collect();
    let (mut bytes, mut newest_unix_ms) = (0_u64, 0);
    for id in &ids {
        let (size_bytes, unix_ms) = episode(ledger, id)?;
        bytes = bytes.saturating_add(size_bytes);
        newest_unix_ms = unix_ms.max(newest_unix_ms);
    }
    Ok(Episodes {
        ids,
        bytes,
        newest_unix_ms,
    })
}

/// Size and time of the record of a call.
fn episode(ledger: &Ledger, id: &str) -> Result<(u64, u64), Fault> {
    let unknown = |why: &str| {
        Fault::from(KernelError::NotAnEpisode {
            id: id.chars().filter(|c| !c.is_control()).take(64).collect(),
            why: why.into(),
        })
    };
    let seq = id.split_once('-').and_then(|(seq, _)| seq.parse::<u64>().ok());
    let seq = seq.ok_or_else(|| unknown("it is not the name of a receipt"))?;
    if seq >= ledger.records() {
        return Err(unknown("there is no such record"));
    }
    let record = match ledger.read(seq, 1) {
        Ok(mut records) => records.pop().ok_or_else(|| unknown("there is no such record"))?,
        Err(LedgerError::BelowHorizon { .. }) => return Err(unknown("its record was removed")),
        Err(error) => return Err(Fault::from(&error)),
    };
    if record.receipt_id()? != id {
        return Err(unknown("its record has another receipt"));
    }
    let receipt = record.receipt()?;
    let recorded = receipt.and_then(|receipt| serde_json::from_slice::<Recorded>(&receipt).ok());
    if recorded.is_none_or(|recorded| recorded.predicate.event != CALL) {
        return Err(unknown("it is not the record of a call"));
    }
    Ok((record.size_bytes(), record.unix_ns / 1_000_000))
}

#[cfg(test)]
mod tests {
    use kinetic_ledger::{Commit, LedgerConfig};
    use serde_json::json;

    use super::*;

    async fn record(ledger: &Ledger, event: &str) -> String {
        let receipt = json!({ "predicate": { "event": event, "padding": "x".repeat(100) } });
        let commit = Commit::of_receipt(receipt.to_string().into_bytes());
        ledger.commit(commit).await.unwrap().receipt_id
    }

    #[tokio::test]
    async fn only_the_records_of_calls_count_and_each_counts_once() {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::generate().unwrap();
        let config = LedgerConfig::new(&folder.path().join("ledger"), "kinetic/ledger/tests");
        let ledger = Ledger::open(config, key).unwrap();
        let (first, second) = (record(&ledger, CALL).await, record(&ledger, CALL).await);
        let other = record(&ledger, "lifecycle").await;
        let one = episodes(&ledger, std::slice::from_ref(&first)).unwrap();
        assert!(one.bytes > 100 && one.newest_unix_ms > 0);
        let both = episodes(&ledger, &[second.clone(), first.clone(), first.clone()]).unwrap();
        assert_eq!(both.bytes, one.bytes * 2);
        assert_eq!(both.ids, BTreeSet::from([first.clone(), second]));
        let tampered = format!("{}0", &first[..first.len() - 1]);
        let tampered = if tampered == first {
            format!("{}1", &first[..first.len() - 1])
        } else {
            tampered
        };
        for id in [other, tampered, "99-0123456789abcdef".into(), "x".into(), String::new()] {
            let refused = episodes(&ledger, &[first.clone(), id]).unwrap_err();
            assert_eq!(refused.code, "KIN-KER-0075");
        }
        for none in [Vec::new(), vec![first; PROMOTION_SOURCES_MAX + 1]] {
            let refused = episodes(&ledger, &none).unwrap_err();
            assert_eq!(refused.code, "KIN-KER-0076");
        }
        ledger.close().await;
    }

    #[test]
    fn a_namespace_has_a_key_of_its_own_unless_one_is_for_all() {
        let mut keys = CrystallizationKeys {
            key: None,
            folder: "keys".into(),
        };
        assert_eq!(keys.of("acme"), PathBuf::from("keys/acme.pem"));
        keys.key = Some("all.pem".into());
        assert_eq!(keys.of("acme"), PathBuf::from("all.pem"));
    }
}
