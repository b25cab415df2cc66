//! What holds whatever callers do: no ceiling is passed, nobody is forgotten, nothing is left when all are gone.

use proptest::prelude::*;

use super::*;
use crate::zones::per_zone::ZONES;
use crate::zones::tenant::Hold;

#[derive(Clone, Debug)]
enum Step {
    Come {
        zone: usize,
        tenant: usize,
        memory_bytes: u64,
    },
    End {
        which: usize,
        fuel: u64,
    },
    GoAway {
        which: usize,
    },
    Look {
        which: usize,
    },
    Pass {
        ns: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (1_usize..4, 0_usize..4, 1_u64..60).prop_map(|(zone, tenant, memory_bytes)| Step::Come { zone, tenant, memory_bytes }),
        3 => (any::<usize>(), 0_u64..3_000).prop_map(|(which, fuel)| Step::End { which, fuel }),
        1 => any::<usize>().prop_map(|which| Step::GoAway { which }),
        1 => any::<usize>().prop_map(|which| Step::Look { which }),
        2 => (0_u64..2_000_000_000).prop_map(|ns| Step::Pass { ns }),
    ]
}

const TIGHT: Quota = Quota {
    weight: 1,
    calls_running_max: 3,
    fuel_per_s_max: 1_000,
    memory_bytes_max: 100,
};

/// Calls as a caller sees them.
#[derive(Default)]
struct Callers {
    running: Vec<(Ask, Grant)>,
    waiting: Vec<(Ask, u64, Chair)>,
}

impl Callers {
    /// Who was told gets up.
    fn get_up(&mut self) {
        let running = &mut self.running;
        self.waiting.retain(|(ask, _, chair)| match chair.0.get() {
            Some(Verdict::Admitted(grant)) => {
                running.push((*ask, grant));
                false
            }
            Some(Verdict::PushedOut) => false,
            Some(Verdict::Look) | None => true,
        });
    }
}

fn check(gate: &mut Gate<Chair>, callers: &Callers, now_ns: u64) {
    for zone in ZONES {
        let state = gate.zones.get(zone);
        assert!(state.running <= state.pool.calls_running_max);
        assert!(state.waiting <= state.pool.calls_waiting_max);
        let running = callers.running.iter().filter(|(ask, _)| ask.place.zone == zone).count();
        let waiting = callers
            .waiting
            .iter()
            .filter(|(ask, ..)| ask.place.zone == zone)
            .count();
        assert_eq!((state.running as usize, state.waiting as usize), (running, waiting));
        let has_room = state.running < state.pool.calls_running_max;
        // Who has room and is held by nothing does not wait, and those of one tenant are let in as they came.
        for (ask, ..) in callers
            .waiting
            .iter()
            .filter(|(ask, ..)| has_room && ask.place.zone == zone)
        {
            let tenant = gate.tenants.get_mut(ask.place.tenant);
            let head = tenant
                .lanes
                .get(zone)
                .queue
                .first_key_value()
                .map(|(_, waiter)| waiter.memory_bytes);
            let hold = tenant.hold(head.unwrap(), now_ns);
            // Fuel comes back by itself; whoever is first looks then.
            assert!(
                hold.is_some() || !tenant.lanes.get(zone).ready,
                "a line waits for nothing"
            );
        }
    }
    for tenant in gate.tenants.iter().skip(1) {
        assert!(tenant.running <= TIGHT.calls_running_max && tenant.memory_bytes <= TIGHT.memory_bytes_max);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_ceiling_is_passed_and_nothing_is_left_behind(steps in prop::collection::vec(step(), 1..200)) {
        let mut settings = settings(4, 6, &[]);
        settings.quota = TIGHT;
        let mut gate = gate(&settings);
        let mut callers = Callers::default();
        let mut now_ns = 0;
        for step in steps {
            match step {
                Step::Come { zone, tenant, memory_bytes } => {
                    let ask = ask_in(&mut gate, ZONES[zone], ["a", "b", "c", "d"][tenant], memory_bytes);
                    match come(&mut gate, &ask, now_ns) {
                        Ok(Came::In(grant)) => callers.running.push((ask, grant)),
                        Ok(Came::Waits(number, chair)) => callers.waiting.push((ask, number, chair)),
                        Err(error) => prop_assert!(matches!(error, KernelError::QueueFull { .. }), "{error}"),
                    }
                }
                Step::End { which, fuel } if !callers.running.is_empty() => {
                    let (ask, grant) = callers.running.swap_remove(which % callers.running.len());
                    gate.release(&ask, grant, fuel, now_ns);
                }
                Step::GoAway { which } if !callers.waiting.is_empty() => {
                    let (ask, number, _) = callers.waiting.remove(which % callers.waiting.len());
                    gate.leave(ask.place, number, now_ns);
                }
                Step::Look { which } if !callers.waiting.is_empty() => {
                    let (ask, number, _) = &callers.waiting[which % callers.waiting.len()];
                    gate.look(ask.place, *number, now_ns);
                }
                Step::Pass { ns } => {
                    now_ns += ns;
                    // Those whose time to look has come.
                    for (ask, number, _) in &callers.waiting {
                        gate.look(ask.place, *number, now_ns);
                    }
                }
                Step::End { .. } | Step::GoAway { .. } | Step::Look { .. } => {}
            }
            callers.get_up();
            check(&mut gate, &callers, now_ns);
        }
        // Everybody who waits gets in, as those before end and debts are paid.
        for _ in 0..10_000 {
            if callers.waiting.is_empty() && callers.running.is_empty() {
                break;
            }
            now_ns += 1_000_000_000;
            for (ask, grant) in std::mem::take(&mut callers.running) {
                gate.release(&ask, grant, 0, now_ns);
            }
            for (ask, number, _) in &callers.waiting {
                let later = gate.look(ask.place, *number, now_ns);
                prop_assert!(later.is_none_or(|later| later > now_ns));
            }
            callers.get_up();
        }
        prop_assert!(callers.waiting.is_empty(), "{} wait for ever", callers.waiting.len());
        for (zone, tenant) in ZONES.into_iter().flat_map(|zone| gate.tenants.iter().map(move |tenant| (zone, tenant))) {
            let lane = tenant.lanes.get(zone);
            prop_assert!(lane.queue.is_empty() && !lane.ready && lane.running == 0);
            prop_assert_eq!((tenant.running, tenant.waiting, tenant.memory_bytes), (0, 0, 0));
        }
        for zone in gate.zones.all() {
            prop_assert!(zone.is_idle());
        }
    }
}

#[test]
fn calls_of_one_tenant_are_let_in_as_they_came() {
    let mut gate = gate(&settings(1, 100, &[]));
    let ask = ask(&mut gate, "a", 1);
    let mut grant = comes_in(&mut gate, &ask, 0);
    let line: Vec<_> = (0..10).map(|_| waits(&mut gate, &ask, 0).1).collect();
    for (at, chair) in line.iter().enumerate() {
        gate.release(&ask, grant, 1, 1_000);
        grant = chair.granted().unwrap();
        assert!(line.iter().skip(at + 1).all(|later| later.granted().is_none()));
    }
}

#[test]
fn a_hold_names_what_keeps_a_call_out() {
    let mut gate = gate(&settings(9, 9, &[("a", TIGHT)]));
    let small = ask(&mut gate, "a", 40);
    let hold = |gate: &mut Gate<Chair>| gate.tenants.get_mut(small.place.tenant).hold(40, 0);
    let first = comes_in(&mut gate, &small, 0);
    comes_in(&mut gate, &small, 0);
    assert_eq!(hold(&mut gate), Some(Hold::Memory));
    gate.release(&small, first, 2_000, 0);
    assert_eq!(hold(&mut gate), Some(Hold::Fuel(1_000_000_000)));
}
