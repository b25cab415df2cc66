//! What can be wrong with a grant of the state.

use kinetic_model::coded_errors;

coded_errors! {
    /// Errors of the state's provider.
    pub enum StateError ("STA") {
        /// An owner in the manifest is none.
        "0001" BadOwner { owner: String } => Conformance,
            "\"owners\" names \"{owner}\", which is neither \"type\" nor a capsule's URN.",
            "Write \"type\" for the keys of the capsule's type, or the URN of the capsule whose keys are read.";
    }
}
