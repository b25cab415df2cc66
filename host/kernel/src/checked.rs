//! One version of a capsule, checked step by step as admission would, and each step told: nothing is compiled or stored.

use std::sync::Arc;

use bytes::Bytes;
use kinetic_identity::{BuildSubject, Receipt, Role, Signers, TrustRoot, utc_text};
use kinetic_model::{CapsuleRef, Digest, Fault, Urn};
use kinetic_registry::{Descriptor, Source, fetch};
use semver::Version;
use serde::Serialize;

use crate::{Actor, Kernel, KernelError, Manifest, ProvenancePolicy};

/// What was found out about a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// What was asked for.
    pub asked: String,
    /// Which capability it is; none when nothing was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub urn: Option<Urn>,
    /// In which version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// SHA-256 of its component, as whoever has it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Whether nothing was refused.
    pub ok: bool,
    /// The steps, in the order they were gone through.
    pub checks: Vec<Check>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at: `source`, `index`, `digest`, `receipt`, `provenance`, `manifest`, `lock`, `policy`,
    /// `quarantine` or `sbom`.
    pub name: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// What was found, or why it was refused.
    pub detail: String,
    /// The stable code of a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// What to do about a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As it should.
    Passed,
    /// There was nothing to look at, and nothing asks for it.
    Absent,
    /// It is refused.
    Refused,
}

impl Checked {
    fn of(what: &CapsuleRef) -> Self {
        Self {
            asked: what.to_string(),
            urn: None,
            version: None,
            digest: None,
            ok: true,
            checks: Vec::new(),
        }
    }

    fn passed(&mut self, name: &'static str, detail: impl Into<String>) {
        self.put(name, Outcome::Passed, detail.into());
    }

    fn absent(&mut self, name: &'static str, detail: impl Into<String>) {
        self.put(name, Outcome::Absent, detail.into());
    }

    fn refused(&mut self, name: &'static str, fault: impl Into<Fault>) {
        let fault = fault.into();
        self.ok = false;
        self.checks.push(Check {
            name,
            outcome: Outcome::Refused,
            detail: fault.message,
            code: Some(fault.code),
            fix: Some(fault.fix),
        });
    }

    fn put(&mut self, name: &'static str, outcome: Outcome, detail: String) {
        self.checks.push(Check {
            name,
            outcome,
            detail,
            code: None,
            fix: None,
        });
    }
}

impl Kernel {
    /// Checks what a reference means: where it comes from, the signed index of its namespace, its digest, who signed it and
    /// whether they are enough, its manifest, the lock file, policies, the quarantine and whether a bill of materials lies
    /// beside it. The local store is asked first, unless a registry is named.
    pub async fn check(&self, what: &CapsuleRef, from: Option<&str>) -> Checked {
        let mut checked = Checked::of(what);
        let what = &self.as_locked(what);
        let found = match from {
            Some(name) => {
                let found = self.registries().find_in(name, what).await;
                found
                    .map_err(|error| Fault::from(&error))
                    .and_then(|(source, descriptor)| crate::install::as_asked(what, source, descriptor))
            }
            None => self.find(what).await,
        };
        let (source, descriptor) = match found {
            Ok(found) => found,
            Err(fault) => {
                checked.refused("source", fault);
                return checked;
            }
        };
        (checked.urn, checked.version) = (Some(descriptor.urn.clone()), Some(descriptor.version.clone()));
        checked.digest = Some(descriptor.digest);
        checked.passed("source", source.name());
        self.check_index(&source, &descriptor, &mut checked).await;
        let bytes_max = self.engine().config().component_bytes_max;
        let component = match fetch(&*source, &descriptor, bytes_max).await {
            Ok(component) => component,
            Err(error) => {
                checked.refused("digest", &error);
                return checked;
            }
        };
        checked.passed("digest", format!("{}, {} bytes", descriptor.digest, component.len()));
        let signer = self.check_receipt(&descriptor, &component, &mut checked);
        if signer.is_some() {
            self.check_provenance(&descriptor, &component, &mut checked);
        }
        let manifest = self.check_manifest(&descriptor, &mut checked);
        self.check_lock(&descriptor, &mut checked);
        if let (Some(signer), Some(manifest)) = (&signer, &manifest) {
            match self
                .policy()
                .check_activation(manifest, &signer.to_string(), Actor::Operator)
            {
                Ok(()) => checked.passed("policy", "an operator may activate it"),
                Err(error) => checked.refused("policy", &error),
            }
        }
        match self.refuse_quarantined(&descriptor) {
            Ok(()) => checked.passed("quarantine", "it is not in it"),
            Err(fault) => checked.refused("quarantine", fault),
        }
        match source.has_sbom(&descriptor).await {
            Ok(Some(true)) => checked.passed("sbom", "one lies beside it"),
            Ok(Some(false)) => checked.absent("sbom", "none lies beside it"),
            Ok(None) => checked.absent("sbom", "this place keeps none beside capsules"),
            // It is no part of what is verified.
            Err(error) => checked.absent("sbom", error.to_string()),
        }
        checked
    }

    /// That it is listed was checked when it was found; here it is said by which index.
    async fn check_index(&self, source: &Arc<dyn Source>, descriptor: &Descriptor, checked: &mut Checked) {
        let listed = self.registries().list().unwrap_or_default();
        let Some(registry) = listed.iter().find(|registry| registry.label() == source.name()) else {
            checked.absent("index", "it is held on this machine, so no registry's index is asked");
            return;
        };
        let namespace = descriptor.urn.namespace();
        match self.registries().index_of(&registry.name, namespace).await {
            Ok(None) => checked.absent(
                "index",
                format!("\"{namespace}\" has no root document, so none is asked for"),
            ),
            Ok(Some(index)) => {
                let document = index.document();
                let mut entries = document.entries.iter();
                let entry = entries.find(|entry| entry.urn == descriptor.urn && entry.version == descriptor.version);
                let yanked = entry.and_then(|entry| entry.yanked.as_deref());
                let yanked = yanked.map_or_else(String::new, |why| format!("; it is yanked there: {why}"));
                let (version, until) = (document.version, utc_text(document.expires_unix_ms));
                checked.passed(
                    "index",
                    format!("version {version} lists it, and counts until {until}{yanked}"),
                );
            }
            Err(error) => checked.refused("index", &error),
        }
    }

    fn check_receipt(&self, descriptor: &Descriptor, component: &Bytes, checked: &mut Checked) -> Option<Signers> {
        let manifest = Digest::of(descriptor.manifest.as_bytes());
        if self.parts().carried().holds(&descriptor.digest, &manifest) {
            checked.absent("receipt", "the program carries it, and needs no signature for it");
            return None;
        }
        let subject = BuildSubject {
            urn: descriptor.urn.clone(),
            version: descriptor.version.clone(),
            component: Digest::of(component),
            component_bytes: component.len() as u64,
            manifest,
        };
        let verified = TrustRoot::load(self.trust_root()).and_then(|root| {
            let signers = Receipt::from_value(&descriptor.receipt)?.verify(&root, &subject)?;
            Ok((root, signers))
        });
        match verified {
            Ok((root, signers)) => {
                let count = signers.ids().len();
                let detail = match root.document(descriptor.urn.namespace()) {
                    Some(document) => {
                        let (needed, keys) = (document.thresholds.release, document.keys_of(Role::Release).count());
                        let version = document.version;
                        format!(
                            "{count} of {keys} release keys signed, {needed} must, by root document version {version}: {signers}"
                        )
                    }
                    None => format!("signed by {signers}, one key that is listed here is enough"),
                };
                checked.passed("receipt", detail);
                Some(signers)
            }
            Err(error) => {
                checked.refused("receipt", &error);
                None
            }
        }
    }

    /// What admission asks of a receipt beside who signed it; said where something is asked, or is not as it should be.
    fn check_provenance(&self, descriptor: &Descriptor, component: &Bytes, checked: &mut Checked) {
        let rule = &self.policy().provenance;
        let judged = || {
            let receipt = Receipt::from_value(&descriptor.receipt).map_err(|error| Fault::from(&error))?;
            let folder = rule
                .check(&descriptor.urn, &receipt)
                .map_err(|error| Fault::from(&error))?;
            let fits = folder.map(|folder| folder.fits_two(descriptor.manifest.as_bytes(), component));
            fits.transpose().map_err(|error| Fault::from(&error))
        };
        match judged() {
            Err(fault) => checked.refused("provenance", fault),
            Ok(_) if *rule != ProvenancePolicy::default() => checked.passed("provenance", "it says what is asked for"),
            Ok(_) => {}
        }
    }

    fn check_manifest(&self, descriptor: &Descriptor, checked: &mut Checked) -> Option<Manifest> {
        let parsed = Manifest::parse(&descriptor.manifest)
            .map_err(Fault::from)
            .and_then(|manifest| {
                if manifest.id != descriptor.urn || manifest.version != descriptor.version {
                    let error = KernelError::ManifestMismatch {
                        field: "id and version".into(),
                        says: format!("{}@{}", manifest.id, manifest.version),
                        expected: format!("{}@{}", descriptor.urn, descriptor.version),
                    };
                    return Err(error.into());
                }
                self.policy().check_claims(&manifest)?;
                Ok(manifest)
            });
        match parsed {
            Ok(manifest) => {
                checked.passed("manifest", Digest::of(descriptor.manifest.as_bytes()).to_string());
                Some(manifest)
            }
            Err(fault) => {
                checked.refused("manifest", fault);
                None
            }
        }
    }

    fn check_lock(&self, descriptor: &Descriptor, checked: &mut Checked) {
        let Some(lock) = &self.policy().lock else {
            checked.absent("lock", "no lock file is configured");
            return;
        };
        let manifest = Digest::of(descriptor.manifest.as_bytes());
        match lock.check(&descriptor.urn, &descriptor.version, &descriptor.digest, &manifest) {
            Ok(()) => checked.passed("lock", "the lock file holds just this"),
            Err(error) => checked.refused("lock", &error),
        }
    }
}
