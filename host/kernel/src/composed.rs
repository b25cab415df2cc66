//! The manifest of capsules that were put together into one component.

use std::collections::BTreeSet;

use kinetic_model::{AuditLevel, Determinism, ImportGrant};

use crate::resolve::Interface;
use crate::{KernelError, Manifest};

/// The manifest of a composition: the dependent's, with what the parts need from outside and no more trust than the least
/// of them has.
///
/// `plugged` are the interfaces, as they were asked for, that are met inside. What is provided, the limits and the text
/// are the dependent's; imports and open requirements are everybody's; determinism and zone are the weakest; the audit
/// level is the closest.
///
/// # Errors
/// `NotComposable` when an instance would have to stay for one part alone, `ManifestRule` when the whole breaks a rule.
pub fn composed(dependent: &Manifest, parts: &[&Manifest], plugged: &[Interface]) -> Result<Manifest, KernelError> {
    let mut whole = dependent.clone();
    for part in parts {
        if part.instance != dependent.instance {
            return Err(KernelError::NotComposable {
                what: format!("{} with {}", dependent.id, part.id),
                why: "one of them keeps an instance across calls and the other does not".into(),
            });
        }
        for grant in &part.imports {
            join(&mut whole.imports, grant);
        }
        whole
            .capabilities
            .requires
            .extend(part.capabilities.requires.iter().cloned());
        let (all, own) = (&mut whole.governance, &part.governance);
        all.determinism = weaker(all.determinism, own.determinism);
        all.audit_level = closer(all.audit_level, own.audit_level);
        // The zones are ordered from the most to the least trusted.
        all.trust_zone = all.trust_zone.max(own.trust_zone);
    }
    let is_inside = |text: &String| Interface::parse(text).is_some_and(|required| plugged.contains(&required));
    let mut seen = BTreeSet::new();
    let requires = &mut whole.capabilities.requires;
    requires.retain(|text| !is_inside(text) && seen.insert(text.clone()));
    whole.check()?;
    Ok(whole)
}

/// Adds a grant, into the one of the same interface where there is one.
fn join(grants: &mut Vec<ImportGrant>, grant: &ImportGrant) {
    let Some(own) = grants.iter_mut().find(|own| own.interface == grant.interface) else {
        grants.push(grant.clone());
        return;
    };
    let lists = [
        (&mut own.hosts, &grant.hosts),
        (&mut own.publish, &grant.publish),
        (&mut own.subscribe, &grant.subscribe),
        (&mut own.owners, &grant.owners),
    ];
    for (all, more) in lists {
        let new: Vec<String> = more.iter().filter(|one| !all.contains(one)).cloned().collect();
        all.extend(new);
    }
}

const fn weaker(a: Determinism, b: Determinism) -> Determinism {
    use Determinism::{D0BitExact, D1NumericallyStable, D2SoftDeterministic, NxExperimental};
    match (a, b) {
        (NxExperimental, _) | (_, NxExperimental) => NxExperimental,
        (D2SoftDeterministic, _) | (_, D2SoftDeterministic) => D2SoftDeterministic,
        (D1NumericallyStable, _) | (_, D1NumericallyStable) => D1NumericallyStable,
        (D0BitExact, D0BitExact) => D0BitExact,
    }
}

const fn closer(a: AuditLevel, b: AuditLevel) -> AuditLevel {
    use AuditLevel::{Critical, Elevated, Low, None, Standard};
    match (a, b) {
        (Critical, _) | (_, Critical) => Critical,
        (Elevated, _) | (_, Elevated) => Elevated,
        (Standard, _) | (_, Standard) => Standard,
        (Low, _) | (_, Low) => Low,
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::tests::SMALL;
    use kinetic_model::{InstanceMode, TrustZone};

    fn manifest(text: &str) -> Manifest {
        Manifest::parse(text).unwrap()
    }

    fn app() -> Manifest {
        let mut app = manifest(SMALL);
        app.capabilities.requires = vec!["acme:db/query@1.2.0".into(), "acme:log/sink@1.0.0".into()];
        app.imports = vec![ImportGrant {
            interface: "wasi:http/outgoing-handler".into(),
            hosts: vec!["a.example".into()],
            ..ImportGrant::default()
        }];
        app
    }

    fn db() -> Manifest {
        let mut db = manifest(&SMALL.replace("solver:echo", "solver:db"));
        db.capabilities.requires = vec!["acme:disk/blocks@1.0.0".into(), "acme:log/sink@1.0.0".into()];
        db.imports = vec![
            ImportGrant {
                interface: "wasi:http/outgoing-handler".into(),
                hosts: vec!["a.example".into(), "b.example".into()],
                ..ImportGrant::default()
            },
            ImportGrant {
                interface: "kinetic:state/store".into(),
                ..ImportGrant::default()
            },
        ];
        db
    }

    #[test]
    fn what_is_plugged_is_required_no_more_and_what_is_open_is_required_once() {
        let plugged = [Interface::parse("acme:db/query@1.2.0").unwrap()];
        let whole = composed(&app(), &[&db()], &plugged).unwrap();
        assert_eq!(
            whole.capabilities.requires,
            ["acme:log/sink@1.0.0", "acme:disk/blocks@1.0.0"]
        );
        assert_eq!(whole.capabilities.provides, app().capabilities.provides);
        assert_eq!((whole.id, whole.limits), (app().id, app().limits));
    }

    #[test]
    fn imports_are_everybodys_and_each_interface_stands_once() {
        let whole = composed(&app(), &[&db()], &[]).unwrap();
        let [http, state] = whole.imports.as_slice() else {
            panic!("{:?}", whole.imports)
        };
        assert_eq!(http.hosts, ["a.example", "b.example"]);
        assert_eq!(state.interface, "kinetic:state/store");
    }

    #[test]
    fn the_whole_is_trusted_no_more_than_the_least_of_its_parts() {
        let mut db = db();
        db.governance.determinism = Determinism::D2SoftDeterministic;
        db.governance.trust_zone = TrustZone::Ephemeral;
        db.governance.audit_level = AuditLevel::Critical;
        let whole = composed(&app(), &[&db], &[]).unwrap().governance;
        assert_eq!(whole.determinism, Determinism::D2SoftDeterministic);
        assert_eq!(whole.trust_zone, TrustZone::Ephemeral);
        assert_eq!(whole.audit_level, AuditLevel::Critical);
        assert_eq!(whole.tier, app().governance.tier);
    }

    #[test]
    fn an_instance_that_stays_is_not_put_beside_one_that_does_not() {
        let mut db = db();
        db.instance = InstanceMode::Resident;
        assert!(matches!(
            composed(&app(), &[&db], &[]),
            Err(KernelError::NotComposable { .. })
        ));
    }

    #[test]
    fn a_whole_that_breaks_a_rule_of_manifests_is_refused() {
        let resident = |mut manifest: Manifest| {
            manifest.instance = InstanceMode::Resident;
            manifest.governance.determinism = Determinism::NxExperimental;
            manifest
        };
        // The provider is not taken through Manifest::parse here: what matters is the rule on the whole.
        assert!(matches!(
            composed(&resident(app()), &[&resident(db())], &[]),
            Err(KernelError::ManifestRule { .. })
        ));
    }
}
