use kinetic_model::Digest;

use super::*;
use crate::life::Actor;
use crate::manifest::tests::SMALL;
use crate::resolve::{Interface, Known, Standing, resolve};
use crate::{KernelError, Manifest};

/// The small manifest, with some of its words replaced.
fn capsule(changes: &[(&str, &str)]) -> Manifest {
    let text = changes.iter().fold(SMALL.to_string(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    });
    Manifest::parse(&text).unwrap()
}

fn echo() -> Manifest {
    capsule(&[])
}

/// Another capsule of the same tenant.
fn provider(changes: &[(&str, &str)]) -> Manifest {
    capsule(&[&[("solver:echo", "solver:store")][..], changes].concat())
}

fn bind(rules: &Rules, dependent: &Manifest, provider: &Manifest) -> Result<(), Denied> {
    let interface = Interface::parse("acme:echo@1.0.0").unwrap();
    rules.may_bind(dependent.into(), provider.into(), &interface)
}

fn policy_of(answer: Result<(), Denied>) -> String {
    answer.unwrap_err().policy.unwrap_or_else(|| "none".into())
}

fn with(text: &str) -> Rules {
    Rules::with("mine.cedar", text).unwrap()
}

fn refused(text: &str) -> (String, String) {
    match Rules::with("mine.cedar", text) {
        Err(KernelError::PolicyFile { place, why }) => (place, why),
        other => panic!("{other:?}"),
    }
}

const ANY_BIND: &str = "(principal is Capsule, action == Action::\"bind\", resource is Capsule)";

#[test]
fn the_hosts_own_policies_can_be_read_and_permit_equals_of_one_tenant() {
    Rules::with("nothing", "").unwrap();
    bind(&Rules::default(), &echo(), &provider(&[])).unwrap();
    Rules::default()
        .may_activate("key", Actor::Publisher, (&echo()).into())
        .unwrap();
}

#[test]
fn what_promises_d0_or_d1_uses_only_what_promises_as_much() {
    let words = [
        "D0_bit_exact",
        "D1_numerically_stable",
        "D2_soft_deterministic",
        "NX_experimental",
    ];
    for (strict, dependent) in words.iter().enumerate() {
        for (loose, used) in words.iter().enumerate() {
            let (dependent, used) = ([("D0_bit_exact", *dependent)], [("D0_bit_exact", *used)]);
            let answer = bind(&Rules::default(), &capsule(&dependent), &provider(&used));
            if strict <= 1 && loose > strict {
                let denied = answer.unwrap_err();
                assert_eq!(denied.policy.as_deref(), Some("kinetic.bind.determinism"));
                assert_eq!(denied.reason, "what promises D0 or D1 uses only what promises as much");
            } else {
                answer.unwrap();
            }
        }
    }
}

#[test]
fn zone_system_uses_zone_system_alone() {
    let system = capsule(&[("\"tenant\"", "\"system\"")]);
    for zone in ["\"tenant\"", "\"session\"", "\"ephemeral\""] {
        let used = provider(&[("\"tenant\"", zone)]);
        assert_eq!(policy_of(bind(&Rules::default(), &system, &used)), "kinetic.bind.zone");
    }
    bind(&Rules::default(), &system, &provider(&[("\"tenant\"", "\"system\"")])).unwrap();
}

#[test]
fn another_tenants_capsule_takes_a_permit_unless_it_is_of_zone_system() {
    for zone in ["\"tenant\"", "\"session\"", "\"ephemeral\""] {
        let foreign = provider(&[("urn:acme", "urn:other"), ("\"tenant\"", zone)]);
        let denied = bind(&Rules::default(), &echo(), &foreign).unwrap_err();
        assert!(
            denied
                .to_string()
                .starts_with("no policy permits it: beyond its own tenant"),
            "{denied}"
        );
        let permitted = with(&format!(
            "@id(\"acme-uses-other\") permit {ANY_BIND}\n\
             when {{ principal.tenant == \"acme\" && resource.tenant == \"other\" && context.interface like \"acme:*\" }};"
        ));
        bind(&permitted, &echo(), &foreign).unwrap();
        assert!(
            bind(&permitted, &foreign, &echo()).is_err(),
            "the other way round it is not permitted"
        );
    }
    let foreign = provider(&[("urn:acme", "urn:other"), ("\"tenant\"", "\"system\"")]);
    bind(&Rules::default(), &echo(), &foreign).unwrap();
}

#[test]
fn a_namespace_that_begins_like_another_one_is_another_tenant() {
    let foreign = provider(&[("urn:acme:", "urn:acme_labs:")]);
    assert_eq!(policy_of(bind(&Rules::default(), &echo(), &foreign)), "none");
}

#[test]
fn a_provider_that_is_recorded_less_closely_is_refused() {
    let closely = capsule(&[("\"tier\"", "\"audit_level\": \"critical\", \"tier\"")]);
    assert_eq!(
        policy_of(bind(&Rules::default(), &closely, &provider(&[]))),
        "kinetic.bind.audit"
    );
    bind(&Rules::default(), &echo(), &closely_recorded()).unwrap();
}

fn closely_recorded() -> Manifest {
    provider(&[("\"tier\"", "\"audit_level\": \"elevated\", \"tier\"")])
}

#[test]
fn a_forbid_wins_over_every_permit_and_names_itself_and_its_reason() {
    let rules = with(&format!(
        "@id(\"all\") permit {ANY_BIND};\n\
         @id(\"no-store\") @reason(\"it is on its way out\") forbid {ANY_BIND}\n\
         when {{ resource.urn == \"urn:acme:actionspace:solver:store:v1\" }};"
    ));
    let denied = bind(&rules, &echo(), &provider(&[])).unwrap_err();
    assert_eq!(denied, Denied::by("no-store", "it is on its way out"));
    let nx = provider(&[("D0_bit_exact", "NX_experimental"), ("solver:store", "solver:other")]);
    assert_eq!(
        policy_of(bind(&rules, &echo(), &nx)),
        "kinetic.bind.determinism",
        "the host's own hold too"
    );
}

#[test]
fn a_policy_that_cannot_be_evaluated_is_a_no_be_it_forbid_or_permit() {
    let overflows = "when { principal.audit_rank + 9223372036854775807 > 0 }";
    for effect in ["forbid", "permit"] {
        let rules = with(&format!("@id(\"breaks\") {effect} {ANY_BIND} {overflows};"));
        let denied = bind(&rules, &echo(), &provider(&[])).unwrap_err();
        assert_eq!(denied.policy.as_deref(), Some("breaks"), "{effect}");
        assert!(denied.reason.starts_with("it cannot be evaluated here"), "{denied}");
    }
}

#[test]
fn activation_is_refused_by_signer_actor_or_capsule() {
    let rules = with(
        "@id(\"operators-only\") @reason(\"ask an operator\")\n\
         forbid (principal, action == Action::\"activate\", resource is Capsule)\n\
         when { context.actor == \"publisher\" && resource.tier == \"local\" };\n\
         @id(\"stolen\") @reason(\"the key was stolen\")\n\
         forbid (principal == Signer::\"k1\", action == Action::\"activate\", resource is Capsule);",
    );
    let activate = |signer: &str, actor| rules.may_activate(signer, actor, (&echo()).into());
    activate("k2", Actor::Operator).unwrap();
    assert_eq!(
        activate("k2", Actor::Publisher),
        Err(Denied::by("operators-only", "ask an operator"))
    );
    assert_eq!(
        activate("k1", Actor::Host),
        Err(Denied::by("stolen", "the key was stolen"))
    );
}

#[test]
fn a_mistake_is_told_with_the_line_of_its_policy() {
    let good = format!("// a comment;\n@id(\"a\") forbid {ANY_BIND};\n");
    let (place, _) = refused(&format!(
        "{good}\n@id(\"b\") forbid (principal, action, resource) when {{;"
    ));
    assert_eq!(place, "mine.cedar, line 4");
    let (place, why) = refused(&format!("{good}forbid {ANY_BIND};"));
    assert_eq!(place, "mine.cedar, line 3");
    assert!(why.contains("@id"), "{why}");
    let (place, why) = refused(&format!("{good}{good}"));
    assert_eq!(place, "mine.cedar, line 4");
    assert!(why.contains("line 2"), "{why}");
    let (_, why) = refused(&format!("@id(\"kinetic.mine\") permit {ANY_BIND};"));
    assert!(why.contains("kinetic."), "{why}");
}

#[test]
fn what_the_schema_does_not_have_is_refused_at_the_start() {
    let of = |condition: &str| refused(&format!("\n@id(\"a\") forbid {ANY_BIND} when {{ {condition} }};"));
    let (place, why) = of("resource.colour == \"red\"");
    assert_eq!(place, "mine.cedar, line 2");
    assert!(why.contains("colour"), "{why}");
    assert_eq!(of("resource.audit_rank == \"high\"").0, "mine.cedar, line 2");
    let (place, _) = refused("@id(\"a\") forbid (principal, action == Action::\"call\", resource);");
    assert_eq!(place, "mine.cedar, line 1");
}

#[test]
fn a_template_is_refused_for_nothing_would_fill_it() {
    let (place, _) = refused("@id(\"a\") forbid (principal == ?principal, action, resource);");
    assert_eq!(place, "mine.cedar, line 1");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let Err(KernelError::PolicyFile { place, .. }) = Rules::load(std::path::Path::new("/no/such.cedar")) else {
        panic!("it was read")
    };
    assert_eq!(place, "/no/such.cedar");
}

#[test]
fn the_digest_changes_with_the_operators_policies() {
    let more = with(&format!("@id(\"a\") permit {ANY_BIND};"));
    assert_ne!(more.digest(), Rules::default().digest());
    assert_eq!(
        Rules::with("elsewhere", "").unwrap().digest(),
        Rules::default().digest()
    );
}

#[test]
fn resolution_reads_the_policy_that_refused_a_provider() {
    let known = |manifest: &Manifest| {
        Known::new(
            manifest,
            Digest::of(manifest.id.as_str().as_bytes()),
            Standing::default(),
        )
    };
    let mut app = echo();
    app.capabilities.requires = vec!["acme:echo@1.0.0".into()];
    let foreign = known(&provider(&[("urn:acme", "urn:other")])).unwrap();
    let loose = known(&provider(&[("D0_bit_exact", "D2_soft_deterministic")])).unwrap();
    let rules = Rules::default();
    let may_bind = |dependent: &Known, provider: &Known, interface: &Interface| {
        rules.may_bind_known(dependent, provider, interface)
    };
    let error = KernelError::from(resolve(&known(&app).unwrap(), &[foreign, loose], &may_bind).unwrap_err());
    assert_eq!(
        error.to_string(),
        "what urn:acme:actionspace:solver:echo:v1 1.2.3 requires is not to be had: \
         urn:acme:actionspace:solver:echo:v1 1.2.3 requires acme:echo@1.0.0, and none of those that provide it can be used\n\
         \x20 urn:acme:actionspace:solver:echo:v1 1.2.3 would close a circle: \
         urn:acme:actionspace:solver:echo:v1 1.2.3 -> urn:acme:actionspace:solver:echo:v1 1.2.3\n\
         \x20 urn:acme:actionspace:solver:store:v1 1.2.3 is refused to urn:acme:actionspace:solver:echo:v1 1.2.3: \
         policy \"kinetic.bind.determinism\" forbids it: what promises D0 or D1 uses only what promises as much\n\
         \x20 urn:other:actionspace:solver:store:v1 1.2.3 is refused to urn:acme:actionspace:solver:echo:v1 1.2.3: \
         no policy permits it: beyond its own tenant a capsule uses only what is of zone system."
    );
}
