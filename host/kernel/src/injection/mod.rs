//! What a capsule requires, it gets: providers are found, made active before it, and put behind its imports.
//!
//! A component never learns who answers. Between it and its provider stands a [`Link`]; a swap of the provider, or another
//! provider, changes where the link points and nothing else.

mod gone;
mod link;
mod reached;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use kinetic_engine::{Capability, EngineError, Peer, spawn_at_home};
use kinetic_model::{CapsuleRef, Digest, Fault, Urn};
use serde_json::json;

pub(crate) use self::link::{Link, function, using};
use crate::manifest::WhenReplaced;
use crate::resolve::{Interface, Known, Resolution, Standing, resolve};
use crate::{Actor, Capsule, Kernel, KernelError, Manifest};

/// The links of a capsule as the engine takes them.
pub(crate) fn peers(links: &[Arc<Link>]) -> Vec<Arc<dyn Peer>> {
    links.iter().map(|link| link.clone() as Arc<dyn Peer>).collect()
}

impl Kernel {
    /// Finds providers for all that a capsule requires, makes them active, and gives the links to them.
    ///
    /// # Errors
    /// `Unresolved` with an explanation; what keeps a provider from becoming active.
    pub(crate) async fn links_for(&self, manifest: &Manifest, digest: Digest) -> Result<Vec<Arc<Link>>, Fault> {
        if manifest.capabilities.requires.is_empty() {
            return Ok(Vec::new());
        }
        let resolution = self.resolution(manifest, digest).await?;
        let wanted = Known::new(manifest, digest, Standing::default())?.exact();
        for needed in resolution.order.iter().filter(|needed| **needed != wanted) {
            self.activate_provider(CapsuleRef::from(needed.urn.clone())).await?;
        }
        let Some(bindings) = resolution.bindings.get(&wanted) else {
            return Ok(Vec::new());
        };
        let links = bindings.iter().map(|(required, bound)| {
            let provider = self.current(&bound.provider.urn)?;
            let target = target(&provider, manifest.capabilities.when_replaced);
            let link = Link::new(self.downgrade(), required.clone(), target, &provider);
            Ok(Arc::new(link))
        });
        links.collect()
    }

    /// As [`Kernel::activate`], by a type that does not hold itself: a provider may require others, though those are active
    /// by now, as the order says.
    fn activate_provider(&self, what: CapsuleRef) -> Pin<Box<dyn Future<Output = Result<Arc<Capsule>, Fault>> + Send>> {
        let kernel = self.clone();
        Box::pin(async move { kernel.activate(&what).await })
    }

    /// Who would provide what a capsule requires: what is active, and only if that does not do, all that is in the store.
    async fn resolution(&self, manifest: &Manifest, digest: Digest) -> Result<Resolution, Fault> {
        let wanted = Known::new(manifest, digest, Standing::default())?;
        let chosen = self.binding(&manifest.id).map(|binding| binding.providers);
        let chosen = chosen.unwrap_or_default();
        let bound = |urn: &Urn| chosen.values().any(|provider| provider == urn);
        let mut known = Vec::new();
        for capsule in self.list().iter().filter(|capsule| capsule.manifest.id != manifest.id) {
            let standing = Standing {
                active: true,
                bound: bound(&capsule.manifest.id),
            };
            known.extend(Known::new(&capsule.manifest, capsule.digest, standing));
        }
        let rules = &self.policy().rules;
        let may_bind = |dependent: &Known, provider: &Known, interface: &Interface| {
            rules.may_bind_known(dependent, provider, interface)
        };
        if let Ok(resolution) = resolve(&wanted, &known, &may_bind) {
            return Ok(resolution);
        }
        known.extend(self.known_in_store(&wanted.urn, &bound).await);
        resolve(&wanted, &known, &may_bind).map_err(|unresolved| Fault::from(KernelError::from(unresolved)))
    }

    /// The newest version of every URN in the local store that is not active. Parts of the host are nobody's to call.
    async fn known_in_store(&self, besides: &Urn, bound: &(dyn Fn(&Urn) -> bool + Sync)) -> Vec<Known> {
        let mut known = Vec::new();
        for newest in self.store().newest() {
            let urn = newest.urn;
            if urn == *besides || self.is_part(&urn) || self.current(&urn).is_ok() {
                continue;
            }
            let Ok(Some(stored)) = self.in_store(&urn).await else {
                continue;
            };
            if self.quarantine().get(&stored.digest).is_some() {
                continue;
            }
            let standing = Standing {
                active: false,
                bound: bound(&urn),
            };
            if let Ok(manifest) = &stored.manifest {
                known.extend(Known::new(manifest, stored.digest, standing));
            }
        }
        known
    }

    /// Lets another capsule provide an interface to a dependent, from its next call on; holds across restarts.
    ///
    /// # Errors
    /// `NotActive`, `NoSuchRequirement`, `BindRefused`; nothing changed then.
    pub async fn bind(&self, dependent: &Urn, interface: &str, provider: &Urn, actor: Actor) -> Result<(), Fault> {
        let (kernel, dependent, provider) = (self.clone(), dependent.clone(), provider.clone());
        let interface = interface.to_string();
        self.to_the_end(async move { kernel.bind_now(&dependent, &interface, &provider, actor).await })
            .await
    }

    async fn bind_now(&self, dependent: &Urn, interface: &str, provider: &Urn, actor: Actor) -> Result<(), Fault> {
        let provider = self.activate(&CapsuleRef::from(provider.clone())).await?;
        let _turn = self.turn(dependent).await;
        let capsule = self.current(dependent)?;
        let named = |link: &&Arc<Link>| link.required.name == interface || link.required.to_string() == interface;
        let link = capsule.links.iter().find(named).ok_or_else(|| {
            let has: Vec<_> = capsule.links.iter().map(|link| link.required.to_string()).collect();
            Fault::from(KernelError::NoSuchRequirement {
                what: dependent.to_string(),
                interface: interface.to_string(),
                has: if has.is_empty() {
                    "nothing".into()
                } else {
                    has.join(", ")
                },
            })
        })?;
        self.may_point(&capsule, link, &provider)?;
        let mut binding = self
            .binding(dependent)
            .unwrap_or_else(|| self.binding_of(&capsule, false));
        binding
            .providers
            .insert(link.required.to_string(), provider.manifest.id.clone());
        let document = json!({
            "event": "bind",
            "interface": link.required.to_string(),
            "provider": { "urn": provider.manifest.id, "version": provider.manifest.version, "digest": provider.digest },
            "actor": actor,
        });
        self.journal().bind(&capsule.named, &binding, document).await?;
        self.put_binding(dependent, binding);
        link.point_to(
            target(&provider, capsule.manifest.capabilities.when_replaced),
            &provider,
        );
        Ok(())
    }

    /// Whether a provider can stand behind a link: it has the functions, policy allows it, and it does not use the
    /// dependent itself.
    fn may_point(&self, dependent: &Arc<Capsule>, link: &Link, provider: &Arc<Capsule>) -> Result<(), Fault> {
        let refused = |why: String| {
            Fault::from(KernelError::BindRefused {
                what: dependent.manifest.id.to_string(),
                interface: link.required.to_string(),
                provider: provider.manifest.id.to_string(),
                why,
            })
        };
        let (user, used) = (&dependent.manifest, &provider.manifest);
        self.policy()
            .rules
            .may_bind(user.into(), used.into(), &link.required)
            .map_err(|denied| refused(denied.to_string()))?;
        for imported in &dependent.capability.interface().imported {
            let import = imported.instance.as_deref().and_then(Interface::parse);
            if import.is_none_or(|import| import.name != link.required.name) {
                continue;
            }
            let same = function(provider, &link.required, &imported.export)
                .is_some_and(|offered| imported.takes_and_gives_the_same(offered));
            if !same {
                return Err(refused(format!("it has no {}", imported.signature())));
            }
        }
        if self.uses(provider, &dependent.manifest.id) {
            return Err(refused("it uses that capsule itself".into()));
        }
        Ok(())
    }

    /// Whether a capsule uses another one, directly or through others.
    fn uses(&self, capsule: &Arc<Capsule>, urn: &Urn) -> bool {
        let mut seen = std::collections::BTreeSet::new();
        let mut open = vec![capsule.clone()];
        while let Some(capsule) = open.pop() {
            if capsule.manifest.id == *urn {
                return true;
            }
            if seen.insert(capsule.manifest.id.clone()) {
                let targets = capsule.links.iter().map(|link| link.target().urn.clone());
                open.extend(targets.filter_map(|urn| self.current(&urn).ok()));
            }
        }
        false
    }

    /// After a provider was replaced: dependents that asked for it begin their one instance anew, from their own state if
    /// they can hand it over.
    pub(crate) fn restart_dependents(&self, provider: &Urn, actor: Actor) {
        let active = self.list();
        for dependent in using(&active, provider) {
            if dependent.manifest.capabilities.when_replaced == WhenReplaced::Restart && dependent.stays() {
                let (kernel, dependent) = (self.clone(), dependent.clone());
                spawn_at_home(async move { kernel.restart_instance(&dependent, actor).await });
            }
        }
    }

    async fn restart_instance(&self, capsule: &Arc<Capsule>, actor: Actor) {
        let _turn = self.turn(&capsule.manifest.id).await;
        let before = capsule.intake.stop();
        let drained = capsule
            .intake
            .drained(Duration::from_millis(self.settings().drain_ms))
            .await;
        let detail = if drained {
            match begin_anew(&capsule.capability).await {
                Ok(state_bytes) => json!({ "actor": actor, "state_bytes": state_bytes }),
                Err(error) => json!({ "actor": actor, "error": error.to_string() }),
            }
        } else {
            json!({ "actor": actor, "error": "its calls did not end in time; it goes on as it was" })
        };
        capsule.intake.restore(before);
        if let Err(fault) = self
            .journal()
            .swap_step(&capsule.named, "restart-dependent", detail)
            .await
        {
            tracing::warn!(urn = %capsule.manifest.id, "its restart could not be recorded: {fault}");
        }
    }
}

/// Another instance in the place of the one there is. Gives the bytes of state it goes on from; none where there were none.
async fn begin_anew(capability: &Capability) -> Result<Option<usize>, EngineError> {
    let Some(state) = capability.export_state().await? else {
        capability.stop().await;
        return Ok(None);
    };
    let bytes = state.bytes.len();
    capability.begin_from(state).await?;
    Ok(Some(bytes))
}

/// Where a link to this provider points.
fn target(provider: &Capsule, when_replaced: WhenReplaced) -> CapsuleRef {
    CapsuleRef {
        urn: provider.manifest.id.clone(),
        pin: match when_replaced {
            WhenReplaced::Pin => kinetic_model::Pin::Digest(provider.digest),
            WhenReplaced::Rebind | WhenReplaced::Restart => kinetic_model::Pin::Active,
        },
    }
}
