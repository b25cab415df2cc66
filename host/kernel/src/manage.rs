//! What operators do to capsules, and what they see of them: suspend and resume, limits, quarantine, trust.

use std::sync::Arc;

use kinetic_identity::TrustRoot;
use kinetic_model::{Determinism, Digest, Fault, Limits, LimitsAsk, TrustZone, Urn};
use semver::Version;
use serde::Serialize;
use serde_json::{Value, json};

use crate::intake::Closed;
use crate::life::Move;
use crate::quarantine::Step;
use crate::stats::Counts;
use crate::swap::Why;
use crate::{Actor, Capsule, Cause, Kernel, KernelError, Manifest, State};

/// A capsule as `ps` shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Process {
    /// Its URN.
    pub urn: Urn,
    /// Its version.
    pub version: Version,
    /// SHA-256 of its component.
    pub digest: Digest,
    /// Where it stands.
    pub state: State,
    /// Why, if there is more to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Counts the flips of this URN on this host.
    pub generation: u64,
    /// Calls reach it only when they pin it.
    pub pinned: bool,
    /// How far it is trusted.
    pub zone: TrustZone,
    /// How repeatable its results are.
    pub determinism: Determinism,
    /// Active capsules that require an interface it provides.
    pub dependents: Vec<Urn>,
    /// The limits its calls run under.
    pub limits: Limits,
    /// How its calls went since it became active.
    pub counts: Counts,
    /// What its last failed call failed with, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Calls that run now.
    pub calls_running: u64,
    /// The version that stands by while this one is on probation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stands_by: Option<Version>,
    /// When it became active, in milliseconds since 1970.
    pub activated_unix_ms: u64,
}

impl Kernel {
    /// Every capsule that is active, suspended or pinned, sorted by URN.
    pub fn processes(&self) -> Vec<Process> {
        let active = self.list();
        let pinned = self.pinned();
        let requiring = requiring(&active);
        let named = active.iter().map(|capsule| (capsule, false));
        let mut all: Vec<Process> = named
            .chain(pinned.iter().map(|capsule| (capsule, true)))
            .map(|(capsule, pinned)| self.process(capsule, pinned, &requiring))
            .collect();
        all.sort_by(|a, b| (&a.urn, a.pinned, &a.version).cmp(&(&b.urn, b.pinned, &b.version)));
        all
    }

    fn process(&self, capsule: &Arc<Capsule>, pinned: bool, requiring: &[Arc<Capsule>]) -> Process {
        let reason = match capsule.intake.closed() {
            None => None,
            Some(Closed::Moving) => Some("draining: another version takes over".to_string()),
            Some(Closed::Gone) => Some("draining".to_string()),
            Some(Closed::Suspended(why)) => Some(why),
        };
        let governance = &capsule.manifest.governance;
        Process {
            urn: capsule.manifest.id.clone(),
            version: capsule.manifest.version.clone(),
            digest: capsule.digest,
            state: self.journal().state(&capsule.named).unwrap_or(State::Unloaded),
            reason,
            generation: capsule.generation,
            pinned,
            zone: governance.trust_zone,
            determinism: governance.determinism,
            dependents: dependents(capsule, requiring),
            limits: capsule.limits,
            counts: capsule.counts(),
            last_error: capsule.stats.last_failure(),
            calls_running: capsule.calls_running(),
            stands_by: capsule
                .probation
                .load()
                .as_ref()
                .map(|probation| probation.former.manifest.version.clone()),
            activated_unix_ms: capsule.activated_unix_ms,
        }
    }

    /// Active capsules that require an interface this one provides.
    pub(crate) fn dependents(&self, capsule: &Capsule) -> Vec<Urn> {
        dependents(capsule, &requiring(&self.list()))
    }

    /// Lets no call of a capsule in until it is resumed; those under way end. Holds across restarts.
    ///
    /// # Errors
    /// `NotActive`; `NoSuchTransition` when it is suspended already.
    pub async fn suspend(&self, urn: &Urn, why: &str, actor: Actor) -> Result<Arc<Capsule>, Fault> {
        let (kernel, urn, why) = (self.clone(), urn.clone(), why.to_string());
        self.to_the_end(async move {
            let _turn = kernel.turn(&urn).await;
            let capsule = kernel.current(&urn)?;
            kernel.suspend_now(&capsule, &why, Cause::Asked, actor).await?;
            Ok(capsule)
        })
        .await
    }

    /// As [`Kernel::suspend`], with the turn held.
    pub(crate) async fn suspend_now(
        &self,
        capsule: &Arc<Capsule>,
        why: &str,
        cause: Cause,
        actor: Actor,
    ) -> Result<(), Fault> {
        let urn = &capsule.manifest.id;
        let mut binding = self.binding(urn).unwrap_or_else(|| self.binding_of(capsule, false));
        binding.state = State::Suspended;
        binding.reason = Some(why.to_string());
        let step = Move {
            what: &capsule.named,
            to: State::Suspended,
            cause,
            actor,
            reason: json!(why),
        };
        self.journal().write(&[step], Some((urn, &binding))).await?;
        self.put_binding(urn, binding);
        capsule.intake.close(Closed::Suspended(why.to_string()));
        Ok(())
    }

    /// Lets calls of a suspended capsule in again.
    ///
    /// # Errors
    /// `NotActive`; `NoSuchTransition` when it is not suspended.
    pub async fn resume(&self, urn: &Urn, actor: Actor) -> Result<Arc<Capsule>, Fault> {
        let (kernel, urn) = (self.clone(), urn.clone());
        self.to_the_end(async move { kernel.resume_now(&urn, actor).await })
            .await
    }

    async fn resume_now(&self, urn: &Urn, actor: Actor) -> Result<Arc<Capsule>, Fault> {
        let _turn = self.turn(urn).await;
        let capsule = self.current(urn)?;
        let mut binding = self.binding(urn).unwrap_or_else(|| self.binding_of(&capsule, false));
        binding.state = State::Active;
        binding.reason = None;
        let step = Move {
            what: &capsule.named,
            to: State::Active,
            cause: Cause::Asked,
            actor,
            reason: Value::Null,
        };
        self.journal().write(&[step], Some((urn, &binding))).await?;
        self.put_binding(urn, binding);
        capsule.intake.open();
        Ok(capsule)
    }

    /// The limits of a manifest under the operator's word for its URN: the smaller of both wins.
    pub(crate) fn limits_under(&self, manifest: &Manifest, word: &LimitsAsk) -> Limits {
        let (limits, _) = self.policy().limits(manifest);
        limits.lowered_to(word)
    }

    /// The limits of a manifest under what the operator set for its URN.
    pub(crate) fn limits_by_operator(&self, manifest: &Manifest) -> Limits {
        let word = self.binding(&manifest.id).map(|binding| binding.limits);
        self.limits_under(manifest, &word.unwrap_or_default())
    }

    /// Sets limits below those a capsule gets by its manifest; what is not named goes back to the manifest's. It reaches
    /// the next call at once, without a restart, and holds across restarts.
    ///
    /// # Errors
    /// `NotActive`.
    pub async fn limit(&self, urn: &Urn, word: LimitsAsk, actor: Actor) -> Result<Arc<Capsule>, Fault> {
        let (kernel, urn) = (self.clone(), urn.clone());
        self.to_the_end(async move { kernel.limit_now(&urn, word, actor).await })
            .await
    }

    async fn limit_now(&self, urn: &Urn, word: LimitsAsk, actor: Actor) -> Result<Arc<Capsule>, Fault> {
        let _turn = self.turn(urn).await;
        let capsule = self.current(urn)?;
        let limits = self.limits_under(&capsule.manifest, &word);
        let mut binding = self.binding(urn).unwrap_or_else(|| self.binding_of(&capsule, false));
        binding.limits = word;
        let document = json!({
            "event": "limits",
            "limits": limits,
            "actor": actor,
        });
        self.journal().bind(&capsule.named, &binding, document).await?;
        self.put_binding(urn, binding);
        let limited = Arc::new(capsule.under(limits));
        self.put_active(limited.clone());
        Ok(limited)
    }

    /// Takes a capsule out of service at once and keeps its bytes from coming back. One whose predecessor stands by gives
    /// its place back to it.
    pub(crate) async fn quarantine_active(
        &self,
        capsule: &Arc<Capsule>,
        step: Step,
        fault: &Fault,
    ) -> Result<(), Fault> {
        let cause = if step == Step::Revoked {
            Cause::Revoked
        } else {
            Cause::Strikes
        };
        if self
            .go_back(capsule, cause, Actor::Host, Why::Failed(fault))
            .await?
            .is_some()
        {
            return Ok(());
        }
        let urn = &capsule.manifest.id;
        let _turn = self.turn(urn).await;
        if !matches!(
            self.journal().state(&capsule.named),
            Some(State::Active | State::Suspended)
        ) {
            return Ok(());
        }
        capsule.intake.close(Closed::Suspended(fault.message.clone()));
        let mut binding = self.binding(urn).unwrap_or_else(|| self.binding_of(capsule, false));
        binding.state = State::Quarantined;
        binding.reason = Some(fault.message.clone());
        binding.chosen = false;
        let quarantined = Move {
            what: &capsule.named,
            to: State::Quarantined,
            cause,
            actor: Actor::Host,
            reason: json!({ "code": fault.code, "message": fault.message }),
        };
        self.journal().write(&[quarantined], Some((urn, &binding))).await?;
        self.put_binding(urn, binding);
        self.keep_out(&capsule.named, capsule.manifest_digest, step, fault)?;
        self.remove(capsule);
        capsule.intake.close(Closed::Gone);
        // At once: calls under way are refused their next host call.
        capsule.capability.fence().await;
        capsule.capability.stop().await;
        Ok(())
    }

    /// Quarantines every capsule whose key is not trusted any more. Gives their URNs.
    ///
    /// # Errors
    /// A trust root that cannot be read: nothing is changed then; admissions fail until it can.
    pub async fn check_trust(&self) -> Result<Vec<Urn>, Fault> {
        let root = TrustRoot::load(self.trust_root()).map_err(|error| Fault::from(&error))?;
        let (mut revoked, mut failed) = (Vec::new(), None);
        for capsule in self.list().into_iter().chain(self.pinned()) {
            let trusted = root.trusted(capsule.manifest.id.namespace());
            if trusted.iter().any(|key| key.key.id().to_string() == capsule.signer) {
                continue;
            }
            let fault = Fault::from(KernelError::Revoked {
                what: format!("{}@{}", capsule.manifest.id, capsule.manifest.version),
                key: capsule.signer.clone(),
            });
            // The others are not spared because of one that cannot be recorded; it is tried again.
            match self.quarantine_active(&capsule, Step::Revoked, &fault).await {
                Ok(()) => revoked.push(capsule.manifest.id.clone()),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(revoked), Err)
    }
}

/// Those that require anything: few of many.
fn requiring(capsules: &[Arc<Capsule>]) -> Vec<Arc<Capsule>> {
    let requires = |capsule: &&Arc<Capsule>| !capsule.manifest.capabilities.requires.is_empty();
    capsules.iter().filter(requires).cloned().collect()
}

fn dependents(capsule: &Capsule, requiring: &[Arc<Capsule>]) -> Vec<Urn> {
    let provides = &capsule.manifest.capabilities.provides;
    let requires = |other: &Capsule| {
        let mut required = other.manifest.capabilities.requires.iter();
        required.any(|required| provides.iter().any(|provided| satisfies(provided, required)))
    };
    let dependents = requiring.iter().filter(|other| requires(other));
    dependents.map(|other| other.manifest.id.clone()).collect()
}

/// Whether a provided interface is one that is required: the same name, and a version that semver says fits.
pub(crate) fn satisfies(provided: &str, required: &str) -> bool {
    let (Some((has, has_version)), Some((wants, wants_version))) = (provided.split_once('@'), required.split_once('@'))
    else {
        return false;
    };
    let (Ok(has_version), Ok(wants_version)) = (Version::parse(has_version), semver::VersionReq::parse(wants_version))
    else {
        return false;
    };
    has == wants && wants_version.matches(&has_version)
}
