//! What a component was compiled to before, and whether a load had to compile.

use kinetic_model::Digest;

use crate::code_cache::Compiled;

/// What a load cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadedFrom {
    /// The code cache had it.
    Cache,
    /// It was compiled.
    Compiler,
}

/// What a component was compiled to before, by this host: its code, and what it offers.
pub struct Known {
    pub(crate) compiled: Compiled,
    pub(crate) digest: Digest,
}

impl Known {
    /// SHA-256 of the component.
    pub const fn digest(&self) -> Digest {
        self.digest
    }
}
