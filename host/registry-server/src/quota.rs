//! How often each token publishes: counted over the last minute, in memory.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::ServerError;
use crate::tokens::Caller;

const MINUTE: Duration = Duration::from_mins(1);

/// When each token published in the last minute. Names come from the file of tokens alone, so they are few.
#[derive(Default)]
pub(crate) struct Rates(Mutex<HashMap<String, VecDeque<Instant>>>);

impl Rates {
    /// Counts one publication; refuses it when it is one too many in the minute before `now`.
    pub(crate) fn count(&self, caller: &Caller, now: Instant) -> Result<(), ServerError> {
        let per_minute_max = caller.quota.publications_per_minute_max;
        let mut rates = self.0.lock();
        let times = rates.entry(caller.name.clone()).or_default();
        while times.front().is_some_and(|time| now.duration_since(*time) >= MINUTE) {
            times.pop_front();
        }
        if times.len() as u64 >= u64::from(per_minute_max) {
            return Err(ServerError::TooOften {
                name: caller.name.clone(),
                per_minute_max,
            });
        }
        times.push_back(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use http::header::AUTHORIZATION;
    use http::{HeaderMap, HeaderValue};

    use super::*;
    use crate::tokens::{Namespaces, NewToken, Quota, Right, add_token, caller};

    #[test]
    fn a_token_publishes_so_often_a_minute_and_again_when_the_minute_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        let new = NewToken {
            name: "ci".into(),
            rights: vec![Right::Publish],
            namespaces: Namespaces::All,
            quota: Quota {
                publications_per_minute_max: 2,
                ..Quota::default()
            },
        };
        let token = add_token(&path, new).unwrap();
        let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
        let caller = caller(
            &HeaderMap::from_iter([(AUTHORIZATION, value)]),
            Some(&path),
            Right::Publish,
        )
        .unwrap();
        let (rates, began) = (Rates::default(), Instant::now());
        assert!(rates.count(&caller, began).is_ok());
        assert!(rates.count(&caller, began + MINUTE / 2).is_ok());
        let refused = rates.count(&caller, began + MINUTE / 2);
        assert!(matches!(refused, Err(ServerError::TooOften { .. })));
        assert!(rates.count(&caller, began + MINUTE).is_ok());
        assert!(rates.count(&caller, began + MINUTE).is_err());
    }
}
