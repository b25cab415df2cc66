//! What a person reads when a requirement is not met.

use super::*;

/// The explanation, with URNs as short as their names.
fn why(app: &Known, known: &[Known], may_bind: &MayBind<'_>) -> String {
    let Err(Unresolved::Unmet { what, why }) = resolve(app, known, may_bind) else {
        panic!("it was met")
    };
    assert_eq!(what, app.to_string());
    why.to_string()
        .replace("urn:acme:actionspace:solver:", "")
        .replace(":v1 ", " ")
}

#[test]
fn a_requirement_that_nobody_provides_is_named_with_its_owner() {
    let app = capsule("app", "1.0.0", &[], &["acme:db/query@1.2.0"]);
    assert_eq!(
        why(&app, &[capsule("x", "1.0.0", &["acme:db/admin@1.2.0"], &[])], ANYONE),
        "app 1.0.0 requires acme:db/query@1.2.0, and nothing known provides acme:db/query"
    );
}

#[test]
fn every_candidate_is_named_with_what_speaks_against_it() {
    let app = capsule("app", "1.0.0", &[], &["acme:db/query@1.2.0"]);
    let known = [
        capsule("db_old", "1.0.0", &["acme:db/query@0.9.0", "acme:db/query@1.1.0"], &[]),
        active(capsule("db_now", "1.0.0", &[], &[])),
        capsule("db_now", "1.1.0", &["acme:db/query@1.2.0"], &[]),
        capsule("db_other", "1.0.0", &["acme:db/query@1.2.0"], &[]),
        capsule("db_thin", "1.0.0", &["acme:db/query@1.3.0"], &["acme:log/sink@2.0.0"]),
    ];
    let no_other = |_: &Known, provider: &Known, _: &Interface| match provider.urn.name() {
        "db_other" => Err(Denied::by("ours-only", "only what we reviewed")),
        _ => Ok(()),
    };
    assert_eq!(
        why(&app, &known, &no_other),
        "app 1.0.0 requires acme:db/query@1.2.0, and none of those that provide it can be used\n\
         \x20 db_thin 1.0.0 lacks something itself\n\
         \x20   db_thin 1.0.0 requires acme:log/sink@2.0.0, and nothing known provides acme:log/sink\n\
         \x20 db_now 1.1.0 is not active, 1.0.0 is, and what a URN means is changed by a swap only\n\
         \x20 db_other 1.0.0 is refused to app 1.0.0: policy \"ours-only\" forbids it: only what we reviewed\n\
         \x20 db_old 1.0.0 has 0.9.0 and 1.1.0, which does not stand in for 1.2.0"
    );
}

#[test]
fn a_circle_is_named_from_the_one_that_closes_it_around_to_itself() {
    let app = capsule("app", "1.0.0", &["acme:app/api@1.0.0"], &["acme:a/a@1.0.0"]);
    let known = [
        capsule("a", "1.0.0", &["acme:a/a@1.0.0"], &["acme:b/b@1.0.0"]),
        capsule("b", "1.0.0", &["acme:b/b@1.0.0"], &["acme:app/api@1.0.0"]),
    ];
    let text = why(&app, &known, ANYONE);
    assert!(
        text.ends_with("app 1.0.0 would close a circle: b 1.0.0 -> app 1.0.0 -> a 1.0.0 -> b 1.0.0"),
        "{text}"
    );
    assert_eq!(text.lines().count(), 6, "{text}");
}

#[test]
fn a_capsule_does_not_meet_its_own_requirement() {
    let app = capsule("app", "1.0.0", &["acme:a/a@1.0.0"], &["acme:a/a@1.0.0"]);
    let text = why(&app, &[], ANYONE);
    assert!(
        text.ends_with("app 1.0.0 would close a circle: app 1.0.0 -> app 1.0.0"),
        "{text}"
    );
}

#[test]
fn two_that_cannot_agree_on_a_version_are_both_named() {
    let app = capsule("app", "1.0.0", &[], &["acme:a/a@1.0.0", "acme:b/b@1.0.0"]);
    let known = [
        capsule("store", "1.0.0", &["acme:a/a@1.0.0"], &[]),
        capsule("store", "1.1.0", &["acme:b/b@1.0.0"], &[]),
    ];
    assert_eq!(
        why(&app, &known, ANYONE),
        "app 1.0.0 requires acme:a/a@1.0.0, and none of those that provide it can be used\n\
         \x20 with store 1.0.0, another requirement cannot be met\n\
         \x20   app 1.0.0 requires acme:b/b@1.0.0, and none of those that provide it can be used\n\
         \x20     store 1.1.0 cannot be used beside store 1.0.0, which is needed already: a URN has one version"
    );
}

#[test]
fn an_explanation_of_hundreds_of_candidates_is_cut_and_says_so() {
    let app = capsule("app", "1.0.0", &[], &["acme:db/query@1.2.0"]);
    let known: Vec<Known> = (0..300)
        .map(|n| capsule(&format!("db{n}"), "1.0.0", &["acme:db/query@0.1.0"], &[]))
        .collect();
    let text = why(&app, &known, ANYONE);
    assert_eq!(text.lines().count(), 64);
    assert!(text.ends_with("and 238 more, not shown"), "{text}");
}
