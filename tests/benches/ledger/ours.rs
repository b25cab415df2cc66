//! The ledger as the host opens it.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use kinetic_identity::SigningKey;
use kinetic_ledger::{Commit, Durability, Ledger, LedgerConfig};
use kinetic_testkit::engine::runtime;

use crate::BODY;
use crate::flight::{Run, fly};

/// A new ledger with default settings.
pub fn open(folder: &Path) -> Ledger {
    let config = LedgerConfig::new(folder, "kinetic/bench");
    Ledger::open(config, SigningKey::generate().unwrap()).unwrap()
}

/// One receipt of 256 bytes per commit.
pub fn measure(durability: Durability, in_flight: usize, time: Duration) -> Run {
    let folder = crate::folder();
    let ledger = open(folder.path());
    fly(&runtime(), in_flight, time, move || {
        let ledger = ledger.clone();
        async move {
            let commit = Commit {
                durability: Some(durability),
                ..Commit::of_receipt(Bytes::from_static(&BODY))
            };
            ledger.commit(commit).await.unwrap();
        }
    })
}
