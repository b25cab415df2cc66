//! A version on its way in: each step of admission one after the other, and a record of each that was reached.

use std::sync::Arc;

use kinetic_model::{Digest, Fault, Hashed};
use kinetic_registry::{Descriptor, RegistryError, Source};
use serde_json::{Value, json};

use crate::admission::{Code, Described, Loaded, Pace, Refusal, Verified, Vouched};
use crate::injection::Link;
use crate::install::is_passing;
use crate::life::{Move, Named};
use crate::quarantine::Step;
use crate::{Actor, Cause, Kernel, State};

/// A version on its way in: what its records say.
struct Arrival {
    named: Named,
    /// SHA-256 of the manifest's text.
    manifest: Digest,
    actor: Actor,
    /// Why it is here...
    cause: Cause,
    /// ...and where from.
    place: Value,
    pace: Pace,
}

impl Kernel {
    /// Admits what a registry described. Its component is fetched when everything else about it is good, and only if it is
    /// not here already.
    pub(crate) async fn load(
        &self,
        source: &dyn Source,
        descriptor: Descriptor,
        actor: Actor,
    ) -> Result<Loaded, Fault> {
        // Boxed, as below: an admission takes much room, and whoever waits for one has it in its own future.
        Box::pin(self.load_now(source, descriptor, actor)).await
    }

    async fn load_now(&self, source: &dyn Source, descriptor: Descriptor, actor: Actor) -> Result<Loaded, Fault> {
        self.refuse_quarantined(&descriptor)?;
        within(&descriptor, self.engine().config().component_bytes_max)?;
        let epoch = if source.is_here() {
            None
        } else {
            self.enter_epoch().await
        };
        let arrival = self.arrival(&descriptor, source.name(), actor, (Cause::Found, Value::Null));
        let vouched = self.vouched(descriptor.clone(), &arrival).await?;
        let (manifest, _, signer) = vouched.what();
        if let Err(denied) = self.policy().check_activation(manifest, signer, actor) {
            return self.denied(denied.into(), &arrival).await;
        }
        let code = self.bring(source, &descriptor, epoch).await?;
        let component = match &code {
            Code::Bytes(bytes) => Some(bytes.clone()),
            Code::Known(_) => None,
        };
        let loaded = self.admit_vouched(vouched, code, &arrival).await?;
        self.keep(source, descriptor, component, epoch).await;
        Ok(loaded)
    }

    /// Vouches, compiles, links and probes; quarantines what fails. `found` says how it came here, and where from beside its
    /// source.
    pub(crate) async fn admit(
        &self,
        descriptor: Descriptor,
        component: Hashed,
        source: &str,
        actor: Actor,
        found: (Cause, Value),
    ) -> Result<Loaded, Fault> {
        let arrival = self.arrival(&descriptor, source, actor, found);
        let vouched = self.vouched(descriptor, &arrival).await?;
        Box::pin(self.admit_vouched(vouched, Code::Bytes(component), &arrival)).await
    }

    fn arrival(&self, descriptor: &Descriptor, source: &str, actor: Actor, found: (Cause, Value)) -> Arrival {
        let (urn, version) = (descriptor.urn.clone(), descriptor.version.clone());
        let (cause, mut place) = found;
        if place.is_null() {
            place = json!({});
        }
        if let Some(members) = place.as_object_mut() {
            members.insert("source".into(), source.into());
        }
        let pace = if self.current(&descriptor.urn).is_ok() {
            Pace::Behind
        } else {
            Pace::AsCalls
        };
        Arrival {
            named: self.journal().begin(urn, version, descriptor.digest, source),
            manifest: Digest::of(descriptor.manifest.as_bytes()),
            actor,
            cause,
            place,
            pace,
        }
    }

    /// Receipt and manifest; nothing is recorded of what is good so far, as its component may never come.
    async fn vouched(&self, descriptor: Descriptor, arrival: &Arrival) -> Result<Vouched, Fault> {
        let described = Described {
            descriptor,
            named: arrival.named.clone(),
        };
        let kernel = self.clone();
        let vouched = arrival.pace.take(async move { described.vouch(&kernel.0.judge) });
        match vouched.await {
            Ok(vouched) => Ok(vouched),
            Err(refusal) => {
                self.discovered(arrival).await?;
                self.refused_at(refusal, arrival).await
            }
        }
    }

    /// From a version that is vouched for, and its component, to one that is ready.
    async fn admit_vouched(&self, vouched: Vouched, code: Code, arrival: &Arrival) -> Result<Loaded, Fault> {
        let Arrival { named, actor, .. } = arrival;
        self.discovered(arrival).await?;
        let admitted = match vouched.with(code) {
            Ok(verified) => {
                self.admitted(named, State::Verified, Cause::Admitted, *actor, verified.attested())
                    .await?;
                match self.allowed_links(&verified, *actor).await {
                    Err(fault) => return self.let_down(fault, arrival).await,
                    Ok(links) => {
                        // Not while others are made active that it requires: they need one of these, too. Closing the
                        // semaphore is the only way it fails, and nothing closes it.
                        let _permit = self.0.admissions.acquire().await.ok();
                        verified.load(&self.0.judge, links, arrival.pace).await
                    }
                }
            }
            Err(refusal) => Err(refusal),
        };
        match admitted {
            Ok(loaded) => {
                self.admitted(named, State::Loaded, Cause::Admitted, *actor, Value::Null)
                    .await?;
                self.quarantine().clear_admitted(&loaded.digest);
                Ok(loaded)
            }
            Err(refusal) => self.refused_at(refusal, arrival).await,
        }
    }

    async fn discovered(&self, arrival: &Arrival) -> Result<(), Fault> {
        let Arrival {
            named,
            actor,
            cause,
            place,
            ..
        } = arrival;
        self.admitted(named, State::Discovered, *cause, *actor, place.clone())
            .await
    }

    /// Policies keep a version out that is good otherwise; its component was not fetched.
    async fn denied<T>(&self, fault: Fault, arrival: &Arrival) -> Result<T, Fault> {
        self.discovered(arrival).await?;
        self.admitted(
            &arrival.named,
            State::Verified,
            Cause::Admitted,
            arrival.actor,
            Value::Null,
        )
        .await?;
        self.let_down(fault, arrival).await
    }

    /// What policies and other capsules say is not its fault, and can be otherwise tomorrow.
    async fn let_down<T>(&self, fault: Fault, arrival: &Arrival) -> Result<T, Fault> {
        let reason = json!({ "step": Step::Link, "code": fault.code, "message": fault.message });
        self.admitted(
            &arrival.named,
            State::Unloaded,
            Cause::HostFailed,
            arrival.actor,
            reason,
        )
        .await?;
        Err(fault)
    }

    /// Records a refusal, and quarantines what is to blame for it.
    async fn refused_at<T>(&self, refusal: Refusal, arrival: &Arrival) -> Result<T, Fault> {
        let (Refusal { step, fault }, named) = (refusal, &arrival.named);
        tracing::warn!(urn = %named.urn, version = %named.version, ?step, "refused: {fault}");
        let reason = json!({ "step": step, "code": fault.code, "message": fault.message });
        if is_passing(&fault) {
            self.admitted(named, State::Unloaded, Cause::HostFailed, arrival.actor, reason)
                .await?;
        } else {
            self.admitted(named, State::Quarantined, Cause::Refused, arrival.actor, reason)
                .await?;
            self.keep_out(named, arrival.manifest, step, &fault).await?;
        }
        Err(fault)
    }

    /// What policy says of it, then who provides what it requires; before anything of it is compiled.
    async fn allowed_links(&self, verified: &Verified, actor: Actor) -> Result<Vec<Arc<Link>>, Fault> {
        let (manifest, digest, signer) = verified.what();
        self.policy().check_activation(manifest, signer, actor)?;
        self.links_for(manifest, digest).await
    }

    pub(crate) async fn admitted(
        &self,
        what: &Named,
        to: State,
        cause: Cause,
        actor: Actor,
        reason: Value,
    ) -> Result<(), Fault> {
        let step = Move {
            what,
            to,
            cause,
            actor,
            reason,
        };
        self.journal().step(step).await
    }
}

/// Refuses what is said to be larger than any component may be.
pub(crate) fn within(descriptor: &Descriptor, bytes_max: u64) -> Result<(), Fault> {
    if descriptor.size_bytes <= bytes_max {
        return Ok(());
    }
    let error = RegistryError::TooLarge {
        what: "the component".into(),
        size_bytes: descriptor.size_bytes,
        bytes_max,
    };
    Err(error.into())
}
