//! Preparing a swap: everything that can be wrong with the new version is found before anything of the old one is
//! touched.

use std::sync::Arc;

use kinetic_model::{CapsuleRef, Fault, Pin};
use serde_json::json;

use super::{Shadow, Side, Steps, SwapAsk, SwapPlan, SwapTo, broken};
use crate::admission::Loaded;
use crate::{Capsule, Kernel, KernelError};

/// What a version is prepared for. Only a swap that was really asked for can get it into quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Swap,
    Plan,
}

/// A new version that is ready to take over.
pub(super) struct Prepared {
    pub(super) current: Arc<Capsule>,
    pub(super) loaded: Loaded,
    pub(super) shadow: Shadow,
}

impl Kernel {
    /// Resolve, fetch, verify, compile, probe, compare, run in the shadow.
    pub(super) async fn prepare(&self, ask: &SwapAsk, purpose: Purpose, steps: &mut Steps) -> Result<Prepared, Fault> {
        let current = self.current(&ask.urn)?;
        let pin = match &ask.to {
            SwapTo::Version(version) => Pin::Version(version.clone()),
            SwapTo::Digest(digest) => Pin::Digest(*digest),
            SwapTo::Newest => Pin::Active,
            SwapTo::Former => Pin::Version(self.former(&ask.urn)?.version),
        };
        let what = CapsuleRef {
            urn: ask.urn.clone(),
            pin,
        };
        let (source, descriptor) = self.find(&what).await?;
        if descriptor.digest == current.digest && descriptor.version == current.manifest.version {
            return Err(KernelError::SwapToItself {
                what: ask.urn.to_string(),
                version: current.manifest.version.to_string(),
            }
            .into());
        }
        let loaded = self.load(&*source, descriptor, ask.actor).await?;
        self.journal()
            .swap_step(
                &loaded.named,
                "prepare",
                json!({ "from": Side::of(&current), "actor": ask.actor }),
            )
            .await?;
        let back = ask.to == SwapTo::Former;
        if let Err(fault) = self.compare(&current, &loaded, back).await {
            return self.refused(&loaded, fault, purpose, ask).await;
        }
        steps.done("prepare");
        let shadow = match self.shadow(&current, &loaded).await {
            Ok(shadow) => shadow,
            Err(fault) => {
                self.let_go(&loaded, ask.actor).await?;
                return Err(fault);
            }
        };
        steps.done("shadow");
        self.journal().swap_step(&loaded.named, "shadow", json!(shadow)).await?;
        if shadow.differences > 0 && !ask.accept_differences {
            let error = KernelError::ShadowDiffers {
                what: ask.urn.to_string(),
                version: loaded.manifest.version.to_string(),
                differences: shadow.differences,
                calls: shadow.calls,
                first: shadow.first.unwrap_or_default(),
            };
            return self.refused(&loaded, error.into(), purpose, ask).await;
        }
        Ok(Prepared {
            current,
            loaded,
            shadow,
        })
    }

    async fn refused<T>(&self, loaded: &Loaded, fault: Fault, purpose: Purpose, ask: &SwapAsk) -> Result<T, Fault> {
        match purpose {
            Purpose::Swap => self.quarantine_loaded(loaded, &fault, ask.actor).await?,
            Purpose::Plan => self.let_go(loaded, ask.actor).await?,
        }
        Err(fault)
    }

    /// The same offer, and state it can read itself. Going back, less may be offered. A part of the host is tried out by who
    /// keeps its seat.
    pub(crate) async fn compare(&self, current: &Capsule, loaded: &Loaded, back: bool) -> Result<(), Fault> {
        let (before, after) = (current.capability.interface(), loaded.capability.interface());
        if !back && let Some(why) = broken(before, after) {
            return Err(KernelError::InterfaceBroken {
                what: current.manifest.id.to_string(),
                version: loaded.manifest.version.to_string(),
                why,
            }
            .into());
        }
        if let Some(seat) = self.seat_of(&current.manifest.id) {
            return self.fits(&*seat, loaded).await;
        }
        if after.has_lifecycle && loaded.stays() {
            loaded.capability.probe_state().await.map_err(|error| {
                Fault::from(KernelError::StateRefused {
                    what: current.manifest.id.to_string(),
                    version: loaded.manifest.version.to_string(),
                    why: format!("it cannot read what it writes itself: {error}"),
                })
            })?;
        }
        Ok(())
    }

    /// What would happen from here on.
    pub(super) fn plan(&self, prepared: &Prepared) -> SwapPlan {
        let Prepared {
            current,
            loaded,
            shadow,
        } = prepared;
        let settings = self.settings();
        let calls = current.intake.calls();
        let mut steps = vec![format!(
            "{} {} is verified, compiled and started once: done",
            loaded.manifest.id, loaded.manifest.version
        )];
        steps.push(if shadow.calls == 0 {
            "no recorded call can be made again with it".into()
        } else {
            format!(
                "{} recorded calls were made again with it, {} ended otherwise",
                shadow.calls, shadow.differences
            )
        });
        if current.stays() {
            steps.push(format!(
                "intake stops; calls under way have {} ms to end, others wait",
                settings.drain_ms
            ));
            steps.push("the state is exported, and taken over by the new version".into());
        }
        steps.push("one record makes the new version what the URN means".into());
        if settings.probation_ms > 0 {
            steps.push(format!(
                "for {} ms the version before stands by and comes back if the new one fails",
                settings.probation_ms
            ));
        }
        SwapPlan {
            urn: current.manifest.id.clone(),
            from: Side::of(current),
            to: Side {
                version: loaded.manifest.version.clone(),
                digest: loaded.digest,
                generation: self.generation_after(&current.manifest.id),
            },
            steps,
            shadow: shadow.clone(),
            calls,
            dependents: self.dependents(current),
        }
    }
}
