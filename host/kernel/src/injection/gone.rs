//! A provider that is gone for good: those it provided for get another one, if there is one.

use std::sync::Arc;

use kinetic_engine::spawn_at_home;
use kinetic_model::{CapsuleRef, Fault, Urn};
use serde_json::json;

use super::{Link, target};
use crate::manifest::WhenReplaced;
use crate::resolve::{Interface, Known, Standing};
use crate::{Actor, Capsule, Cause, Kernel, Manifest};

impl Kernel {
    /// After a capsule was quarantined: whoever it provided for is given another provider that meets the requirement under
    /// the policies. What an operator bound, and what `when_replaced` pins, stays as it is; so does what nobody else provides.
    pub(crate) fn replace_provider(&self, gone: &Urn, cause: Cause) {
        let all = self.list();
        // Those that stand by use it as well, and may come back.
        let standing_by = all.iter().filter_map(|capsule| capsule.probation.load_full());
        let standing_by: Vec<_> = standing_by.map(|probation| probation.former.clone()).collect();
        let dependents: Vec<_> = all
            .into_iter()
            .chain(standing_by)
            .chain(self.pinned())
            .filter(|dependent| dependent.links.iter().any(|link| link.target().urn == *gone))
            .collect();
        if dependents.is_empty() {
            return;
        }
        let (kernel, gone) = (self.clone(), gone.clone());
        spawn_at_home(async move {
            for dependent in dependents {
                kernel.replace_for(&dependent, &gone, cause).await;
            }
        });
    }

    async fn replace_for(&self, dependent: &Arc<Capsule>, gone: &Urn, cause: Cause) {
        let mut replaced = false;
        for link in dependent.links.iter() {
            if !self.may_replace(dependent, link, gone) {
                continue;
            }
            match self.another_for(dependent, link, gone, cause).await {
                Ok(found) => replaced |= found,
                Err(fault) => tracing::warn!(
                    urn = %dependent.manifest.id,
                    requirement = %link.required,
                    "nobody takes the place of {gone}: {fault}"
                ),
            }
        }
        let restarts = dependent.manifest.capabilities.when_replaced == WhenReplaced::Restart;
        if replaced && restarts && dependent.stays() {
            self.restart_instance(dependent, Actor::Host).await;
        }
    }

    /// Whether a link still leads to a capsule that is gone, and nobody said that it has to.
    fn may_replace(&self, dependent: &Capsule, link: &Link, gone: &Urn) -> bool {
        let chosen = self
            .binding(&dependent.manifest.id)
            .is_some_and(|binding| binding.providers.contains_key(&link.required.to_string()));
        !chosen
            && dependent.manifest.capabilities.when_replaced != WhenReplaced::Pin
            && link.target().urn == *gone
            && self.current(gone).is_err()
    }

    /// Finds another provider for one requirement, and lets the link point to it; `false` when there is no need any more.
    async fn another_for(
        &self,
        dependent: &Arc<Capsule>,
        link: &Arc<Link>,
        gone: &Urn,
        cause: Cause,
    ) -> Result<bool, Fault> {
        // The others are met, each by whoever meets it now.
        let manifest = requiring(&dependent.manifest, &link.required);
        let resolution = self.resolution(&manifest, dependent.digest).await?;
        let wanted = Known::new(&manifest, dependent.digest, Standing::default())?.exact();
        let bound = resolution
            .bindings
            .get(&wanted)
            .and_then(|bindings| bindings.get(&link.required));
        let Some(bound) = bound else { return Ok(false) };
        let provider = self
            .activate_provider(CapsuleRef::from(bound.provider.urn.clone()))
            .await?;
        let urn = &dependent.manifest.id;
        let _turn = self.turn(urn).await;
        // Somebody may have been faster, or it is back.
        if !self.may_replace(dependent, link, gone) {
            return Ok(false);
        }
        self.may_point(dependent, link, &provider)?;
        let document = json!({
            "event": "bind",
            "interface": link.required.to_string(),
            "provider": { "urn": provider.manifest.id, "version": provider.manifest.version, "digest": provider.digest },
            "cause": cause,
            "actor": Actor::Host,
            "reason": format!("in the place of {gone}, which is gone"),
        });
        self.journal()
            .bound_anew(&dependent.named, self.binding(urn).as_ref(), document)
            .await?;
        link.point_to(
            target(&provider, dependent.manifest.capabilities.when_replaced),
            &provider,
        );
        tracing::info!(%urn, requirement = %link.required, provider = %provider.manifest.id, "provides in the place of {gone}");
        Ok(true)
    }
}

/// The manifest as if it required nothing else.
fn requiring(manifest: &Manifest, required: &Interface) -> Manifest {
    let mut manifest = manifest.clone();
    manifest
        .capabilities
        .requires
        .retain(|name| Interface::parse(name).as_ref() == Some(required));
    manifest
}
