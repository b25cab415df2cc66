//! Who may use whom, and what may become active: policies in the Cedar language, the host's own and the operator's.
//!
//! Asked when something is bound or activated, never for a call. No permit, no use; a forbid wins over every permit; a
//! policy that cannot be evaluated, forbid or permit, is a no.

mod denied;
mod file;
mod party;
mod rules;
mod statements;

pub use denied::Denied;
pub use party::Party;
pub use rules::Rules;

#[cfg(test)]
mod tests;
