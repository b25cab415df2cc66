//! Admission: from bytes to a capsule that may run. Each step takes what the one before gave, so none can be left out.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use kinetic_engine::{Admit, Capability, Engine, EngineError, Grantee, behind};
use kinetic_identity::{BuildSubject, Receipt, TrustRoot};
use kinetic_model::{Coded, Digest, Fault, InstanceMode, Limits};
use kinetic_registry::{Carried, Descriptor};

use crate::executors;
use crate::injection::{Link, peers};
use crate::life::Named;
use crate::parts::CARRIED_SIGNER;
use crate::quarantine::Step;
use crate::{KernelError, Manifest, Policy};

/// What admission needs to judge.
pub(crate) struct Judge {
    pub(crate) engine: Engine,
    pub(crate) policy: Policy,
    pub(crate) trust_root: PathBuf,
    /// What needs no receipt: it came with the program.
    pub(crate) carried: Arc<Carried>,
}

/// A refusal and the step it came from.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) step: Step,
    pub(crate) fault: Fault,
}

fn at<E: Coded>(step: Step) -> impl Fn(E) -> Refusal {
    move |error| Refusal {
        step,
        fault: Fault::from(&error),
    }
}

/// How the steps of admission that run nothing of the component are gone through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As calls are: nothing else answers the URN, and somebody waits.
    AsCalls,
    /// Behind the calls: another version answers them, and they are not to notice that this one comes.
    Behind,
}

impl Pace {
    /// Does work at this pace.
    pub(crate) async fn take<T: Send + 'static>(
        self,
        work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
    ) -> Result<T, Refusal> {
        match self {
            Self::AsCalls => work.await,
            Self::Behind => behind(work).await.map_err(at(Step::Compile))?,
        }
    }
}

/// Bytes that arrived, with what the registry says about them. Nothing is believed yet.
pub(crate) struct Discovered {
    pub(crate) descriptor: Descriptor,
    pub(crate) bytes: Bytes,
    /// What records call it.
    pub(crate) named: Named,
}

/// Bytes whose digest, receipt and manifest fit each other and a trusted key.
pub(crate) struct Verified {
    bytes: Bytes,
    digest: Digest,
    manifest: Manifest,
    manifest_digest: Digest,
    signer: String,
    limits: Limits,
    lowered: Vec<&'static str>,
    named: Named,
}

/// A component that is compiled, linked and started once.
#[derive(Clone)]
pub(crate) struct Loaded {
    pub(crate) digest: Digest,
    pub(crate) size_bytes: u64,
    pub(crate) manifest: Manifest,
    /// SHA-256 of the manifest's text.
    pub(crate) manifest_digest: Digest,
    pub(crate) signer: String,
    pub(crate) limits: Limits,
    pub(crate) lowered: Vec<&'static str>,
    pub(crate) capability: Capability,
    /// Who provides what it requires.
    pub(crate) links: Arc<[Arc<Link>]>,
    /// What records call it.
    pub(crate) named: Named,
}

impl Loaded {
    /// Whether one instance stays across its calls, and with it what they left.
    pub(crate) fn stays(&self) -> bool {
        self.manifest.instance == InstanceMode::Resident
    }
}

impl Discovered {
    /// Digest, then receipt, then manifest. No byte of the component is parsed before the receipt is good, or it is known
    /// that the program itself carries just these bytes.
    pub(crate) fn verify(self, judge: &Judge) -> Result<Verified, Refusal> {
        let Descriptor {
            urn,
            version,
            manifest: text,
            receipt,
            digest,
            ..
        } = self.descriptor;
        let manifest_digest = Digest::of(text.as_bytes());
        let mismatch = |field: &str, says: String, expected: String| KernelError::ManifestMismatch {
            field: field.into(),
            says,
            expected,
        };
        let found = Digest::of(&self.bytes);
        if found != digest {
            return Err(at(Step::Bytes)(KernelError::PinMismatch {
                what: format!("{urn}@{digest}"),
                found: found.to_string(),
            }));
        }
        let signer = if judge.carried.holds(&digest, &manifest_digest) {
            CARRIED_SIGNER.to_string()
        } else {
            let root = TrustRoot::load(&judge.trust_root).map_err(at(Step::Receipt))?;
            let subject = BuildSubject {
                urn: urn.clone(),
                version: version.clone(),
                component: digest,
                component_bytes: self.bytes.len() as u64,
                manifest: manifest_digest,
            };
            let receipt = Receipt::from_value(&receipt).map_err(at(Step::Receipt))?;
            let signers = receipt.verify(&root, &subject).map_err(at(Step::Receipt))?;
            if let Some(lock) = &judge.policy.lock {
                lock.check(&urn, &version, &digest, &manifest_digest)
                    .map_err(at(Step::Receipt))?;
            }
            signers.to_string()
        };
        let manifest = Manifest::parse(&text).map_err(at(Step::Manifest))?;
        if manifest.id != urn {
            return Err(at(Step::Manifest)(mismatch(
                "id",
                manifest.id.to_string(),
                urn.to_string(),
            )));
        }
        if manifest.version != version {
            return Err(at(Step::Manifest)(mismatch(
                "version",
                manifest.version.to_string(),
                version.to_string(),
            )));
        }
        judge.policy.check_claims(&manifest).map_err(at(Step::Manifest))?;
        let (limits, lowered) = judge.policy.limits(&manifest);
        Ok(Verified {
            bytes: self.bytes,
            digest,
            manifest,
            manifest_digest,
            signer,
            limits,
            lowered,
            named: self.named,
        })
    }
}

impl Verified {
    /// Its manifest, the digest of its component, and who signed it.
    pub(crate) fn what(&self) -> (&Manifest, Digest, &str) {
        (&self.manifest, self.digest, &self.signer)
    }

    /// Compile, imports within grants, link, claims against exports, then one instance made and dropped.
    pub(crate) async fn load(self, judge: &Judge, links: Vec<Arc<Link>>, pace: Pace) -> Result<Loaded, Refusal> {
        let (engine, bytes, capsule) = (
            judge.engine.clone(),
            self.bytes.clone(),
            self.manifest.grantee(self.digest),
        );
        let (grants, peers, limits) = (self.manifest.imports.clone(), peers(&links), self.limits);
        let loading = pace.take(async move {
            let admit = Admit {
                capsule: &capsule,
                grants: &grants,
                peers: &peers,
                limits: &limits,
            };
            engine.load(&bytes, admit).await.map_err(|error| {
                let linking = matches!(
                    error,
                    EngineError::MissingImports { .. }
                        | EngineError::ImportMismatch { .. }
                        | EngineError::PeerMismatch { .. }
                        | EngineError::Provider { .. }
                );
                at(if linking { Step::Link } else { Step::Compile })(error)
            })
        });
        let (capability, from) = loading.await?;
        tracing::debug!(urn = %self.manifest.id, ?from, "loaded");
        check_claims(&self.manifest, &capability).map_err(at(Step::Manifest))?;
        executors::misfit(&self.manifest, capability.interface()).map_err(at(Step::Manifest))?;
        judge.engine.probe(&capability).await.map_err(at(Step::Probe))?;
        Ok(Loaded {
            digest: self.digest,
            size_bytes: self.bytes.len() as u64,
            manifest: self.manifest,
            manifest_digest: self.manifest_digest,
            signer: self.signer,
            limits: self.limits,
            lowered: self.lowered,
            capability,
            links: links.into(),
            named: self.named,
        })
    }
}

impl Manifest {
    /// The capsule as engine and providers see it, with the digest of its component.
    pub fn grantee(&self, digest: Digest) -> Grantee {
        Grantee {
            urn: self.id.clone(),
            version: self.version.clone(),
            digest,
            determinism: self.governance.determinism,
            trust_zone: self.governance.trust_zone,
            instance: self.instance,
        }
    }
}

/// A manifest may not claim interfaces or functions that the component lacks.
fn check_claims(manifest: &Manifest, capability: &Capability) -> Result<(), KernelError> {
    let interface = capability.interface();
    if interface.functions.is_empty() {
        let reasons: Vec<_> = interface
            .unsupported
            .iter()
            .map(|(export, why)| format!("{export}: {why}"))
            .collect();
        let why = if reasons.is_empty() {
            "it exports nothing".into()
        } else {
            reasons.join("; ")
        };
        return Err(KernelError::NothingToCall { why });
    }
    let has = || {
        interface
            .exports
            .iter()
            .cloned()
            .chain([interface.names()])
            .collect::<Vec<_>>()
            .join(", ")
    };
    for provided in &manifest.capabilities.provides {
        // Functions a world exports itself lose their package's name when the component is built, so for those
        // `namespace:package@version` can only be checked against there being such functions.
        let package = |export: &String| export.split('/').next() == provided.split('@').next();
        let real = if provided.contains('/') {
            interface.exports.contains(provided)
        } else {
            interface.functions.iter().any(|function| function.instance.is_none())
                || interface.exports.iter().any(package)
        };
        if !real {
            return Err(KernelError::ManifestLies {
                claim: format!("to provide {provided}"),
                has: has(),
            });
        }
    }
    match manifest
        .functions
        .keys()
        .find(|name| interface.function(name).is_none())
    {
        Some(name) => Err(KernelError::ManifestLies {
            claim: format!("a function {name}"),
            has: has(),
        }),
        None => Ok(()),
    }
}
