//! The trait behind which every host import stands: linked once, configured per capsule, prepared per call.

use std::sync::Arc;

use kinetic_model::{Fault, ImportGrant};
use wasmtime::component::Linker;

use crate::{CallState, CrossingAnswer, Grantee, NotUnderstood};

/// Offers interfaces to capsules. A fault shows at the earliest of three stages: link, configure, prepare.
pub trait Provider: Send + Sync + 'static {
    /// A short name for messages, for example `wasi:http`.
    fn name(&self) -> &'static str;

    /// Whether this provider serves the import, given without its version (`wasi:http/types`).
    fn serves(&self, interface: &str) -> bool;

    /// The interface a manifest grants to get this import; several imports may hang on one grant.
    fn granted_by(&self, interface: &str) -> String;

    /// Adds the host functions; once, at start.
    ///
    /// # Errors
    /// When they clash with others; the host then does not start.
    fn link(&self, linker: &mut Linker<CallState>) -> wasmtime::Result<()>;

    /// Whether guests in worker processes can be given an interface, named without its version: whether it is linked there
    /// and what is configured answers it. If not, whoever imports it runs in the host's own process. Default: no.
    fn crosses(&self, _interface: &str) -> bool {
        false
    }

    /// Adds the functions of the interfaces that cross, in a worker process, where each of them asks the host; once, at its
    /// start. Default: none.
    ///
    /// # Errors
    /// When they clash with others; the worker then does not start.
    fn link_in_worker(&self, _linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
        Ok(())
    }

    /// Checks a capsule's grants; at admission. The manifest's words meet the operator's policy here.
    ///
    /// # Errors
    /// When the grant asks for what the operator does not allow, or does not parse.
    fn configure(&self, capsule: &Grantee, grants: &[ImportGrant]) -> Result<Arc<dyn Configured>, Fault>;
}

/// A provider configured for one capsule.
pub trait Configured: Send + Sync {
    /// Puts per-call state into a fresh store.
    fn prepare(&self, call: &mut CallState);

    /// Whether it answers an interface, named without its version, for guests in worker processes. Default: no.
    fn crosses(&self, _interface: &str) -> bool {
        false
    }

    /// Answers a function for a guest in a worker process, by the call's own state, as for a guest in this one. What is asked
    /// came from that process: nothing of it was checked but that the component imports the function.
    ///
    /// # Errors
    /// What ends the call; `NotUnderstood` where no worker of this host asks so, which ends the worker. Default: that.
    fn answer<'a>(
        &'a self,
        _call: &'a mut CallState,
        _interface: &'a str,
        function: &'a str,
        _asked: &'a [u8],
    ) -> CrossingAnswer<'a> {
        Box::pin(async move { Err::<Vec<u8>, wasmtime::Error>(NotUnderstood::function(function).into()) })
    }
}
