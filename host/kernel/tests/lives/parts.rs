//! Parts of the host: who sits in a seat, who comes when that one fails, and what nobody may do to it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use kinetic_engine::Input;
use kinetic_kernel::{
    Actor, KernelError, Occupant, Process, Quarantined, Seat, State, Successor, SwapAsk, SwapSettings, SwapTo,
};
use kinetic_model::{CapsuleRef, Digest, Fault, LimitsAsk, Urn};
use kinetic_registry::{Carried, Descriptor};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use crate::kit::{Kind, World, component, version};

const PART: &str = "urn:kinetic:actionspace:substrate:part:v1";

fn part() -> Urn {
    PART.parse().unwrap()
}

fn manifest(minor: u64, zone: &str) -> Value {
    json!({
        "id": PART,
        "version": version(minor).to_string(),
        "type": "policy",
        "description": "A part of the tests' host.",
        "capabilities": { "provides": [] },
        "governance": { "tier": "core", "trust_zone": zone, "determinism": "D2_soft_deterministic" },
        "instance": "resident",
    })
}

fn digest(minor: u64) -> Digest {
    Digest::of(&component(minor, Kind::Good))
}

fn world(probation_ms: u64) -> World {
    let descriptor = Descriptor {
        urn: part(),
        version: version(0),
        manifest: manifest(0, "system").to_string(),
        receipt: Value::Null,
        digest: digest(0),
        size_bytes: 0,
    };
    let carried = Carried::new([(descriptor, Bytes::from(component(0, Kind::Good)))]);
    let settings = SwapSettings {
        drain_ms: 500,
        probation_ms,
        ..SwapSettings::default()
    };
    World::carrying(settings, "NX_experimental", carried)
}

/// A seat that only remembers who sits in it.
#[derive(Clone, Default)]
struct Chair {
    sits: Arc<Mutex<Option<Occupant>>>,
    /// Those that cannot do the work.
    useless: Arc<Mutex<HashSet<Digest>>>,
    /// Those that can, but cannot take over.
    late: Arc<Mutex<HashSet<Digest>>>,
}

impl Chair {
    async fn filled(&self, world: &World) -> Result<(), Fault> {
        let occupant = world.kernel.seat(&part(), Arc::new(self.clone())).await?;
        *self.sits.lock() = Some(occupant);
        Ok(())
    }

    fn who(&self) -> Digest {
        self.sits.lock().as_ref().unwrap().digest
    }

    fn fails(&self, for_good: bool) -> bool {
        let occupant = self.sits.lock().clone().unwrap();
        occupant.reports.failed("it was to fail", for_good)
    }

    async fn until(&self, digest: Digest) {
        let waited = tokio::time::timeout(Duration::from_secs(30), async {
            while self.who() != digest {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(waited.await.is_ok(), "it never came");
    }
}

fn refused(why: &str) -> Fault {
    KernelError::PartUnfit {
        what: PART.into(),
        version: "any".into(),
        why: why.into(),
    }
    .into()
}

#[async_trait]
impl Seat for Chair {
    fn interfaces(&self) -> &'static [&'static str] {
        &[]
    }

    async fn try_out(&self, candidate: &Occupant) -> Result<(), Fault> {
        if self.useless.lock().contains(&candidate.digest) {
            return Err(refused("it is useless"));
        }
        Ok(())
    }

    async fn hand_over(&self, next: Occupant, _: bool) -> Result<Box<dyn Successor>, Fault> {
        if self.late.lock().contains(&next.digest) {
            return Err(refused("it is late"));
        }
        Ok(Box::new(Next(self.clone(), next)))
    }
}

struct Next(Chair, Occupant);

impl Successor for Next {
    fn state_bytes(&self) -> Option<u64> {
        Some(7)
    }

    fn begin(self: Box<Self>) {
        *self.0.sits.lock() = Some(self.1);
    }
}

async fn stage(world: &World, minor: u64, zone: &str) {
    let (manifest, receipt, component) = world.signed(&manifest(minor, zone), component(minor, Kind::Good));
    world.kernel.stage(manifest, receipt, component).await.unwrap();
}

async fn swap(world: &World, minor: u64) -> Result<Option<u64>, Fault> {
    let ask = SwapAsk {
        urn: part(),
        to: SwapTo::Version(version(minor)),
        ..World::ask(minor)
    };
    world.kernel.swap(ask).await.map(|swapped| swapped.state_bytes)
}

/// What is in quarantine, once something is.
async fn quarantined(world: &World) -> Vec<Quarantined> {
    let waited = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            let quarantined = world.kernel.quarantined();
            if !quarantined.is_empty() {
                return quarantined;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let Ok(quarantined) = waited.await else {
        panic!("nothing was quarantined")
    };
    quarantined
}

fn shown(world: &World) -> Process {
    let mut all = world.kernel.processes();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_is_what_the_program_carries_and_nobody_calls_suspends_or_limits_it() {
    let (world, chair) = (world(60_000), Chair::default());
    assert_eq!(
        swap(&world, 1).await.unwrap_err().code,
        "KIN-KER-0051",
        "nobody keeps its seat"
    );
    chair.filled(&world).await.unwrap();
    assert_eq!(chair.who(), digest(0));
    let process = shown(&world);
    assert_eq!(
        (process.version, process.state, process.digest),
        (version(0), State::Active, digest(0))
    );
    assert!(world.kernel.list().is_empty(), "it is none of those that can be called");
    let what = CapsuleRef::from(part());
    let called = world.kernel.execute(&what, None, Input::Json(Map::new())).await;
    assert_eq!(called.unwrap_err().code, "KIN-KER-0050");
    let suspended = world.kernel.suspend(&part(), "a word", Actor::Operator).await;
    assert_eq!(suspended.unwrap_err().code, "KIN-KER-0050");
    let limited = world.kernel.limit(&part(), LimitsAsk::default(), Actor::Operator).await;
    assert_eq!(limited.unwrap_err().code, "KIN-KER-0050");
    let other: Urn = "urn:kinetic:actionspace:substrate:other:v1".parse().unwrap();
    assert_eq!(
        world.kernel.seat(&other, Arc::new(chair)).await.unwrap_err().code,
        "KIN-KER-0051"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_is_swapped_and_rolled_back_in_its_seat_and_found_there_after_a_restart() {
    let (world, chair) = (world(60_000), Chair::default());
    chair.filled(&world).await.unwrap();
    stage(&world, 1, "system").await;
    assert_eq!(chair.who(), digest(0), "staged is not seated");
    assert_eq!(swap(&world, 1).await.unwrap(), Some(7));
    assert_eq!((chair.who(), shown(&world).version), (digest(1), version(1)));
    let world = world.restart().await;
    let chair = Chair::default();
    chair.filled(&world).await.unwrap();
    assert_eq!((chair.who(), shown(&world).stands_by), (digest(1), Some(version(0))));
    let back = world.kernel.rollback(part(), Actor::Operator, false).await.unwrap();
    assert_eq!((back.to.version, back.state_bytes), (version(0), Some(7)));
    assert_eq!(chair.who(), digest(0));
    assert!(world.kernel.quarantined().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_the_part_or_cannot_take_over_leaves_the_one_before_in_its_seat() {
    let (world, chair) = (world(60_000), Chair::default());
    chair.filled(&world).await.unwrap();
    stage(&world, 1, "tenant").await;
    assert_eq!(swap(&world, 1).await.unwrap_err().code, "KIN-KER-0052");
    stage(&world, 2, "system").await;
    chair.useless.lock().insert(digest(2));
    assert!(swap(&world, 2).await.unwrap_err().message.contains("useless"));
    stage(&world, 3, "system").await;
    chair.late.lock().insert(digest(3));
    assert!(swap(&world, 3).await.unwrap_err().message.contains("late"));
    assert_eq!((chair.who(), shown(&world).version), (digest(0), version(0)));
    assert_eq!(world.kernel.quarantined().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_on_probation_bring_the_version_before_back() {
    let (world, chair) = (world(60_000), Chair::default());
    chair.filled(&world).await.unwrap();
    stage(&world, 1, "system").await;
    swap(&world, 1).await.unwrap();
    assert!(!chair.fails(false) && !chair.fails(false), "two are not enough");
    assert!(chair.fails(false), "somebody comes");
    chair.until(digest(0)).await;
    let process = shown(&world);
    assert_eq!((process.version, process.counts.failures), (version(0), 0));
    let quarantined = quarantined(&world).await;
    assert_eq!((quarantined.len(), quarantined[0].digest), (1, digest(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fails_for_good_with_nobody_standing_by_gives_way_to_what_the_program_carries() {
    let (world, chair) = (world(0), Chair::default());
    chair.filled(&world).await.unwrap();
    stage(&world, 1, "system").await;
    swap(&world, 1).await.unwrap();
    assert!(!chair.fails(false), "it is started again");
    assert!(chair.fails(true), "somebody comes");
    chair.until(digest(0)).await;
    assert_eq!(quarantined(&world).await[0].code, "KIN-KER-0053");
    // Of the program's own there is no other.
    assert!(!chair.fails(true));
    assert_eq!(chair.who(), digest(0));
    assert!(shown(&world).reason.unwrap().contains("it was to fail"));
    assert_eq!(world.kernel.quarantined().len(), 1, "it is never kept out");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_cannot_do_the_work_at_the_start_gives_way_and_stays_away() {
    let (world, chair) = (world(60_000), Chair::default());
    chair.filled(&world).await.unwrap();
    stage(&world, 1, "system").await;
    swap(&world, 1).await.unwrap();
    let world = world.restart().await;
    chair.useless.lock().insert(digest(1));
    chair.filled(&world).await.unwrap();
    assert_eq!((chair.who(), shown(&world).version), (digest(0), version(0)));
    let world = world.restart().await;
    let chair = Chair::default();
    chair.filled(&world).await.unwrap();
    assert_eq!(chair.who(), digest(0), "the choice is the program's own now");
}
