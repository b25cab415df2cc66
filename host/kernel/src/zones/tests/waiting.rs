//! The gate with callers that wait, go away and run out of patience.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::{QUOTA, settings};
use crate::KernelError;
use crate::zones::{Permit, Quota, ZoneSettings, Zones};
use kinetic_model::{TrustZone, Usage};

fn zones(settings: &ZoneSettings) -> Zones {
    Zones::new(settings, 1_000, 10).unwrap()
}

/// For those who wait for what has to come, however busy the machine is.
fn patient(mut settings: ZoneSettings) -> ZoneSettings {
    settings.pools.tenant.wait_ms_max = 60_000;
    settings
}

async fn enter<'z>(zones: &'z Zones, tenant: &str) -> Result<Permit<'z>, KernelError> {
    zones.enter_as(TrustZone::Tenant, tenant, 1, 1_000_000).await
}

fn fuel(fuel: u64) -> Usage {
    Usage {
        fuel,
        ..Usage::default()
    }
}

/// Running and waiting in zone `tenant`.
fn counts(zones: &Zones) -> (u32, u32) {
    let status = zones.status();
    let zone = status.iter().find(|zone| zone.zone == TrustZone::Tenant).unwrap();
    (zone.calls_running, zone.calls_waiting)
}

#[tokio::test]
async fn who_waits_is_let_in_when_a_slot_is_given_back() {
    let zones = zones(&patient(settings(1, 9, &[])));
    let first = enter(&zones, "a").await.unwrap();
    let (second, ()) = tokio::join!(enter(&zones, "b"), async {
        tokio::task::yield_now().await;
        assert_eq!(counts(&zones), (1, 1));
        drop(first);
    });
    assert_eq!(counts(&zones), (1, 0));
    drop(second);
    assert_eq!(counts(&zones), (0, 0));
}

#[tokio::test]
async fn a_call_that_waited_its_time_is_told_why() {
    let zones = zones(&settings(1, 9, &[]));
    let _first = enter(&zones, "a").await.unwrap();
    let refused = enter(&zones, "b").await.err().unwrap();
    let KernelError::WaitedTooLong {
        wait_ms_max,
        why,
        tenant,
        ..
    } = refused
    else {
        panic!("{refused}")
    };
    assert_eq!((wait_ms_max, tenant.as_str()), (50, "b"));
    assert!(why.contains("all 1 slots"), "{why}");
    assert_eq!(counts(&zones), (1, 0));
    assert_eq!(zones.status()[1].calls_refused, 1);
}

#[tokio::test]
async fn callers_who_go_away_leave_no_trace_wherever_they_are() {
    let zones = Arc::new(zones(&settings(2, 64, &[])));
    for round in 0..50_u64 {
        let tasks: Vec<_> = (0..20_u64)
            .map(|n| {
                let zones = zones.clone();
                tokio::spawn(async move {
                    let permit = enter(&zones, if n % 2 == 0 { "a" } else { "b" }).await;
                    tokio::time::sleep(Duration::from_micros(n * 50)).await;
                    drop(permit);
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_micros(round * 40)).await;
        for task in &tasks {
            task.abort();
        }
        for task in tasks {
            let _ = task.await;
        }
        assert_eq!(counts(&zones), (0, 0), "in round {round}");
    }
    drop(enter(&zones, "a").await.unwrap());
}

#[tokio::test]
async fn a_slot_given_to_a_caller_who_just_went_away_goes_to_the_next_one() {
    let zones = zones(&settings(1, 9, &[]));
    let first = enter(&zones, "a").await.unwrap();
    {
        let mut going = pin!(enter(&zones, "a"));
        let mut context = Context::from_waker(Waker::noop());
        assert!(matches!(going.as_mut().poll(&mut context), Poll::Pending));
        drop(first);
        assert_eq!(counts(&zones), (1, 0));
    }
    assert_eq!(counts(&zones), (0, 0));
    drop(enter(&zones, "b").await.unwrap());
}

#[tokio::test]
async fn a_call_whose_caller_went_away_is_charged_for_the_time_it_had() {
    let poor = Quota {
        fuel_per_s_max: 100_000_000,
        ..QUOTA
    };
    let zones = zones(&patient(settings(9, 9, &[("poor", poor)])));
    let mut permit = zones.enter_as(TrustZone::Tenant, "poor", 1, u64::MAX).await.unwrap();
    permit.runs();
    tokio::time::sleep(Duration::from_millis(20)).await;
    drop(permit);
    assert!(zones.status()[1].tenants[0].fuel >= 20_000_000);
    let mut ended = enter(&zones, "poor").await.unwrap();
    let before = zones.status()[1].tenants[0].fuel;
    ended.burnt(&fuel(7));
    ended.burnt(&fuel(8));
    drop(ended);
    assert_eq!(zones.status()[1].tenants[0].fuel - before, 15);
}

#[tokio::test]
async fn a_tenant_in_debt_gets_in_by_itself_when_it_is_paid() {
    let poor = Quota {
        fuel_per_s_max: 1_000,
        ..QUOTA
    };
    let zones = zones(&patient(settings(9, 9, &[("poor", poor)])));
    let mut permit = enter(&zones, "poor").await.unwrap();
    permit.burnt(&fuel(1_030));
    drop(permit);
    let began = Instant::now();
    let (one, two) = tokio::join!(enter(&zones, "poor"), enter(&zones, "poor"));
    assert!(one.is_ok() && two.is_ok());
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "before their patience was at its end"
    );
}

#[tokio::test]
async fn a_nested_call_does_not_wait_for_the_slot_of_its_own_caller() {
    let small = Quota {
        calls_running_max: 1,
        fuel_per_s_max: 10,
        ..QUOTA
    };
    let zones = zones(&settings(1, 9, &[("a", small)]));
    let caller = enter(&zones, "a").await.unwrap();
    let deadline = Instant::now() + Duration::from_millis(20);
    let mut nested = zones.enter_nested(caller.place(), 1, 1_000, deadline).await.unwrap();
    nested.burnt(&fuel(1_000));
    drop(nested);
    let refused = zones
        .enter_nested(caller.place(), 1, 1_000, deadline)
        .await
        .err()
        .unwrap();
    assert!(matches!(refused, KernelError::WaitedTooLong { .. }), "{refused}");
    drop(caller);
    assert_eq!(counts(&zones), (0, 0));
}

#[tokio::test]
async fn only_who_had_calls_is_shown_and_names_beyond_the_bound_share_one_quota() {
    let zones = zones(&settings(9, 9, &[("never", QUOTA)]));
    for n in 0..1_100 {
        drop(enter(&zones, &format!("t{n}")).await.unwrap());
    }
    let tenants = &zones.status()[1].tenants;
    assert!(tenants.iter().all(|tenant| tenant.tenant != "never"));
    assert_eq!(tenants.len(), 1_023);
    assert_eq!(tenants.last().unwrap().tenant, "(others)");
    assert!(zones.status()[0].tenants.is_empty());
}
