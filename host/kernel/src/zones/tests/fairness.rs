//! Shares of service, in virtual time: hours of backlog in a moment.
#![allow(clippy::cast_precision_loss, reason = "shares are compared to a tenth")]

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use proptest::prelude::*;

use super::*;

/// A tenant that always has calls waiting.
#[derive(Clone, Copy, Debug)]
struct Backlogged {
    weight: u32,
    /// Its calls take from half of this to one and a half times as long.
    cost_ns: u64,
}

/// Slots of the zone.
const SLOTS: u32 = 4;
/// Calls of each tenant that wait at any time.
const LINE: usize = 3;

/// The time each tenant held slots, when so many calls were served.
fn served(tenants: &[Backlogged], calls: usize, mut random: u64) -> Vec<u64> {
    let names: Vec<String> = (0..tenants.len()).map(|n| format!("t{n}")).collect();
    let quotas: Vec<(&str, Quota)> = names
        .iter()
        .zip(tenants)
        .map(|(name, tenant)| {
            let quota = Quota {
                weight: tenant.weight,
                ..QUOTA
            };
            (name.as_str(), quota)
        })
        .collect();
    let mut gate = gate(&settings(SLOTS, 1_000, &quotas));
    let asks: Vec<Ask> = names.iter().map(|name| ask(&mut gate, name, 1)).collect();
    let mut lines: Vec<Vec<Chair>> = vec![Vec::new(); tenants.len()];
    let mut running = BinaryHeap::new();
    let mut grants = BTreeMap::new();
    let (mut service, mut now_ns, mut number) = (vec![0; tenants.len()], 0, 0_u64);
    for _ in 0..calls {
        let mut begun = Vec::new();
        for (tenant, line) in lines.iter_mut().enumerate() {
            line.retain(|chair| match chair.granted() {
                Some(grant) => {
                    begun.push((tenant, grant));
                    false
                }
                None => true,
            });
            while line.len() < LINE {
                match come(&mut gate, &asks[tenant], now_ns).unwrap() {
                    Came::In(grant) => begun.push((tenant, grant)),
                    Came::Waits(_, chair) => line.push(chair),
                }
            }
        }
        for (tenant, grant) in begun {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let cost = tenants[tenant].cost_ns;
            let lasts = cost / 2 + (random >> 33) % cost;
            running.push(Reverse((now_ns + lasts, number)));
            grants.insert(number, (tenant, grant, lasts));
            number += 1;
        }
        let Reverse((ends_ns, ended)) = running.pop().unwrap();
        now_ns = ends_ns;
        let (tenant, grant, lasted) = grants.remove(&ended).unwrap();
        service[tenant] += lasted;
        gate.release(&asks[tenant], grant, 1, now_ns);
    }
    service
}

/// How far each share is from that of the weights, in percent of the latter.
fn off_percent(tenants: &[Backlogged], service: &[u64]) -> Vec<f64> {
    let weights: u32 = tenants.iter().map(|tenant| tenant.weight).sum();
    let all: u64 = service.iter().sum();
    tenants
        .iter()
        .zip(service)
        .map(|(tenant, served)| {
            let due = all as f64 * f64::from(tenant.weight) / f64::from(weights);
            (*served as f64 - due).abs() * 100.0 / due
        })
        .collect()
}

#[test]
fn long_calls_get_a_tenant_no_more_than_short_ones() {
    let tenants = [
        Backlogged {
            weight: 1,
            cost_ns: 1_000_000_000,
        },
        Backlogged {
            weight: 1,
            cost_ns: 100_000,
        },
        Backlogged {
            weight: 1,
            cost_ns: 5_000_000,
        },
    ];
    let service = served(&tenants, 200_000, 1);
    let off = off_percent(&tenants, &service);
    assert!(off.iter().all(|percent| *percent < 10.0), "{off:?} {service:?}");
}

#[test]
fn who_has_twice_the_weight_gets_twice_the_time() {
    let tenants = [
        Backlogged {
            weight: 200,
            cost_ns: 3_000_000,
        },
        Backlogged {
            weight: 100,
            cost_ns: 3_000_000,
        },
    ];
    let service = served(&tenants, 20_000, 2);
    let times = service[0] as f64 / service[1] as f64;
    assert!((1.9..2.1).contains(&times), "{times}");
}

#[test]
fn who_comes_back_has_saved_up_nothing_and_starves_nobody() {
    let mut gate = gate(&settings(1, 1_000, &[]));
    let (busy, late) = (ask(&mut gate, "busy", 1), ask(&mut gate, "late", 1));
    let mut now_ns = 0;
    // An hour of one tenant alone.
    for _ in 0..3_600 {
        let grant = comes_in(&mut gate, &busy, now_ns);
        now_ns += 1_000_000_000;
        gate.release(&busy, grant, 1, now_ns);
    }
    let mut grant = comes_in(&mut gate, &busy, now_ns);
    let mut holder = busy;
    let mut lines: Vec<(Ask, Chair)> = Vec::new();
    for _ in 0..10 {
        for ask in [busy, late] {
            lines.push((ask, waits(&mut gate, &ask, now_ns).1));
        }
    }
    let mut order = Vec::new();
    for _ in 0..20 {
        now_ns += 1_000_000_000;
        gate.release(&holder, grant, 1, now_ns);
        let at = lines.iter().position(|(_, chair)| chair.granted().is_some()).unwrap();
        let (ask, chair) = lines.remove(at);
        (holder, grant) = (ask, chair.granted().unwrap());
        order.push(ask.place == late.place);
    }
    for three in order.windows(3) {
        assert!(three.contains(&true) && three.contains(&false), "{order:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn under_backlog_every_share_is_within_a_tenth_of_its_weight(
        tenants in prop::collection::vec((1_u32..=20, 50_000_u64..20_000_000), 2..6),
        seed in any::<u64>(),
    ) {
        let tenants: Vec<_> = tenants.into_iter().map(|(weight, cost_ns)| Backlogged { weight, cost_ns }).collect();
        // No tenant can be due more slots than its line fills.
        let weights: u32 = tenants.iter().map(|tenant| tenant.weight).sum();
        prop_assume!(tenants.iter().all(|tenant| tenant.weight * 10 <= weights * 9));
        // A share of a few calls is off by whole calls.
        let rate = |tenant: &Backlogged| f64::from(tenant.weight) / tenant.cost_ns as f64;
        let all: f64 = tenants.iter().map(rate).sum();
        prop_assume!(tenants.iter().all(|tenant| rate(tenant) / all * 150_000.0 >= 200.0));
        let service = served(&tenants, 150_000, seed);
        let off = off_percent(&tenants, &service);
        prop_assert!(off.iter().all(|percent| *percent < 10.0), "{:?} {:?} {:?}", off, service, tenants);
    }
}
