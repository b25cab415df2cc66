//! The table of transitions, and what a journal lets through.

use super::*;

#[test]
fn every_life_begins_discovered_and_no_state_is_a_dead_end_but_by_design() {
    let firsts: Vec<_> = State::ALL.into_iter().filter(|state| state.may_follow(None)).collect();
    assert_eq!(firsts, [State::Discovered]);
    for from in State::ALL {
        let next = State::ALL.into_iter().filter(|to| to.may_follow(Some(from))).count();
        assert!(next >= 1, "{from}");
        assert!(!from.may_follow(Some(from)), "{from} follows itself");
    }
}

#[test]
fn nothing_is_active_that_was_not_loaded_or_suspended_and_everything_can_be_quarantined_until_it_is_gone() {
    for from in State::ALL {
        let active = State::Active.may_follow(Some(from));
        assert_eq!(active, matches!(from, State::Loaded | State::Suspended), "{from}");
        let quarantined = State::Quarantined.may_follow(Some(from));
        assert_eq!(
            quarantined,
            !matches!(from, State::Unloaded | State::Quarantined),
            "{from}"
        );
    }
}
