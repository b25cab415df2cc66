//! What operators do to capsules, and what they see of them: suspend and resume, limits, quarantine, trust.

use std::sync::Arc;

use kinetic_engine::RunsIn;
use kinetic_identity::{IdentityError, Signers, TrustRoot};
use kinetic_model::{Determinism, Digest, Fault, Limits, LimitsAsk, TrustZone, Urn};
use semver::Version;
use serde::Serialize;
use serde_json::{Value, json};

use crate::executors::TriggerState;
use crate::injection::{Link, using};
use crate::intake::Closed;
use crate::life::Move;
use crate::quarantine::Step;
use crate::stats::Counts;
use crate::swap::Why;
use crate::zones::tenant_of;
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
    /// Whose quota its calls count for.
    pub tenant: String,
    /// How repeatable its results are.
    pub determinism: Determinism,
    /// Where its calls run.
    pub runs_in: RunsIn,
    /// Who provides what it requires.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub uses: Vec<Use>,
    /// Active capsules that use it.
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
    /// What makes the host call it by itself, and how that went; empty for a pinned one.
    pub triggers: Vec<TriggerState>,
    /// When it became active, in milliseconds since 1970.
    pub activated_unix_ms: u64,
}

/// A requirement of a capsule and who meets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Use {
    /// The interface it requires.
    pub interface: String,
    /// Who provides it now: a URN, behind it a digest when it is pinned.
    pub provider: String,
}

impl Use {
    fn of(link: &Link) -> Self {
        Self {
            interface: link.required.to_string(),
            provider: link.target().to_string(),
        }
    }
}

impl Kernel {
    /// Every capsule that is active, suspended or pinned, sorted by URN.
    pub fn processes(&self) -> Vec<Process> {
        let active = self.active();
        let pinned = self.pinned();
        let using_others = using_others(&active);
        let named = active.iter().map(|capsule| (capsule, false));
        let mut all: Vec<Process> = named
            .chain(pinned.iter().map(|capsule| (capsule, true)))
            .map(|(capsule, pinned)| self.process(capsule, pinned, &using_others))
            .collect();
        all.sort_by(|a, b| (&a.urn, a.pinned, &a.version).cmp(&(&b.urn, b.pinned, &b.version)));
        all
    }

    fn process(&self, capsule: &Arc<Capsule>, pinned: bool, using_others: &[Arc<Capsule>]) -> Process {
        let reason = match capsule.intake.closed() {
            None => self.trouble_of(capsule),
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
            tenant: tenant_of(&capsule.manifest).to_string(),
            determinism: governance.determinism,
            runs_in: capsule.capability.runs_in(),
            uses: capsule.links.iter().map(|link| Use::of(link)).collect(),
            dependents: dependents(capsule, using_others),
            limits: capsule.limits,
            counts: capsule.counts(),
            last_error: capsule.stats.last_failure(),
            calls_running: capsule.calls_running(),
            stands_by: capsule
                .probation
                .load()
                .as_ref()
                .map(|probation| probation.former.manifest.version.clone()),
            triggers: if pinned {
                Vec::new()
            } else {
                self.0.board.states(&capsule.manifest.id, &capsule.manifest.triggers)
            },
            activated_unix_ms: capsule.activated_unix_ms,
        }
    }

    /// Active capsules that use this one.
    pub(crate) fn dependents(&self, capsule: &Capsule) -> Vec<Urn> {
        dependents(capsule, &using_others(&self.active()))
    }

    /// Lets no call of a capsule in until it is resumed; those under way end. Holds across restarts.
    ///
    /// # Errors
    /// `NotActive`; `NoSuchTransition` when it is suspended already; `PartOfHost`.
    pub async fn suspend(&self, urn: &Urn, why: &str, actor: Actor) -> Result<Arc<Capsule>, Fault> {
        self.not_a_part(urn)?;
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
        self.journal()
            .write(&[step], Some((urn, &binding)))
            .await?
            .synced()
            .await?;
        self.put_binding(urn, binding);
        capsule.intake.close(Closed::Suspended(why.to_string()));
        Ok(())
    }

    /// Lets calls of a suspended capsule in again.
    ///
    /// # Errors
    /// `NotActive`; `NoSuchTransition` when it is not suspended; `PartOfHost`.
    pub async fn resume(&self, urn: &Urn, actor: Actor) -> Result<Arc<Capsule>, Fault> {
        self.not_a_part(urn)?;
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
        self.journal()
            .write(&[step], Some((urn, &binding)))
            .await?
            .synced()
            .await?;
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
    /// `NotActive`; `PartOfHost`.
    pub async fn limit(&self, urn: &Urn, word: LimitsAsk, actor: Actor) -> Result<Arc<Capsule>, Fault> {
        self.not_a_part(urn)?;
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
    /// its place back to it, and a part of the host gives it to what the program carries.
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
        let urn = &capsule.manifest.id;
        let back = self.go_back(capsule, cause, Actor::Host, Why::Failed(fault)).await;
        match back {
            Ok(Some(_)) => return Ok(()),
            // The host cannot do without its parts.
            Ok(None) if self.is_part(urn) => return self.relieve(capsule, cause, step, fault).await,
            Err(lost) if self.is_part(urn) => {
                tracing::warn!(%urn, "the version before cannot come back: {lost}");
                return self.relieve(capsule, cause, step, fault).await;
            }
            Ok(None) => {}
            Err(lost) => return Err(lost),
        }
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
        self.journal()
            .write(&[quarantined], Some((urn, &binding)))
            .await?
            .synced()
            .await?;
        self.put_binding(urn, binding);
        self.keep_out(&capsule.named, capsule.manifest_digest, step, fault)
            .await?;
        self.remove(capsule);
        capsule.intake.close(Closed::Gone);
        // At once: calls under way are refused their next host call.
        capsule.capability.fence().await;
        capsule.capability.stop().await;
        self.show_stored(urn).await;
        self.replace_provider(urn, cause);
        Ok(())
    }

    /// Quarantines every capsule whose keys are not trusted any more, or not enough, or whose digest is revoked. Gives
    /// their URNs. A root document that has expired takes nothing away.
    ///
    /// # Errors
    /// A trust root that cannot be read, or the root document of a namespace: nothing is changed then that depends on it;
    /// admissions fail until it can.
    pub async fn check_trust(&self) -> Result<Vec<Urn>, Fault> {
        let root = TrustRoot::load(self.trust_root()).map_err(|error| Fault::from(&error))?;
        // What was kept under other keys goes now, and not when somebody asks for it.
        self.enter_epoch().await;
        let (mut revoked, mut failed) = (Vec::new(), None);
        for capsule in self.active().into_iter().chain(self.pinned()) {
            if self.parts().carried().holds(&capsule.digest, &capsule.manifest_digest) {
                continue;
            }
            let digests = [capsule.digest, capsule.manifest_digest];
            let objection = match capsule.signer.parse::<Signers>() {
                Ok(signers) => root.objection(capsule.manifest.id.namespace(), &signers, &digests),
                Err(nobody) => Ok(Some(nobody)),
            };
            let fault = match objection {
                Ok(None) => continue,
                Ok(Some(revoked @ IdentityError::DigestRevoked { .. })) => Fault::from(&revoked),
                Ok(Some(_)) => {
                    if self.signed_anew(&capsule).await {
                        continue;
                    }
                    Fault::from(KernelError::Revoked {
                        what: format!("{}@{}", capsule.manifest.id, capsule.manifest.version),
                        key: capsule.signer.clone(),
                    })
                }
                Err(unknown) => {
                    failed = Some(Fault::from(&unknown));
                    continue;
                }
            };
            // The others are not spared because of one that cannot be recorded; it is tried again.
            match self.quarantine_active(&capsule, Step::Revoked, &fault).await {
                Ok(()) => revoked.push(capsule.manifest.id.clone()),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(revoked), Err)
    }
}

/// Those that use others: few of many.
fn using_others(capsules: &[Arc<Capsule>]) -> Vec<Arc<Capsule>> {
    let uses = |capsule: &&Arc<Capsule>| !capsule.links.is_empty();
    capsules.iter().filter(uses).cloned().collect()
}

fn dependents(capsule: &Capsule, using_others: &[Arc<Capsule>]) -> Vec<Urn> {
    let using = using(using_others, &capsule.manifest.id);
    using.map(|other| other.manifest.id.clone()).collect()
}
