//! Which provider is chosen.

use super::*;

const QUERY: &str = "acme:db/query@1.2.0";

/// Who meets the first requirement of `app`.
fn provider_of(required: &str, known: &[Known]) -> String {
    let app = capsule("app", "1.0.0", &[], &[required]);
    let resolution = resolve(&app, known, ANYONE).unwrap();
    short(&resolution.bindings[&app.exact()][&Interface::parse(required).unwrap()].provider)
}

#[test]
fn what_requires_nothing_needs_itself_alone() {
    let app = capsule("app", "1.0.0", &[], &[]);
    let resolution = resolve(&app, &[capsule("other", "1.0.0", &[QUERY], &[])], ANYONE).unwrap();
    assert_eq!(resolution.order, [app.exact()]);
    assert!(resolution.bindings[&app.exact()].is_empty());
}

#[test]
fn the_operators_word_comes_before_active_before_interface_before_capsule_before_urn() {
    let a = capsule("a", "1.0.0", &[QUERY], &[]);
    let b = capsule("b", "1.0.0", &[QUERY], &[]);
    assert_eq!(provider_of(QUERY, &[b.clone(), a.clone()]), "a 1.0.0", "by URN");
    let newer = capsule("b", "1.1.0", &[QUERY], &[]);
    assert_eq!(provider_of(QUERY, &[a.clone(), newer.clone()]), "b 1.1.0", "by capsule");
    let wider = capsule("c", "1.0.0", &["acme:db/query@1.4.0"], &[]);
    assert_eq!(
        provider_of(QUERY, &[a.clone(), newer.clone(), wider.clone()]),
        "c 1.0.0",
        "by interface"
    );
    let all = [active(a), newer, wider];
    assert_eq!(provider_of(QUERY, &all), "a 1.0.0", "by what is active");
    let all = [all[0].clone(), bound(all[1].clone()), all[2].clone()];
    assert_eq!(provider_of(QUERY, &all), "b 1.1.0", "by the operator's word");
}

#[test]
fn a_urn_keeps_its_active_version_though_a_newer_one_is_known() {
    let old = active(capsule("db", "1.0.0", &[QUERY], &[]));
    let new = capsule("db", "1.9.0", &["acme:db/query@1.9.0"], &[]);
    assert_eq!(provider_of(QUERY, &[new, old]), "db 1.0.0");
}

#[test]
fn an_older_version_is_taken_where_none_is_active_and_the_newest_does_not_do() {
    let old = capsule("db", "1.0.0", &[QUERY], &[]);
    let new = capsule("db", "1.1.0", &[QUERY], &["acme:no/such@1.0.0"]);
    assert_eq!(provider_of(QUERY, &[old, new]), "db 1.0.0");
}

#[test]
fn two_that_need_different_versions_of_one_capsule_settle_on_one() {
    let app = capsule("app", "1.0.0", &[], &["acme:a/a@1.0.0", "acme:b/b@1.0.0"]);
    let known = [
        capsule("store", "1.0.0", &["acme:a/a@1.0.0", "acme:b/b@1.0.0"], &[]),
        capsule("store", "1.1.0", &["acme:a/a@1.0.0"], &[]),
    ];
    let resolution = resolve(&app, &known, ANYONE).unwrap();
    assert_eq!(
        resolution.order.iter().map(short).collect::<Vec<_>>(),
        ["store 1.0.0", "app 1.0.0"]
    );
}

#[test]
fn each_capsule_stands_behind_those_it_uses() {
    let app = capsule("app", "1.0.0", &[], &["acme:a/a@1.0.0", "acme:c/c@1.0.0"]);
    let known = [
        capsule("a", "1.0.0", &["acme:a/a@1.0.0"], &["acme:b/b@1.0.0"]),
        capsule("b", "1.0.0", &["acme:b/b@1.0.0"], &["acme:c/c@1.0.0"]),
        capsule("c", "1.0.0", &["acme:c/c@1.0.0"], &[]),
    ];
    let resolution = resolve(&app, &known, ANYONE).unwrap();
    let order: Vec<String> = resolution.order.iter().map(short).collect();
    assert_eq!(order, ["c 1.0.0", "b 1.0.0", "a 1.0.0", "app 1.0.0"]);
    assert_eq!(resolution.bindings.len(), 4);
}

#[test]
fn a_refused_provider_gives_way_to_the_next() {
    let known = [
        capsule("a", "1.0.0", &[QUERY], &[]),
        capsule("b", "1.0.0", &[QUERY], &[]),
    ];
    let app = capsule("app", "1.0.0", &[], &[QUERY]);
    let not_a = |_: &Known, provider: &Known, _: &Interface| match provider.urn.name() {
        "a" => Err(Denied::by("no-a", "a is not used")),
        _ => Ok(()),
    };
    let resolution = resolve(&app, &known, &not_a).unwrap();
    assert_eq!(
        resolution.order.iter().map(short).collect::<Vec<_>>(),
        ["b 1.0.0", "app 1.0.0"]
    );
}

#[test]
fn a_chain_of_sixteen_is_followed_and_the_seventeenth_is_refused() {
    let chain = |length: usize| {
        let interface = |n: usize| format!("acme:c/i{n}@1.0.0");
        let link = |n: usize| {
            let requires = (n < length).then(|| interface(n + 1));
            let requires: Vec<&str> = requires.iter().map(String::as_str).collect();
            capsule(&format!("c{n}"), "1.0.0", &[&interface(n)], &requires)
        };
        resolve(&link(0), &(1..=length).map(link).collect::<Vec<_>>(), ANYONE)
    };
    assert_eq!(chain(DEPTH_MAX).unwrap().order.len(), DEPTH_MAX + 1);
    let Err(Unresolved::Unmet { why, .. }) = chain(DEPTH_MAX + 1) else {
        panic!("a chain of 17 was taken")
    };
    assert!(why.to_string().contains("a chain of more than 16 capsules"), "{why}");
}

#[test]
fn more_capsules_than_one_may_bring_with_it_are_refused() {
    let names: Vec<String> = (0..CAPSULES_MAX).map(|n| format!("acme:c/i{n}@1.0.0")).collect();
    let known: Vec<Known> = (0..CAPSULES_MAX)
        .map(|n| capsule(&format!("c{n}"), "1.0.0", &[&names[n]], &[]))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let resolved = |count: usize| resolve(&capsule("app", "1.0.0", &[], &names[..count]), &known, ANYONE);
    assert_eq!(resolved(CAPSULES_MAX - 1).unwrap().order.len(), CAPSULES_MAX);
    assert!(matches!(
        resolved(CAPSULES_MAX),
        Err(Unresolved::TooMany { max: CAPSULES_MAX, .. })
    ));
}

#[test]
fn a_hopeless_tangle_ends_within_the_bound_of_steps() {
    // Every choice for the first requirements fits, and none of them has a part in what cannot be met at the end.
    let mut known = Vec::new();
    for interface in 0..20 {
        for provider in 0..10 {
            let provides = format!("acme:t/i{interface:02}@1.0.0");
            known.push(capsule(&format!("p{interface}_{provider}"), "1.0.0", &[&provides], &[]));
        }
    }
    let names: Vec<String> = (0..21).map(|n| format!("acme:t/i{n:02}@1.0.0")).collect();
    let app = capsule(
        "app",
        "1.0.0",
        &[],
        &names.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    let Err(Unresolved::Unmet { why, .. }) = resolve(&app, &known, ANYONE) else {
        panic!("it was not explained")
    };
    assert_eq!(
        why.to_string(),
        "urn:acme:actionspace:solver:app:v1 1.0.0 requires acme:t/i20@1.0.0, and nothing known provides acme:t/i20"
    );
}
