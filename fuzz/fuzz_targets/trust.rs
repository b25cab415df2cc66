//! Root documents, indexes and lock files: what is read is written again as it was read.
#![no_main]

use kinetic_identity::{IndexState, LockFile, RootDocument, SignedIndex, SignedRoot};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(root) = SignedRoot::from_json(bytes) {
        assert_eq!(SignedRoot::from_json(&root.to_json()).unwrap(), root);
    }
    if let Ok(index) = SignedIndex::from_json(bytes) {
        assert_eq!(SignedIndex::from_json(&index.to_json()).unwrap(), index);
    }
    if let Ok(seen) = IndexState::from_json(bytes) {
        assert_eq!(seen.to_json(), bytes);
    }
    if let Ok(lock) = LockFile::from_json(bytes) {
        assert_eq!(LockFile::from_json(lock.to_json().as_bytes()).unwrap(), lock);
    }
    if let Ok(draft) = RootDocument::from_draft(bytes) {
        assert!(draft.check().is_ok());
    }
});
