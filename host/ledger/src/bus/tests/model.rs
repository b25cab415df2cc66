//! Random histories of the bus against a simple oracle.

mod oracle;

use std::cell::RefCell;

use oracle::Oracle;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::runtime::Runtime;

use super::*;

const PARTITIONS: u16 = 3;
const MAX_DELIVERIES: u32 = 3;
const CREDIT: usize = 9;
const ACK_TIMEOUT: Duration = Duration::from_secs(1);
const GROUPS: [&str; 2] = ["a", "b"];
/// Small, so that consumers often have to read the log.
const TAILS: TailLimits = TailLimits {
    events: 8,
    bytes: u64::MAX,
};

#[derive(Clone, Debug)]
enum Action {
    /// One commit with events; each has one of a few keys, or none.
    Publish(Vec<Option<u8>>),
    /// A subscription of a group to some partitions, from the beginning or the end.
    Join {
        group: usize,
        partitions: u8,
        latest: bool,
    },
    /// A subscription without a group.
    Read {
        start: prop::sample::Index,
    },
    Next {
        who: prop::sample::Index,
        events_max: usize,
    },
    Ack {
        who: prop::sample::Index,
        partition: u16,
        offset: prop::sample::Index,
    },
    Nack {
        who: prop::sample::Index,
        partition: u16,
        offset: prop::sample::Index,
    },
    /// Commits the positions of the last batch together with an output.
    Consume {
        who: prop::sample::Index,
    },
    Drop {
        who: prop::sample::Index,
    },
    Forget {
        group: usize,
    },
    Sleep {
        ms: u64,
    },
    Restart {
        keep_index: bool,
    },
}

fn action(restarts: u32) -> BoxedStrategy<Action> {
    let who = any::<prop::sample::Index>;
    let place = || (who(), 0..PARTITIONS, any::<prop::sample::Index>());
    let mask = 1_u8..8;
    let usual = prop_oneof![
        6 => prop::collection::vec(prop::option::of(0_u8..8), 1..6).prop_map(Action::Publish),
        2 => (0..GROUPS.len(), mask, any::<bool>())
            .prop_map(|(group, partitions, latest)| Action::Join { group, partitions, latest }),
        1 => any::<prop::sample::Index>().prop_map(|start| Action::Read { start }),
        8 => (who(), 1_usize..6).prop_map(|(who, events_max)| Action::Next { who, events_max }),
        3 => place().prop_map(|(who, partition, offset)| Action::Ack { who, partition, offset }),
        3 => place().prop_map(|(who, partition, offset)| Action::Nack { who, partition, offset }),
        2 => who().prop_map(|who| Action::Consume { who }),
        1 => who().prop_map(|who| Action::Drop { who }),
        1 => (0..GROUPS.len()).prop_map(|group| Action::Forget { group }),
        1 => (1_u64..1_500).prop_map(|ms| Action::Sleep { ms }),
    ];
    if restarts == 0 {
        return usual.boxed();
    }
    let restart = any::<bool>().prop_map(|keep_index| Action::Restart { keep_index });
    prop_oneof![31 => usual, restarts => restart].boxed()
}

async fn run(mut host: Host, topic: String, actions: Vec<Action>) -> Host {
    let config = TopicConfig {
        partitions: PARTITIONS,
        max_deliveries: MAX_DELIVERIES,
        ack_timeout_ms: u64::try_from(ACK_TIMEOUT.as_millis()).unwrap(),
        ..TopicConfig::default()
    };
    host.topic(&topic, config).await;
    let mut oracle = Oracle::new(topic);
    for action in actions {
        let count = oracle.consumers();
        match action {
            Action::Publish(keys) => oracle.publish(&host, keys).await,
            Action::Join {
                group,
                partitions,
                latest,
            } => oracle.join(&host, group, partitions, latest).await,
            Action::Read { start } => oracle.read(&host, start).await,
            Action::Sleep { ms } => tokio::time::sleep(Duration::from_millis(ms)).await,
            Action::Forget { group } => oracle.forget(&host, group).await,
            Action::Restart { keep_index } => host = oracle.restart(host, keep_index),
            Action::Next { who, events_max } if count > 0 => oracle.next(&host, who.index(count), events_max).await,
            Action::Ack { who, partition, offset } if count > 0 => {
                oracle.ack(who.index(count), partition, offset, false).await;
            }
            Action::Nack { who, partition, offset } if count > 0 => {
                oracle.ack(who.index(count), partition, offset, true).await;
            }
            Action::Consume { who } if count > 0 => oracle.consume(&host, who.index(count)).await,
            Action::Drop { who } if count > 0 => oracle.leave(who.index(count)),
            _ => {}
        }
    }
    oracle.check(&host).await;
    host
}

/// Runs many histories. A host serves a hundred of them: opening one takes longer than a history.
fn histories(cases: u32, restarts: u32) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let host: RefCell<Option<Host>> = RefCell::new(None);
    let used = RefCell::new(0_u32);
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::with_cases(cases)
    });
    let case = |runtime: &Runtime, actions: Vec<Action>| {
        *used.borrow_mut() += 1;
        let kept = host.borrow_mut().take().filter(|_| !used.borrow().is_multiple_of(100));
        let topic = format!("test.case{}.v1", used.borrow());
        let ready = kept.unwrap_or_else(|| Host::with_tails(TAILS));
        *host.borrow_mut() = Some(runtime.block_on(run(ready, topic, actions)));
    };
    let strategy = prop::collection::vec(action(restarts), 1..100);
    let result = runner.run(&strategy, |actions| {
        case(&runtime, actions);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn any_history_is_what_the_oracle_says() {
    histories(3_000, 0);
}

#[test]
fn any_history_with_restarts_is_what_the_oracle_says() {
    histories(30, 1);
}
