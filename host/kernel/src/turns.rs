//! One at a time per name, and no memory of names that nobody waits for.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

/// Names are forgotten when there are so many.
const NAMES_MAX: usize = 256;

/// Turns by name.
#[derive(Default)]
pub(crate) struct Turns(Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>);

impl Turns {
    /// Waits for the turn of this name, and holds it.
    pub(crate) async fn take(&self, name: &str) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock();
            match turns.get(name).and_then(Weak::upgrade) {
                Some(turn) => turn,
                None => {
                    if turns.len() >= NAMES_MAX {
                        turns.retain(|_, turn| turn.strong_count() > 0);
                    }
                    let turn = Arc::new(tokio::sync::Mutex::new(()));
                    turns.insert(name.to_string(), Arc::downgrade(&turn));
                    turn
                }
            }
        };
        turn.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_turn_is_waited_for_and_another_name_is_not() {
        let turns = Turns::default();
        let first = turns.take("a").await;
        assert!(
            tokio::time::timeout(Duration::from_millis(5), turns.take("a"))
                .await
                .is_err()
        );
        drop(turns.take("b").await);
        drop(first);
        drop(turns.take("a").await);
    }

    #[tokio::test]
    async fn names_that_nobody_waits_for_are_forgotten() {
        let turns = Turns::default();
        for name in 0..10_000 {
            drop(turns.take(&name.to_string()).await);
        }
        assert!(turns.0.lock().len() <= NAMES_MAX);
    }
}
