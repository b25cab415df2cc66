//! Random histories against a model: what a URN means after each step, and after each restart.

use kinetic_kernel::{Actor, SwapSettings};

use crate::kit::{Kind, World, urn};

/// What should be.
#[derive(Clone, Debug, Default)]
struct Model {
    active: Option<u64>,
    former: Option<u64>,
    suspended: bool,
    on_probation: bool,
    stored: Vec<u64>,
    generation: u64,
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

impl Model {
    fn flips_to(&mut self, minor: u64, probation: bool) {
        self.former = self.active;
        self.active = Some(minor);
        self.suspended = false;
        self.on_probation = probation && self.former.is_some();
        self.generation += 1;
    }
}

async fn history(seed: u64, steps: usize, probation: bool) {
    let swap = SwapSettings {
        probation_ms: if probation { 3_600_000 } else { 0 },
        drain_ms: 200,
        ..SwapSettings::default()
    };
    let mut world = World::start(swap);
    let mut model = Model::default();
    let mut random = Random(seed);
    let mut next = 0;
    for step in 0..steps {
        let what = random.below(10);
        let told = format!("seed {seed}, step {step}, {what}: {model:?}");
        match what {
            0 | 1 => {
                world.publish(next, Kind::Good).await.unwrap();
                model.stored.push(next);
                model.flips_to(next, probation);
                next += 1;
            }
            2 => {
                let kind = if random.below(2) == 0 {
                    Kind::TrapsAtStart
                } else {
                    Kind::OtherShape
                };
                let published = world.publish(next, kind).await;
                // With nothing before it, another shape is no shape at all.
                if kind == Kind::OtherShape && model.active.is_none() {
                    return;
                }
                assert!(published.is_err(), "{told}");
                next += 1;
            }
            3 | 4 if !model.stored.is_empty() => {
                let at = random.below(model.stored.len() as u64);
                let minor = model.stored[usize::try_from(at).unwrap()];
                let swapped = world.swap(minor).await;
                assert_eq!(swapped.is_ok(), model.active != Some(minor), "{told}: {swapped:?}");
                if let Ok(swapped) = swapped {
                    model.flips_to(minor, probation);
                    assert_eq!(swapped.to.generation, model.generation, "{told}");
                }
            }
            5 => assert!(world.swap(1_000).await.is_err(), "{told}"),
            6 => {
                let back = world.kernel.rollback(urn(), Actor::Operator, false).await;
                assert_eq!(back.is_ok(), model.former.is_some(), "{told}: {back:?}");
                if let Some(former) = model.former {
                    let at_once = model.on_probation;
                    model.flips_to(former, probation);
                    if at_once {
                        model.former = None;
                        model.on_probation = false;
                    }
                }
            }
            7 => {
                let suspended = world.kernel.suspend(&urn(), "a test", Actor::Operator).await;
                assert_eq!(suspended.is_ok(), model.active.is_some() && !model.suspended, "{told}");
                model.suspended |= suspended.is_ok();
            }
            8 => {
                let resumed = world.kernel.resume(&urn(), Actor::Operator).await;
                assert_eq!(resumed.is_ok(), model.suspended, "{told}");
                model.suspended = false;
            }
            _ => {
                world = world.restart().await;
            }
        }
        let expected = match (model.active, model.suspended) {
            (None, _) => Err("KIN-KER-0007".to_string()),
            (_, true) => Err("KIN-KER-0022".to_string()),
            (Some(minor), false) => Ok(minor),
        };
        assert_eq!(world.call().await, expected, "{told}");
        let active: Vec<_> = world
            .kernel
            .processes()
            .into_iter()
            .filter(|process| !process.pinned)
            .collect();
        assert_eq!(active.len(), usize::from(model.active.is_some()), "{told}");
        if let [process] = active.as_slice() {
            assert_eq!(process.generation, model.generation, "{told}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn histories_without_probation_are_those_of_the_model() {
    for seed in 0..12 {
        history(seed, 40, false).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn histories_with_a_probation_that_never_ends_are_those_of_the_model() {
    for seed in 100..112 {
        history(seed, 40, true).await;
    }
}
