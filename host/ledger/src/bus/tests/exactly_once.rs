//! Exactly once: the position, what was written and what was published are one commit, whenever the consumer dies.

use std::collections::BTreeMap;
use std::pin::pin;
use std::task::Poll;

use proptest::prelude::*;

use super::*;
use crate::bus::{Qos, Start, Subscribe};

const IN: &str = "test.in.v1";
const OUT: &str = "test.out.v1";

fn config(partitions: u16) -> TopicConfig {
    TopicConfig {
        qos: Qos::ExactlyOnce,
        partitions,
        max_deliveries: 0,
        ..TopicConfig::default()
    }
}

/// Counts events into the output topic: one output for each input, in the commit that consumes it.
async fn work(host: &Host, consumer: &Subscription, events_max: usize) -> Result<(), LedgerError> {
    let batch = consumer.next(events_max, u64::MAX, Duration::ZERO).await?;
    if batch.is_empty() {
        return Ok(());
    }
    let commit = Commit {
        events: batch.iter().map(|input| event(OUT, number(input))).collect(),
        offsets: consumer.offsets(&batch)?,
        ..Commit::default()
    };
    host.commit(commit).await.map(|_| ())
}

/// Polls a future so often, then drops it.
async fn interrupted<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            // Whoever woke it or not, it is polled again.
            Poll::Pending => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    })
    .await
}

async fn count(host: &Host, topic: &str) -> BTreeMap<u64, u64> {
    let reader = host
        .bus
        .subscribe(Subscribe::to(topic).start(Start::Earliest))
        .await
        .unwrap();
    let mut counts = BTreeMap::new();
    for event in drain(&reader).await {
        *counts.entry(number(&event)).or_default() += 1;
    }
    counts
}

#[derive(Clone, Debug)]
enum Action {
    /// Publishes so many events.
    Publish(u64),
    /// Works, but is dropped after so many polls.
    Work { events_max: usize, polls: usize },
    /// The consumer dies and another one comes.
    Replace,
    /// Another consumer comes while this one still tries.
    Rival { events_max: usize },
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        (1_u64..8).prop_map(Action::Publish),
        (1_usize..6, 0_usize..12).prop_map(|(events_max, polls)| Action::Work { events_max, polls }),
        (1_usize..6, Just(1_000)).prop_map(|(events_max, polls)| Action::Work { events_max, polls }),
        Just(Action::Replace),
        (1_usize..6).prop_map(|events_max| Action::Rival { events_max }),
    ]
}

async fn run(actions: Vec<Action>, tails: TailLimits) {
    let host = Host::with_tails(tails);
    host.topic(IN, config(2)).await;
    host.topic(OUT, config(1)).await;
    let subscribe = || host.bus.subscribe(Subscribe::to(IN).group("counter"));
    let mut consumer = subscribe().await.unwrap();
    let mut published = 0;
    for action in actions {
        match action {
            Action::Publish(count) => {
                host.publish(events(IN, published..published + count)).await.unwrap();
                published += count;
            }
            Action::Work { events_max, polls } => {
                match interrupted(work(&host, &consumer, events_max), polls).await {
                    None | Some(Ok(())) => {}
                    // An interrupted commit went through, so the consumer's view is behind: it begins anew.
                    Some(Err(LedgerError::OffsetMoved { .. })) => consumer = subscribe().await.unwrap(),
                    Some(Err(error)) => panic!("{error:?}"),
                }
            }
            Action::Replace => {
                drop(consumer);
                consumer = subscribe().await.unwrap();
            }
            Action::Rival { events_max } => {
                let batch = take(&consumer, events_max).await;
                let offsets = consumer.offsets(&batch).unwrap();
                let rival = subscribe().await.unwrap();
                work(&host, &rival, events_max).await.unwrap();
                let late = Commit {
                    events: batch.iter().map(|input| event(OUT, number(input))).collect(),
                    offsets,
                    ..Commit::default()
                };
                let late = if batch.is_empty() {
                    Ok(0)
                } else {
                    host.commit(late).await
                };
                assert!(
                    batch.is_empty() || matches!(late, Err(LedgerError::Fenced { .. })),
                    "{late:?}"
                );
                consumer = rival;
            }
        }
    }
    drop(consumer);
    let consumer = subscribe().await.unwrap();
    while host.bus.topic_stats(IN).unwrap().groups[0].lag > 0 {
        work(&host, &consumer, 100).await.unwrap();
    }
    let counts = count(&host, OUT).await;
    assert_eq!(
        counts,
        (0..published).map(|number| (number, 1)).collect(),
        "each once, none left out"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_counting_sink_never_miscounts_wherever_its_consumer_is_dropped(
        actions in prop::collection::vec(action(), 1..60),
        small_tail: bool,
    ) {
        let tails = if small_tail { TailLimits { events: 3, bytes: 1_000_000 } } else { TailLimits::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(actions, tails));
    }
}

#[tokio::test]
async fn a_commit_that_was_dropped_while_it_waited_is_not_repeated() {
    let host = Host::new();
    host.topic(IN, config(1)).await;
    host.topic(OUT, config(1)).await;
    host.publish(events(IN, 0..3)).await.unwrap();
    let consumer = host.bus.subscribe(Subscribe::to(IN).group("counter")).await.unwrap();
    let batch = take(&consumer, 3).await;
    let commit = || Commit {
        events: batch.iter().map(|input| event(OUT, number(input))).collect(),
        offsets: consumer.offsets(&batch).unwrap(),
        ..Commit::default()
    };
    assert!(interrupted(host.commit(commit()), 1).await.is_none());
    let again = host.commit(commit()).await;
    assert!(
        matches!(
            again,
            Err(LedgerError::OffsetMoved {
                from: 0,
                committed: 3,
                ..
            })
        ),
        "{again:?}"
    );
    // One that would pass over what was not consumed neither.
    host.publish(events(IN, 3..9)).await.unwrap();
    take(&consumer, 2).await;
    let later = take(&consumer, 2).await;
    let skipping = Commit {
        offsets: consumer.offsets(&later).unwrap(),
        ..Commit::default()
    };
    assert!(matches!(
        host.commit(skipping).await,
        Err(LedgerError::OffsetMoved { .. })
    ));
    assert!(matches!(
        consumer.offsets(&[Arc::clone(&later[1]), Arc::clone(&later[0])]),
        Err(LedgerError::InvalidOffset { .. })
    ));
    assert_eq!(count(&host, OUT).await.len(), 3);
}

#[tokio::test]
async fn the_key_for_a_sink_outside_names_the_event_wherever_it_is_delivered() {
    let host = Host::new();
    host.topic(IN, config(1)).await;
    host.publish(events(IN, 0..2)).await.unwrap();
    let mut keys = Vec::new();
    for group in ["a", "b"] {
        let consumer = host.bus.subscribe(Subscribe::to(IN).group(group)).await.unwrap();
        keys.push(
            take(&consumer, 2)
                .await
                .iter()
                .map(|event| consumer.idempotency_key(event))
                .collect::<Vec<_>>(),
        );
    }
    assert_eq!(keys[0], ["test.in.v1/0/0", "test.in.v1/0/1"]);
    assert_eq!(keys[0], keys[1]);
}
