//! Zones that leave each other alone, debts, memory, full lines, nested calls.

use super::*;

const SECOND_NS: u64 = 1_000_000_000;

#[test]
fn a_zone_that_is_full_takes_no_slot_of_another_one() {
    let mut gate = gate(&settings(3, 10, &[]));
    let stranger = ask_in(&mut gate, TrustZone::Ephemeral, "a", 1);
    for _ in 0..3 {
        comes_in(&mut gate, &stranger, 0);
    }
    waits(&mut gate, &stranger, 0);
    for zone in [TrustZone::System, TrustZone::Tenant, TrustZone::Session] {
        let ask = ask_in(&mut gate, zone, "a", 1);
        comes_in(&mut gate, &ask, 0);
    }
}

#[test]
fn no_quota_of_a_namespace_holds_what_runs_in_zone_system() {
    let none_left = Quota {
        calls_running_max: 1,
        memory_bytes_max: 10,
        ..QUOTA
    };
    let mut gate = gate(&settings(3, 10, &[("kinetic", none_left)]));
    let example = ask_in(&mut gate, TrustZone::Session, "kinetic", 10);
    comes_in(&mut gate, &example, 0);
    waits(&mut gate, &example, 0);
    for namespace in ["kinetic", "other", "kinetic"] {
        let system = ask_in(&mut gate, TrustZone::System, namespace, 1_000);
        assert_eq!(gate.tenants.get(system.place.tenant).name.as_ref(), "kinetic");
        comes_in(&mut gate, &system, 0);
    }
}

#[test]
fn a_tenant_in_debt_waits_until_it_is_paid_and_the_others_do_not() {
    let poor = Quota {
        fuel_per_s_max: 100,
        ..QUOTA
    };
    let mut gate = gate(&settings(9, 9, &[("poor", poor)]));
    let (poor, rich) = (ask(&mut gate, "poor", 1), ask(&mut gate, "rich", 1));
    let grant = comes_in(&mut gate, &poor, 0);
    gate.release(&poor, grant, 350, 0);
    let (number, chair) = waits(&mut gate, &poor, 0);
    assert_eq!(gate.look(poor.place, number, 0), Some(2 * SECOND_NS + SECOND_NS / 2));
    comes_in(&mut gate, &rich, 0);
    gate.look(poor.place, number, 2 * SECOND_NS);
    assert!(chair.granted().is_none());
    gate.look(poor.place, number, 2 * SECOND_NS + SECOND_NS / 2);
    assert!(chair.granted().is_some());
}

#[test]
fn who_becomes_first_in_a_line_that_waits_for_fuel_is_told_to_look() {
    let poor = Quota {
        fuel_per_s_max: 100,
        ..QUOTA
    };
    let mut gate = gate(&settings(9, 9, &[("poor", poor)]));
    let poor = ask(&mut gate, "poor", 1);
    let grant = comes_in(&mut gate, &poor, 0);
    gate.release(&poor, grant, 200, 0);
    let (first, _) = waits(&mut gate, &poor, 0);
    let (second, chair) = waits(&mut gate, &poor, 0);
    assert_eq!(gate.look(poor.place, second, 0), None);
    chair.0.set(None);
    gate.leave(poor.place, first, 0);
    assert_eq!(chair.0.get(), Some(Verdict::Look));
    assert_eq!(gate.look(poor.place, second, 0), Some(SECOND_NS));
}

#[test]
fn memory_that_is_given_back_in_one_zone_lets_a_call_of_another_zone_in() {
    let small = Quota {
        memory_bytes_max: 100,
        ..QUOTA
    };
    let mut gate = gate(&settings(9, 9, &[("a", small)]));
    let here = ask_in(&mut gate, TrustZone::Tenant, "a", 60);
    let there = ask_in(&mut gate, TrustZone::Session, "a", 60);
    let grant = comes_in(&mut gate, &here, 0);
    let (_, chair) = waits(&mut gate, &there, 0);
    gate.release(&here, grant, 1, 0);
    assert!(chair.granted().is_some());
}

#[test]
fn a_call_that_never_could_run_is_refused_at_once() {
    let small = Quota {
        memory_bytes_max: 100,
        ..QUOTA
    };
    let mut gate = gate(&settings(9, 9, &[("a", small)]));
    let large = ask(&mut gate, "a", 101);
    assert!(matches!(
        come(&mut gate, &large, 0),
        Err(KernelError::CallTooLarge {
            memory_bytes: 101,
            memory_bytes_max: 100,
            ..
        })
    ));
}

#[test]
fn a_full_line_refuses_whose_calls_fill_it_and_makes_room_for_the_others() {
    let mut gate = gate(&settings(1, 4, &[]));
    let (hostile, quiet) = (ask(&mut gate, "hostile", 1), ask(&mut gate, "quiet", 1));
    comes_in(&mut gate, &hostile, 0);
    let line: Vec<_> = (0..4).map(|_| waits(&mut gate, &hostile, 0).1).collect();
    assert!(matches!(
        come(&mut gate, &hostile, 0),
        Err(KernelError::QueueFull { calls: 4, .. })
    ));
    waits(&mut gate, &quiet, 0);
    let told: Vec<_> = line.iter().map(|chair| chair.0.get()).collect();
    assert_eq!(told, [None, None, None, Some(Verdict::PushedOut)]);
    // Half the line each: now the one is not worse off than the other.
    waits(&mut gate, &quiet, 0);
    assert!(come(&mut gate, &quiet, 0).is_err());
    assert_eq!(gate.zones.tenant.waiting, 4);
}

#[test]
fn a_tenant_at_its_own_ceiling_leaves_slots_to_the_others() {
    let two = Quota {
        calls_running_max: 2,
        ..QUOTA
    };
    let mut gate = gate(&settings(3, 9, &[("hostile", two)]));
    let (hostile, quiet) = (ask(&mut gate, "hostile", 1), ask(&mut gate, "quiet", 1));
    comes_in(&mut gate, &hostile, 0);
    let grant = comes_in(&mut gate, &hostile, 0);
    let (_, chair) = waits(&mut gate, &hostile, 0);
    comes_in(&mut gate, &quiet, 0);
    gate.release(&hostile, grant, 1, 0);
    assert!(chair.granted().is_some());
}

#[test]
fn nested_calls_take_no_slot_and_are_bounded_by_memory_and_fuel() {
    let small = Quota {
        memory_bytes_max: 100,
        fuel_per_s_max: 100,
        ..QUOTA
    };
    let mut gate = gate(&settings(1, 9, &[("a", small)]));
    let a = ask(&mut gate, "a", 40);
    comes_in(&mut gate, &a, 0);
    // The zone's only slot is the caller's own.
    assert_eq!(gate.enter_nested(&a, 0), Ok(None));
    assert!(matches!(gate.enter_nested(&a, 0), Err(KernelError::NestedFull { .. })));
    gate.release_nested(&a, 300, 0);
    assert_eq!(gate.enter_nested(&a, 0), Ok(Some(2 * SECOND_NS)));
    assert_eq!(gate.enter_nested(&a, 2 * SECOND_NS), Ok(None));
    assert_eq!(super::super::Place::of_token(a.place.token()), Some(a.place));
    assert_eq!(super::super::Place::of_token(0), None);
}
