//! `kinetic:state` for capsules: their own keys, in the transaction that each call is.
//!
//! Ownership is enforced here: a capsule reaches its own keys, those of its type when its manifest asks for them, and
//! reads those of other capsules that its manifest names. What is asked and answered goes on the tape of D0 and D1
//! capsules, so a replay needs no ledger. `wasi:keyvalue` is an adapter over the same.

mod answers;
mod changes;
mod crossing;
mod error;
mod host;
mod keyvalue;
mod turn;

pub use error::StateError;

use std::sync::Arc;
use std::time::Instant;

use kinetic_engine::{CallState, Configured, CrossingAnswer, Grantee, Provider};
use kinetic_ledger::state::Owner;
use kinetic_ledger::{Effects, Ledger};
use kinetic_model::{Fault, ImportGrant, Urn};
use wasmtime::component::{HasSelf, Linker};

/// The interface, as manifests grant it.
pub(crate) const INTERFACE: &str = "kinetic:state/store";
/// The interface of `wasi:keyvalue`, as manifests grant it; the other interfaces of the package hang on it.
pub(crate) const KEYVALUE: &str = "wasi:keyvalue/store";
/// The word under `owners` that grants the keys of the capsule's type.
const TYPE: &str = "type";

mod bindings {
    wasmtime::component::bindgen!({
        path: "../../../wit/kinetic-state",
        world: "stateful",
        imports: {
            "kinetic:state/store.changes": async | trappable,
            default: trappable,
        },
        additional_derives: [serde::Serialize, serde::Deserialize],
    });
}

/// The provider. Without a ledger (on an author's machine, in a replay) only what a tape answers is answered.
pub struct StateProvider {
    ledger: Option<Ledger>,
}

impl StateProvider {
    /// Over a ledger.
    pub const fn new(ledger: Option<Ledger>) -> Self {
        Self { ledger }
    }
}

impl Provider for StateProvider {
    fn name(&self) -> &'static str {
        "kinetic:state"
    }

    fn serves(&self, interface: &str) -> bool {
        serves(interface)
    }

    fn granted_by(&self, interface: &str) -> String {
        if interface == INTERFACE {
            INTERFACE.into()
        } else {
            KEYVALUE.into()
        }
    }

    fn link(&self, linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
        bindings::kinetic::state::store::add_to_linker::<_, HasSelf<CallState>>(linker, |state| state)?;
        keyvalue::add_to_linker(linker)
    }

    fn crosses(&self, interface: &str) -> bool {
        serves(interface)
    }

    fn link_in_worker(&self, linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
        crossing::link(linker)?;
        keyvalue::crossing::link(linker)
    }

    fn configure(&self, capsule: &Grantee, grants: &[ImportGrant]) -> Result<Arc<dyn Configured>, Fault> {
        let mut access = Access {
            own: Owner::Capsule(capsule.urn.to_string()),
            shared: None,
            readable: Vec::new(),
        };
        for owner in grants.iter().flat_map(|grant| &grant.owners) {
            if owner == TYPE {
                access.shared = Some(type_of(&capsule.urn));
            } else {
                let urn: Urn = owner.parse().map_err(|_| {
                    Fault::from(&StateError::BadOwner {
                        owner: owner.chars().take(100).collect(),
                    })
                })?;
                access.readable.push(urn.to_string());
            }
        }
        Ok(Arc::new(Granted {
            ledger: self.ledger.clone(),
            access: Arc::new(access),
        }))
    }
}

fn serves(interface: &str) -> bool {
    matches!(
        interface,
        INTERFACE | KEYVALUE | keyvalue::crossing::ATOMICS | keyvalue::crossing::BATCH
    )
}

/// The type a capsule's shared keys belong to: its URN without the major version. The namespace stays, or a stranger's
/// capsule of the same name would be of the same type.
fn type_of(urn: &Urn) -> Owner {
    let text = urn.to_string();
    let name = text.rsplit_once(':').map_or(text.as_str(), |(name, _)| name);
    Owner::Type(name.strip_prefix("urn:").unwrap_or(name).to_string())
}

/// Whose keys a capsule reaches.
pub(crate) struct Access {
    pub(crate) own: Owner,
    pub(crate) shared: Option<Owner>,
    pub(crate) readable: Vec<String>,
}

/// What a call has of this provider.
pub(crate) struct PerCall {
    pub(crate) access: Arc<Access>,
    /// When the call began: its wall time bounds how long it waits.
    pub(crate) begun: Instant,
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
        });
        if let Some(ledger) = &self.ledger {
            call.put_extension(Effects::new(ledger.clone()));
        }
    }

    fn crosses(&self, interface: &str) -> bool {
        serves(interface)
    }

    fn answer<'a>(
        &'a self,
        call: &'a mut CallState,
        interface: &'a str,
        function: &'a str,
        asked: &'a [u8],
    ) -> CrossingAnswer<'a> {
        if interface == INTERFACE {
            crossing::answer(call, function, asked)
        } else {
            keyvalue::crossing::answer(call, interface, function, asked)
        }
    }
}
