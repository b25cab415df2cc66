//! What holds of any capsules at all.

use proptest::prelude::*;

use super::*;

/// Interfaces `acme:i/iN@1.M.0`.
fn interface() -> impl Strategy<Value = String> {
    (0..3_u8, 0..3_u8).prop_map(|(name, minor)| format!("acme:i/i{name}@1.{minor}.0"))
}

fn some_capsule() -> impl Strategy<Value = Known> {
    let names = prop::collection::vec(interface(), 0..3);
    let requires = prop::collection::btree_set(interface(), 0..2);
    (
        0..4_u8,
        0..3_u8,
        names,
        requires,
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.2),
    )
        .prop_map(|(name, minor, provides, requires, is_active, is_bound)| {
            let provides: Vec<&str> = provides.iter().map(String::as_str).collect();
            let requires: Vec<&str> = requires.iter().map(String::as_str).collect();
            let known = capsule(&format!("c{name}"), &format!("1.{minor}.0"), &provides, &requires);
            let known = if is_active { active(known) } else { known };
            if is_bound { bound(known) } else { known }
        })
}

/// Up to seven capsules, each version once, and at most one active version of a URN: what a host can know.
fn some_capsules() -> impl Strategy<Value = Vec<Known>> {
    prop::collection::vec(some_capsule(), 1..8).prop_map(|all| {
        let mut known: Vec<Known> = Vec::new();
        for mut one in all {
            one.standing.active &= !known.iter().any(|other| other.urn == one.urn && other.standing.active);
            if !known.iter().any(|other| other.exact() == one.exact()) {
                known.push(one);
            }
        }
        known
    })
}

/// A wanted capsule that is not active, with two requirements.
fn wanted() -> impl Strategy<Value = Known> {
    prop::collection::btree_set(interface(), 1..3).prop_map(|requires| {
        let requires: Vec<&str> = requires.iter().map(String::as_str).collect();
        capsule("c0", "1.7.0", &["acme:i/i0@1.0.0"], &requires)
    })
}

/// Refuses some pairs, always the same ones.
fn sometimes(seed: u8) -> impl Fn(&Known, &Known, &Interface) -> Result<(), Denied> {
    move |dependent, provider, _| {
        let pair = Digest::of(format!("{seed} {dependent} {provider}").as_bytes());
        if pair.as_bytes()[0] < 40 {
            Err(Denied::by("sometimes", "by chance"))
        } else {
            Ok(())
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_answer_is_the_one_of_trying_everything(wanted in wanted(), known in some_capsules(), seed: u8) {
        let may_bind = sometimes(seed);
        let expected = oracle::best(&wanted, &known, &may_bind);
        let resolved = resolve(&wanted, &known, &may_bind);
        prop_assert_eq!(resolved.is_ok(), expected.is_some(), "{:?}", resolved);
        if let (Ok(resolution), Some(way)) = (resolved, expected) {
            let count: usize = resolution.bindings.values().map(BTreeMap::len).sum();
            prop_assert_eq!(count, way.len());
            for (owner, required, bound) in way {
                prop_assert_eq!(&resolution.bindings[&owner][&required], &bound);
            }
        }
    }

    #[test]
    fn the_answer_does_not_depend_on_the_order_of_the_known(
        wanted in wanted(),
        (known, shuffled) in some_capsules().prop_flat_map(|known| (Just(known.clone()), Just(known).prop_shuffle())),
        seed: u8,
    ) {
        let may_bind = sometimes(seed);
        prop_assert_eq!(resolve(&wanted, &known, &may_bind), resolve(&wanted, &shuffled, &may_bind));
    }

    #[test]
    fn everything_needed_stands_once_in_the_order_and_behind_what_it_uses(wanted in wanted(), known in some_capsules()) {
        if let Ok(resolution) = resolve(&wanted, &known, ANYONE) {
            let place = |exact: &Exact| resolution.order.iter().position(|other| other == exact).unwrap();
            prop_assert_eq!(resolution.order.len(), resolution.bindings.len());
            prop_assert_eq!(resolution.order.last(), Some(&wanted.exact()));
            for (owner, bindings) in &resolution.bindings {
                for (required, bound) in bindings {
                    prop_assert!(bound.interface.meets(required));
                    prop_assert!(place(&bound.provider) < place(owner));
                }
            }
        }
    }
}
