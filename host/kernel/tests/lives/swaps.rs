//! Single stories of swapping.

use std::time::Duration;

use kinetic_identity::{SigningKey, sign_statement};
use kinetic_kernel::{State, SwapSettings, override_statement};

use crate::kit::{Kind, World, urn, version};

fn eager() -> SwapSettings {
    SwapSettings {
        drain_ms: 500,
        ..SwapSettings::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_changes_what_answers_and_a_rollback_changes_it_back() {
    let world = World::start(eager());
    world.publish(0, Kind::Good).await.unwrap();
    world.stage(1, Kind::Good).await.unwrap();
    assert_eq!(world.call().await, Ok(0));
    let plan = world.kernel.plan_swap(World::ask(1)).await.unwrap();
    assert_eq!((plan.from.version, plan.to.version), (version(0), version(1)));
    assert_eq!(world.call().await, Ok(0));
    let swapped = world.swap(1).await.unwrap();
    assert_eq!((swapped.from.generation, swapped.to.generation), (1, 2));
    assert_eq!(world.call().await, Ok(1));
    let back = world
        .kernel
        .rollback(urn(), kinetic_kernel::Actor::Operator, false)
        .await
        .unwrap();
    assert_eq!((back.to.version, back.to.generation), (version(0), 3));
    assert_eq!(world.call().await, Ok(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_to_a_version_that_does_not_exist_fails_before_anything_happens() {
    let world = World::start(eager());
    world.publish(0, Kind::Good).await.unwrap();
    let fault = world.swap(9).await.unwrap_err();
    assert_eq!(fault.code, "KIN-KER-0007");
    let processes = world.kernel.processes();
    assert_eq!(
        (processes.len(), processes[0].generation, processes[0].state),
        (1, 1, State::Active)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_takes_a_function_away_is_refused_and_quarantined() {
    let world = World::start(eager());
    world.publish(0, Kind::Good).await.unwrap();
    world.stage(1, Kind::OtherShape).await.unwrap();
    assert_eq!(world.swap(1).await.unwrap_err().code, "KIN-KER-0015");
    assert_eq!(world.call().await, Ok(0));
    let quarantined = world.kernel.quarantined();
    assert_eq!((quarantined.len(), quarantined[0].code.as_str()), (1, "KIN-KER-0015"));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_a_new_version_fails_are_answered_by_the_one_before_which_then_comes_back() {
    let world = World::start(eager());
    world.publish(0, Kind::Good).await.unwrap();
    world.stage(1, Kind::TrapsInCalls).await.unwrap();
    world.swap(1).await.unwrap();
    for _ in 0..20 {
        assert_eq!(world.call().await, Ok(0));
    }
    // It is the last thing that happens to the one that failed.
    let come = tokio::time::timeout(Duration::from_secs(30), async {
        while world.kernel.quarantined().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    come.await.expect("it never was quarantined");
    let entry = world.kernel.quarantined().pop().unwrap();
    assert_eq!((entry.code.as_str(), entry.version.as_str()), ("KIN-KER-0021", "1.1.0"));
    assert_eq!(world.kernel.processes()[0].version, version(0));
    assert_eq!(world.call().await, Ok(0));
    assert_eq!(world.swap(1).await.unwrap_err().code, "KIN-KER-0008");

    // Only a trusted key's word lets the same bytes try again.
    let statement = override_statement(&entry, "the input was bad");
    let stranger = sign_statement(&statement, &SigningKey::generate().unwrap());
    assert!(world.kernel.release(&entry.digest, &stranger).await.is_err());
    let other = override_statement(
        &kinetic_kernel::Quarantined {
            at_unix_ms: 1,
            ..entry.clone()
        },
        "an old word",
    );
    let replayed = sign_statement(&other, &world.key);
    assert_eq!(
        world.kernel.release(&entry.digest, &replayed).await.unwrap_err().code,
        "KIN-KER-0027"
    );
    let signed = sign_statement(&statement, &world.key);
    world.kernel.release(&entry.digest, &signed).await.unwrap();
    world.swap(1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_answers_recorded_calls_otherwise_needs_somebodys_word() {
    let world = World::of_tier(eager(), "D0_bit_exact");
    world.publish(0, Kind::Good).await.unwrap();
    for _ in 0..5 {
        assert_eq!(world.call().await, Ok(0));
    }
    world.stage(1, Kind::Good).await.unwrap();
    let mut ask = World::ask(1);
    ask.accept_differences = true;
    let swapped = world.kernel.swap(ask).await.unwrap();
    assert_eq!((swapped.shadow.calls, swapped.shadow.differences), (5, 5));
    world.stage(2, Kind::Good).await.unwrap();
    assert_eq!(world.swap(2).await.unwrap_err().code, "KIN-KER-0016");
    assert_eq!(world.call().await, Ok(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_suspended_stays_so_across_a_restart_until_it_is_resumed() {
    let world = World::start(eager());
    world.publish(0, Kind::Good).await.unwrap();
    let operator = kinetic_kernel::Actor::Operator;
    world
        .kernel
        .suspend(&urn(), "the disk is full", operator)
        .await
        .unwrap();
    assert_eq!(world.call().await, Err("KIN-KER-0022".into()));
    assert!(world.kernel.suspend(&urn(), "again", operator).await.is_err());
    let world = world.restart().await;
    assert_eq!(world.call().await, Err("KIN-KER-0022".into()));
    world.kernel.resume(&urn(), operator).await.unwrap();
    assert_eq!(world.call().await, Ok(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_was_refused_does_not_become_active_by_a_restart() {
    let world = World::of_tier(eager(), "D0_bit_exact");
    world.publish(0, Kind::Good).await.unwrap();
    assert_eq!(world.call().await, Ok(0));
    world.stage(1, Kind::Good).await.unwrap();
    assert_eq!(world.swap(1).await.unwrap_err().code, "KIN-KER-0016");
    let world = world.restart().await;
    assert_eq!(world.call().await, Ok(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lowered_limit_reaches_the_next_call_and_outlives_a_restart() {
    let world = World::start(eager());
    world.publish(0, Kind::Good).await.unwrap();
    let limits = kinetic_model::LimitsAsk {
        fuel: Some(1),
        ..kinetic_model::LimitsAsk::default()
    };
    world
        .kernel
        .limit(&urn(), limits, kinetic_kernel::Actor::Operator)
        .await
        .unwrap();
    assert!(world.call().await.unwrap_err().contains("OutOfFuel"));
    let world = world.restart().await;
    assert!(world.call().await.unwrap_err().contains("OutOfFuel"));
    let none = kinetic_model::LimitsAsk::default();
    world
        .kernel
        .limit(&urn(), none, kinetic_kernel::Actor::Operator)
        .await
        .unwrap();
    assert_eq!(world.call().await, Ok(0));
}
