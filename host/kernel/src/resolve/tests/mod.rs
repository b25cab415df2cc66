mod choices;
mod laws;
mod oracle;
mod sentences;

use kinetic_model::{AuditLevel, Determinism, Digest, GovernanceTier, TrustZone};

use super::*;
use crate::Governance;

/// A capsule `urn:acme:actionspace:solver:NAME:vMAJOR`.
fn capsule(name: &str, version: &str, provides: &[&str], requires: &[&str]) -> Known {
    let version: Version = version.parse().unwrap();
    let read =
        |names: &[&str]| -> Vec<Interface> { names.iter().map(|name| Interface::parse(name).unwrap()).collect() };
    let mut requires = read(requires);
    requires.sort();
    Known {
        urn: format!("urn:acme:actionspace:solver:{name}:v{}", version.major)
            .parse()
            .unwrap(),
        digest: Digest::of(format!("{name} {version}").as_bytes()),
        version,
        provides: read(provides),
        requires,
        governance: Governance {
            tier: GovernanceTier::Local,
            audit_level: AuditLevel::Standard,
            trust_zone: TrustZone::Tenant,
            determinism: Determinism::D2SoftDeterministic,
        },
        standing: Standing::default(),
    }
}

fn active(capsule: Known) -> Known {
    let standing = Standing {
        active: true,
        ..capsule.standing
    };
    Known { standing, ..capsule }
}

fn bound(capsule: Known) -> Known {
    let standing = Standing {
        bound: true,
        ..capsule.standing
    };
    Known { standing, ..capsule }
}

const ANYONE: &MayBind<'static> = &|_: &Known, _: &Known, _: &Interface| Ok(());

/// Name and version of a capsule, shortly.
fn short(exact: &Exact) -> String {
    format!("{} {}", exact.urn.name(), exact.version)
}
