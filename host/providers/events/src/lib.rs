//! `kinetic:events` for capsules: publishing and consuming with the call, on the topics their manifests name.
//!
//! What a call publishes and consumes is collected in its [`Effects`], which the kernel commits with its receipt.
//! Subscriptions live in the call's table of resources and end with it. What is asked and answered goes on the tape of
//! D0 and D1 capsules, so a replay needs no bus.

mod crossing;
mod error;
mod failure;
mod host;
mod outgoing;
mod pattern;
mod received;

pub use error::EventsError;

use std::sync::Arc;
use std::time::Instant;

use kinetic_engine::{CallState, Configured, CrossingAnswer, Grantee, Provider};
use kinetic_ledger::{Effects, Ledger};
use kinetic_model::{Fault, ImportGrant};
use wasmtime::component::{HasSelf, Linker};

use crate::failure::Failure;
use crate::pattern::Pattern;

/// The interface, as manifests grant it.
pub(crate) const INTERFACE: &str = "kinetic:events/bus";

mod bindings {
    wasmtime::component::bindgen!({
        path: "../../../wit/kinetic-events",
        world: "eventful",
        imports: {
            "kinetic:events/bus.subscribe": async | trappable,
            "kinetic:events/bus.[method]subscription.next": async | trappable,
            default: trappable,
        },
        additional_derives: [serde::Serialize, serde::Deserialize],
        with: {
            "kinetic:events/bus.subscription": crate::host::Handle,
        },
    });
}

/// The provider. Without a ledger (on an author's machine, in a replay) only what a tape answers is answered.
pub struct EventsProvider {
    ledger: Option<Ledger>,
}

impl EventsProvider {
    /// Over a ledger.
    pub const fn new(ledger: Option<Ledger>) -> Self {
        Self { ledger }
    }
}

impl Provider for EventsProvider {
    fn name(&self) -> &'static str {
        "kinetic:events"
    }

    fn serves(&self, interface: &str) -> bool {
        interface == INTERFACE
    }

    fn granted_by(&self, _: &str) -> String {
        INTERFACE.into()
    }

    fn link(&self, linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
        bindings::kinetic::events::bus::add_to_linker::<_, HasSelf<CallState>>(linker, |state| state)
    }

    fn crosses(&self, interface: &str) -> bool {
        self.serves(interface)
    }

    fn link_in_worker(&self, linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
        crossing::link(linker)
    }

    fn configure(&self, capsule: &Grantee, grants: &[ImportGrant]) -> Result<Arc<dyn Configured>, Fault> {
        let access = Access {
            urn: capsule.urn.to_string(),
            publish: patterns(grants.iter().flat_map(|grant| &grant.publish))?,
            subscribe: patterns(grants.iter().flat_map(|grant| &grant.subscribe))?,
        };
        if access.publish.is_empty() && access.subscribe.is_empty() {
            return Err(EventsError::NoTopics {}.into());
        }
        Ok(Arc::new(Granted {
            ledger: self.ledger.clone(),
            access: Arc::new(access),
        }))
    }
}

fn patterns<'a>(texts: impl Iterator<Item = &'a String>) -> Result<Vec<Pattern>, EventsError> {
    texts.map(|text| Pattern::parse(text)).collect()
}

/// Which topics a capsule reaches, and what it is called there.
pub(crate) struct Access {
    pub(crate) urn: String,
    publish: Vec<Pattern>,
    subscribe: Vec<Pattern>,
}

impl Access {
    pub(crate) fn check_publish(&self, topic: &str) -> Result<(), Failure> {
        if self.publish.iter().any(|pattern| pattern.publishes(topic)) {
            return Ok(());
        }
        let topic = shown(topic);
        Err(Failure::Denied(format!(
            "publishing to {topic}: add \"{topic}\" to \"publish\" of {INTERFACE} under \"imports\" in manifest.json"
        )))
    }

    pub(crate) fn check_subscribe(&self, topic: &str) -> Result<(), Failure> {
        if self.subscribe.iter().any(|pattern| pattern.matches(topic)) {
            return Ok(());
        }
        let topic = shown(topic);
        Err(Failure::Denied(format!(
            "subscribing to {topic}: add \"{topic}\", or a pattern that it matches, to \"subscribe\" of {INTERFACE} under \
             \"imports\" in manifest.json"
        )))
    }
}

fn shown(topic: &str) -> String {
    topic.chars().take(200).collect()
}

/// What a call has of this provider.
pub(crate) struct PerCall {
    pub(crate) access: Arc<Access>,
    /// When the call began: its wall time bounds how long it waits.
    pub(crate) begun: Instant,
    /// Subscriptions it has now.
    pub(crate) open: u32,
    /// Subscriptions it ever had: the number of the next one, which is the same in a replay.
    pub(crate) made: u32,
}

struct Granted {
    ledger: Option<Ledger>,
    access: Arc<Access>,
}

impl Configured for Granted {
    fn prepare(&self, call: &mut CallState) {
        call.put_extension(PerCall {
            access: self.access.clone(),
            begun: Instant::now(),
            open: 0,
            made: 0,
        });
        if let Some(ledger) = &self.ledger {
            call.put_extension(Effects::new(ledger.clone()));
        }
    }

    fn crosses(&self, interface: &str) -> bool {
        interface == INTERFACE
    }

    fn answer<'a>(
        &'a self,
        call: &'a mut CallState,
        _interface: &'a str,
        function: &'a str,
        asked: &'a [u8],
    ) -> CrossingAnswer<'a> {
        crossing::answer(call, function, asked)
    }
}
