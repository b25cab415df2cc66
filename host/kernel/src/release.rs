//! A signed word that quarantined bytes may be tried again: the one way out of quarantine but other bytes.

use kinetic_identity::{DocumentKind, IdentityError, Statement, TrustRoot, open_statement};
use kinetic_model::{Digest, Fault, Urn};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{Kernel, KernelError, Quarantined};

/// What an override says it is.
pub const RELEASE: &str = "urn:kinetic:predicate:quarantine-release:v1";
/// How deep a statement may nest.
const DEPTH_MAX: usize = 16;
/// The longest reason, in bytes.
const REASON_BYTES_MAX: usize = 1_024;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Predicate {
    reason: String,
    /// When the entry was made that it overrides, in milliseconds since 1970: an override holds once.
    quarantined_unix_ms: u64,
}

/// The statement to be signed so that an entry is released: of these bytes, as they were quarantined at that time.
pub fn override_statement(entry: &Quarantined, reason: &str) -> Vec<u8> {
    let predicate = Predicate {
        reason: reason.into(),
        quarantined_unix_ms: entry.at_unix_ms,
    };
    let statement = Statement::new(entry.urn.clone(), &entry.digest, RELEASE, predicate);
    // Texts and numbers can always be written.
    statement.text().unwrap_or_default()
}

impl Kernel {
    /// Lets quarantined bytes be tried again, by a statement of [`override_statement`] in a DSSE envelope that a key
    /// trusted for the capsule's namespace signed. They are judged anew when they are next asked for.
    ///
    /// # Errors
    /// `NotQuarantined`, `OverrideRefused`.
    pub async fn release(&self, digest: &Digest, envelope: &serde_json::Value) -> Result<Quarantined, Fault> {
        let entry = self
            .quarantine()
            .get(digest)
            .ok_or_else(|| KernelError::NotQuarantined {
                digest: digest.to_string(),
            })?;
        let refused = |why: String| {
            Fault::from(KernelError::OverrideRefused {
                digest: digest.to_string(),
                why,
            })
        };
        let namespace = entry.urn.split(':').nth(1).unwrap_or_default();
        let root = TrustRoot::load(self.trust_root()).map_err(|error| Fault::from(&error))?;
        let kind = DocumentKind::Release;
        let not = |error: IdentityError| refused(error.to_string().trim_end_matches('.').into());
        let (bytes, signer) = open_statement(envelope, &root, namespace, kind).map_err(not)?;
        let statement = Statement::<Predicate>::read(&bytes, kind, RELEASE, DEPTH_MAX).map_err(not)?;
        if statement.sha256() != entry.digest.hex() || statement.name() != entry.urn {
            return Err(refused("it is about other bytes".into()));
        }
        let Predicate {
            reason,
            quarantined_unix_ms,
        } = statement.into_predicate();
        if quarantined_unix_ms != entry.at_unix_ms {
            return Err(refused("it is about an earlier quarantine of the same bytes".into()));
        }
        if reason.is_empty() || reason.len() > REASON_BYTES_MAX {
            return Err(refused(format!("its reason must have 1 to {REASON_BYTES_MAX} bytes")));
        }
        let urn: Urn = entry.urn.parse().map_err(|_| refused("its URN is none".into()))?;
        let version = entry
            .version
            .parse()
            .map_err(|_| refused("its version is none".into()))?;
        let named = self
            .journal()
            .begin(urn.clone(), version, entry.digest, "the quarantine");
        let detail = json!({ "reason": reason, "signer": signer.to_string(), "code": entry.code });
        self.journal().swap_step(&named, "released", detail).await?;
        self.quarantine().clear(digest);
        self.show_stored(&urn).await;
        Ok(entry)
    }
}
