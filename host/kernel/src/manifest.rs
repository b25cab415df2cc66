//! The capsule manifest: its closed schema, and the rules a schema cannot say.

use std::collections::BTreeMap;

use kinetic_identity::strict_json;
use kinetic_model::{
    AuditLevel, CapsuleType, Determinism, GovernanceTier, ImportGrant, InstanceMode, LatencyClass, LimitsAsk,
    TrustZone, Urn,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::executors::{self, Trigger};
use crate::{KernelError, PlacementAsk};

/// How deep a manifest may nest.
const DEPTH_MAX: usize = 16;
/// The longest text field, in bytes.
const TEXT_BYTES_MAX: usize = 16_384;
/// The most entries of any list.
const ENTRIES_MAX: usize = 256;
/// What commits together with a call: a call that meets a conflict is made again, and an instance that stays would see it
/// twice.
const COMMITTED_WITH_A_CALL: [&str; 3] = ["kinetic:state/", "kinetic:events/", "wasi:keyvalue/"];

/// manifest.json: what a capsule says about itself. Closed: an unknown member is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The capability's URN; its `:vN` is the major of `version`.
    pub id: Urn,
    /// Semantic version of this capsule.
    pub version: semver::Version,
    /// What kind of thing it is.
    #[serde(rename = "type")]
    pub kind: CapsuleType,
    /// A short name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it does, in a sentence or two; becomes the description of its tools.
    pub description: String,
    /// Interfaces it provides and requires.
    pub capabilities: Capabilities,
    /// Host interfaces it asks for. WASI's inert basics (cli, clocks, filesystem, io, random) need no line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub imports: Vec<ImportGrant>,
    /// Limits it asks for; a missing one means the default, and none goes above the ceiling.
    #[serde(default)]
    pub limits: LimitsAsk,
    /// Who stands behind it and how far it is trusted.
    pub governance: Governance,
    /// How soon its answers are wanted.
    #[serde(default)]
    pub latency_class: LatencyClass,
    /// What its calls run in.
    #[serde(default)]
    pub instance: InstanceMode,
    /// Descriptions of single functions, by name; they win over the component's own doc comments.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub functions: BTreeMap<String, FunctionText>,
    /// What makes the host call it by itself: events of topics, and the clock. At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<Trigger>,
    /// What it asks of the node it runs on.
    #[serde(default, skip_serializing_if = "PlacementAsk::is_anything")]
    pub placement: PlacementAsk,
}

/// Interfaces a capsule provides and requires.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Capabilities {
    /// Exported interfaces as `namespace:package/interface@version`, or `namespace:package@version` for functions its
    /// world exports itself.
    pub provides: Vec<String>,
    /// Interfaces of other capsules it needs.
    #[serde(default)]
    pub requires: Vec<String>,
    /// What happens to this capsule when one that provides such an interface is replaced by another version.
    #[serde(default, skip_serializing_if = "WhenReplaced::is_rebind")]
    pub when_replaced: WhenReplaced,
}

/// What happens to a capsule when one it requires is replaced by another version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenReplaced {
    /// Its next call of it reaches the new version.
    #[default]
    Rebind,
    /// As `rebind`; its own instance, if one stays, begins anew from its own state.
    Restart,
    /// It goes on with the version it was given, until it is activated again itself.
    Pin,
}

impl WhenReplaced {
    // serde calls it with a reference.
    #[allow(clippy::trivially_copy_pass_by_ref)]
    fn is_rebind(&self) -> bool {
        *self == Self::Rebind
    }
}

/// Who stands behind a capsule and how far it is trusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Governance {
    /// Who stands behind it.
    pub tier: GovernanceTier,
    /// How closely its calls are recorded.
    #[serde(default)]
    pub audit_level: AuditLevel,
    /// How far it is trusted; sets its ceilings.
    pub trust_zone: TrustZone,
    /// How repeatable its results are.
    pub determinism: Determinism,
}

/// Text about one function.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FunctionText {
    /// A short name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What the function does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

impl Manifest {
    /// Reads manifest.json.
    ///
    /// # Errors
    /// `ManifestSyntax` with the place and what was expected, `ManifestRule` for contradictions.
    pub fn parse(text: &str) -> Result<Self, KernelError> {
        let syntax = |path: String, why: String| KernelError::ManifestSyntax { path, why };
        let value =
            strict_json::parse(text.as_bytes(), DEPTH_MAX).map_err(|e| syntax("the top".into(), e.to_string()))?;
        let manifest: Self = serde_path_to_error::deserialize(value).map_err(|e| {
            let path = e.path().to_string();
            syntax(
                if path == "." { "the top".into() } else { path },
                e.into_inner().to_string().chars().take(500).collect(),
            )
        })?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The JSON Schema of manifest.json.
    pub fn schema() -> serde_json::Value {
        let mut schema = schemars::schema_for!(Self);
        schema.insert("title".into(), "Kinetic capsule manifest".into());
        schema.to_value()
    }

    pub(crate) fn check(&self) -> Result<(), KernelError> {
        let rule = |path: &str, why: String| Err(KernelError::ManifestRule { path: path.into(), why });
        if self.version.major != self.id.major() {
            return rule(
                "version",
                format!(
                    "{} is not of major {}, which the id ends in",
                    self.version,
                    self.id.major()
                ),
            );
        }
        if self.version.to_string().len() > 128 {
            return rule("version", "it is longer than 128 bytes".into());
        }
        if self.description.trim().is_empty() {
            return rule("description", "it is empty, and tools need it".into());
        }
        let texts = self
            .functions
            .values()
            .flat_map(|text| text.title.iter().chain(&text.description));
        if texts
            .chain(&self.title)
            .chain([&self.description])
            .any(|text| text.len() > TEXT_BYTES_MAX)
        {
            return rule("description", format!("a text is longer than {TEXT_BYTES_MAX} bytes"));
        }
        if self.instance == InstanceMode::Resident {
            self.check_resident()?;
        }
        let counts = [
            ("capabilities.provides", self.capabilities.provides.len()),
            ("capabilities.requires", self.capabilities.requires.len()),
            ("imports", self.imports.len()),
            ("functions", self.functions.len()),
            ("placement.labels", self.placement.labels.len()),
            ("placement.near", self.placement.near.len()),
        ];
        if let Some((path, count)) = counts.into_iter().find(|(_, count)| *count > ENTRIES_MAX) {
            return rule(path, format!("it has {count} entries, at most {ENTRIES_MAX} are read"));
        }
        for (index, grant) in self.imports.iter().enumerate() {
            if grant.interface.contains('@') {
                return rule(
                    &format!("imports[{index}].interface"),
                    "name it without its version".into(),
                );
            }
            if grant.hosts.len() > ENTRIES_MAX {
                return rule(
                    &format!("imports[{index}].hosts"),
                    format!("at most {ENTRIES_MAX} hosts are read"),
                );
            }
        }
        for name in self.capabilities.provides.iter().chain(&self.capabilities.requires) {
            if !is_interface(name) {
                return rule(
                    "capabilities",
                    format!("\"{name}\" is not namespace:package[/interface]@version"),
                );
            }
        }
        if let Some((path, why)) = self.placement.fault() {
            return rule(path, why);
        }
        if let Some((path, why)) = executors::fault(self) {
            return rule(&path, why);
        }
        Ok(())
    }

    fn check_resident(&self) -> Result<(), KernelError> {
        let rule = |path: &str, why: String| Err(KernelError::ManifestRule { path: path.into(), why });
        if self.governance.trust_zone == TrustZone::Ephemeral {
            let why = "what runs in zone \"ephemeral\" is used once and leaves nothing, so no instance of it can stay";
            return rule("instance", why.into());
        }
        let determinism = self.governance.determinism;
        if matches!(determinism, Determinism::D0BitExact | Determinism::D1NumericallyStable) {
            let why = "an instance that stays answers by what it was called with before, so it cannot promise D0 or D1";
            return rule("instance", why.into());
        }
        let committed = |grant: &&ImportGrant| {
            COMMITTED_WITH_A_CALL
                .iter()
                .any(|prefix| grant.interface.starts_with(prefix))
        };
        match self.imports.iter().find(committed) {
            Some(grant) => rule(
                "instance",
                format!(
                    "calls with {} can be made again, which an instance that stays would notice; leave one of them out",
                    grant.interface
                ),
            ),
            None => Ok(()),
        }
    }
}

fn is_interface(name: &str) -> bool {
    let Some((path, version)) = name.split_once('@') else {
        return false;
    };
    let Some((namespace, rest)) = path.split_once(':') else {
        return false;
    };
    let word = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    word(namespace)
        && rest.split('/').all(word)
        && rest.split('/').count() <= 2
        && semver::Version::parse(version).is_ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const SMALL: &str = r#"{
        "id": "urn:acme:actionspace:solver:echo:v1", "version": "1.2.3", "type": "logic", "description": "Echoes.",
        "capabilities": { "provides": ["acme:echo@1.0.0"] },
        "governance": { "tier": "local", "trust_zone": "tenant", "determinism": "D0_bit_exact" }
    }"#;

    #[test]
    fn the_smallest_manifest_gets_every_default() {
        let manifest = Manifest::parse(SMALL).unwrap();
        assert_eq!(manifest.limits, LimitsAsk::default());
        assert_eq!(manifest.governance.audit_level, AuditLevel::Standard);
        assert_eq!(manifest.latency_class, LatencyClass::Interactive);
    }

    #[test]
    fn an_unknown_member_is_refused_with_its_place() {
        let text = SMALL.replace(r#""tier": "local""#, r#""tier": "local", "trusted": true"#);
        let Err(KernelError::ManifestSyntax { path, why }) = Manifest::parse(&text) else {
            panic!("accepted")
        };
        assert!(
            path.starts_with("governance") && why.contains("trusted"),
            "{path}: {why}"
        );
    }

    #[test]
    fn a_version_of_another_major_is_refused() {
        let text = SMALL.replace("1.2.3", "2.0.0");
        assert!(matches!(Manifest::parse(&text), Err(KernelError::ManifestRule { .. })));
    }

    #[test]
    fn a_member_named_twice_is_refused() {
        let text = SMALL.replacen('{', r#"{ "version": "1.0.0","#, 1);
        assert!(matches!(
            Manifest::parse(&text),
            Err(KernelError::ManifestSyntax { .. })
        ));
    }

    #[test]
    fn an_instance_that_stays_promises_no_repeatable_calls_and_has_no_transactions() {
        let resident = SMALL.replace(r#""type""#, r#""instance": "resident", "type""#);
        let refused = |text: &str, word: &str| match Manifest::parse(text) {
            Err(KernelError::ManifestRule { path, why }) => path == "instance" && why.contains(word),
            _ => false,
        };
        assert!(refused(&resident, "D0"));
        let soft = resident.replace("D0_bit_exact", "D2_soft_deterministic");
        assert_eq!(Manifest::parse(&soft).unwrap().instance, InstanceMode::Resident);
        let ephemeral = soft.replace(r#""tenant""#, r#""ephemeral""#);
        assert!(refused(&ephemeral, "ephemeral"));
        let fresh = ephemeral.replace("resident", "fresh");
        assert!(Manifest::parse(&fresh).is_ok());
        let with = |import: &str| {
            let imports = format!(r#""imports": [{{ "interface": "{import}" }}], "type""#);
            soft.replacen(r#""type""#, &imports, 1)
        };
        for import in ["kinetic:state/store", "kinetic:events/bus", "wasi:keyvalue/store"] {
            assert!(refused(&with(import), import), "{import}");
        }
        assert!(Manifest::parse(&with("wasi:http/outgoing-handler")).is_ok());
    }

    #[test]
    fn the_schema_is_closed_and_names_every_member_of_the_limits() {
        let schema = Manifest::schema();
        assert_eq!(schema["additionalProperties"], false);
        for doc in kinetic_model::LIMIT_DOCS {
            assert!(
                schema["$defs"]["LimitsAsk"]["properties"][doc.name].is_object(),
                "{}",
                doc.name
            );
        }
    }
}
