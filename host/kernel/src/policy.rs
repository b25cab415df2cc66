//! The operator's policy: ceilings per trust zone, who may claim the reserved zones, and the rules of who may use whom.

use std::sync::Arc;

use kinetic_identity::LockFile;
use kinetic_model::{Digest, GovernanceTier, Limits, LimitsAsk, TrustZone};

use crate::{Actor, KernelError, Manifest, PlacementPolicy, ProvenancePolicy, Rules};

/// What the operator allows.
#[derive(Clone, Debug)]
pub struct Policy {
    /// No capsule gets more than this, whatever its zone.
    pub ceiling: Limits,
    /// URN namespaces that may use zone `system` and tier `core`.
    pub system_namespaces: Vec<String>,
    /// Who may use whom, and what may become active.
    pub rules: Rules,
    /// What decides between nodes.
    pub placement: PlacementPolicy,
    /// With it only what it holds is admitted, beside what the program carries.
    pub lock: Option<Arc<LockFile>>,
    /// What receipts have to say about how a capsule was built.
    pub provenance: ProvenancePolicy,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            ceiling: Limits::CEILING,
            system_namespaces: vec!["kinetic".into()],
            rules: Rules::default(),
            placement: PlacementPolicy::default(),
            lock: None,
            provenance: ProvenancePolicy::default(),
        }
    }
}

impl Policy {
    /// SHA-256 over the whole policy: what a receipt's policy epoch stands for.
    pub fn digest(&self) -> Digest {
        let mut policy = serde_json::json!({
            "ceiling": self.ceiling,
            "system_namespaces": self.system_namespaces,
            "rules": self.rules.digest(),
            "placement": self.placement,
        });
        // A policy without one has the digest it had before there were lock files.
        if let (Some(lock), Some(members)) = (&self.lock, policy.as_object_mut()) {
            members.insert("lock".into(), Digest::of(lock.to_json().as_bytes()).to_string().into());
        }
        // The same for a rule of provenance.
        if self.provenance != ProvenancePolicy::default()
            && let Some(members) = policy.as_object_mut()
        {
            members.insert("provenance".into(), serde_json::json!(self.provenance));
        }
        Digest::of(policy.to_string().as_bytes())
    }

    /// The most a capsule of this zone gets.
    pub fn zone_ceiling(&self, zone: TrustZone) -> Limits {
        let built_in = Limits::CEILING;
        let zone = match zone {
            TrustZone::System | TrustZone::Tenant => built_in,
            TrustZone::Session => Limits {
                memory_bytes: 512 << 20,
                guest_time_ms: 30_000,
                ..built_in
            },
            TrustZone::Ephemeral => Limits {
                memory_bytes: 256 << 20,
                guest_time_ms: 10_000,
                wall_time_ms: 60_000,
                ..built_in
            },
        };
        zone.min(&self.ceiling)
    }

    /// The limits a capsule gets, and which of its wishes were lowered.
    pub fn limits(&self, manifest: &Manifest) -> (Limits, Vec<&'static str>) {
        let ceiling = self.zone_ceiling(manifest.governance.trust_zone);
        let ask: &LimitsAsk = &manifest.limits;
        (Limits::effective(ask, &ceiling), Limits::lowered(ask, &ceiling))
    }

    /// What a manifest claims about its own trust is not believed; the operator's list decides.
    ///
    /// # Errors
    /// `ZoneReserved`.
    pub fn check_claims(&self, manifest: &Manifest) -> Result<(), KernelError> {
        if self
            .system_namespaces
            .iter()
            .any(|namespace| namespace == manifest.id.namespace())
        {
            return Ok(());
        }
        let claim = match (manifest.governance.trust_zone, manifest.governance.tier) {
            (TrustZone::System, _) => "trust_zone \"system\"",
            (_, GovernanceTier::Core) => "governance tier \"core\"",
            _ => return Ok(()),
        };
        Err(KernelError::ZoneReserved {
            urn: manifest.id.to_string(),
            claim: claim.into(),
        })
    }

    /// Whether the rules let a capsule become what its URN means; `signer` names one key, or several with plus signs
    /// between them.
    ///
    /// # Errors
    /// `PolicyRefused` with the policy that decided.
    pub fn check_activation(&self, manifest: &Manifest, signer: &str, actor: Actor) -> Result<(), KernelError> {
        // Where several signed each of them has to be allowed: nobody hides behind somebody else.
        let allowed = signer
            .split('+')
            .try_for_each(|signer| self.rules.may_activate(signer, actor, manifest.into()));
        allowed.map_err(|denied| KernelError::PolicyRefused {
            what: format!("{} {}", manifest.id, manifest.version),
            doing: "become active".into(),
            why: denied.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use kinetic_identity::LockEntry;

    use super::*;
    use crate::ProvenanceLevel;
    use crate::manifest::tests::SMALL;

    #[test]
    fn a_stranger_may_not_claim_the_system_zone() {
        let text = SMALL.replace(r#""tenant""#, r#""system""#);
        let manifest = Manifest::parse(&text).unwrap();
        assert!(Policy::default().check_claims(&manifest).is_err());
        let policy = Policy {
            system_namespaces: vec!["acme".into()],
            ..Policy::default()
        };
        assert!(policy.check_claims(&manifest).is_ok());
    }

    #[test]
    fn an_activation_that_the_rules_forbid_is_refused_with_the_policy_that_did() {
        let manifest = Manifest::parse(SMALL).unwrap();
        let policy = |rules: &str| Policy {
            rules: Rules::with("mine.cedar", rules).unwrap(),
            ..Policy::default()
        };
        policy("").check_activation(&manifest, "k", Actor::Publisher).unwrap();
        let none =
            r#"@id("freeze") @reason("until Monday") forbid (principal, action == Action::"activate", resource);"#;
        let error = policy(none)
            .check_activation(&manifest, "k", Actor::Publisher)
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "urn:acme:actionspace:solver:echo:v1 1.2.3 may not become active: policy \"freeze\" forbids it: until Monday."
        );
        assert_ne!(
            policy(none).digest(),
            Policy::default().digest(),
            "receipts tell the policies apart"
        );
    }

    #[test]
    fn of_several_signers_each_has_to_be_allowed() {
        let manifest = Manifest::parse(SMALL).unwrap();
        let rules = r#"@id("stolen") forbid (principal == Signer::"k2", action == Action::"activate", resource);"#;
        let policy = Policy {
            rules: Rules::with("mine.cedar", rules).unwrap(),
            ..Policy::default()
        };
        let may = |signer: &str| policy.check_activation(&manifest, signer, Actor::Publisher).is_ok();
        assert!(may("k1") && may("k1+k3") && may("this program"));
        assert!(!may("k2") && !may("k1+k2") && !may("k2+k3"));
    }

    #[test]
    fn a_lock_file_is_part_of_the_policy_epoch() {
        let locked = |lock: &LockFile| Policy {
            lock: Some(Arc::new(lock.clone())),
            ..Policy::default()
        };
        let mut lock = LockFile::default();
        let empty = locked(&lock).digest();
        assert_ne!(empty, Policy::default().digest());
        let entry = LockEntry {
            component: Digest::of(b"component"),
            manifest: Digest::of(b"manifest"),
            root_version: None,
            version: semver::Version::new(1, 2, 3),
        };
        lock.put("urn:acme:actionspace:solver:echo:v1".parse().unwrap(), entry)
            .unwrap();
        assert_ne!(locked(&lock).digest(), empty);
    }

    #[test]
    fn a_rule_of_provenance_is_part_of_the_policy_epoch() {
        let policy = |level| Policy {
            provenance: ProvenancePolicy {
                level,
                ..ProvenancePolicy::default()
            },
            ..Policy::default()
        };
        assert_eq!(policy(ProvenanceLevel::Any).digest(), Policy::default().digest());
        assert_ne!(policy(ProvenanceLevel::Required).digest(), Policy::default().digest());
        assert_ne!(
            policy(ProvenanceLevel::Required).digest(),
            policy(ProvenanceLevel::Complete).digest()
        );
    }

    #[test]
    fn the_smallest_of_wish_zone_and_operator_wins() {
        let text = SMALL.replace(r#""tenant""#, r#""ephemeral""#).replacen(
            '{',
            r#"{ "limits": { "guest_time_ms": 60000 },"#,
            1,
        );
        let manifest = Manifest::parse(&text).unwrap();
        assert_eq!(
            Policy::default().limits(&manifest),
            (
                Limits {
                    guest_time_ms: 10_000,
                    ..Limits::default()
                },
                vec!["guest_time_ms"]
            )
        );
        let policy = Policy {
            ceiling: Limits {
                guest_time_ms: 7,
                ..Limits::CEILING
            },
            ..Policy::default()
        };
        assert_eq!(policy.limits(&manifest).0.guest_time_ms, 7);
    }
}
