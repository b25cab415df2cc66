//! The trait behind which every host import stands: linked once, configured per capsule, prepared per call.

use std::sync::Arc;

use kinetic_model::{Fault, ImportGrant};
use wasmtime::component::Linker;

use crate::{CallState, Grantee};

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
}
