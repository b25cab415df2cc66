//! Admission: from what is said of a version to a capsule that may run. Each step takes what the one before gave, so none
//! can be left out: described, vouched for, verified together with its component, loaded.

use std::path::PathBuf;
use std::sync::Arc;

use kinetic_engine::{Admit, Capability, Engine, EngineError, Grantee, Known, LoadedFrom, behind};
use kinetic_identity::{BuildSubject, FolderDigest, Receipt, TrustRoot};
use kinetic_model::{Coded, Digest, Fault, Hashed, InstanceMode, Limits};
use kinetic_registry::{Carried, Descriptor};
use serde_json::{Value, json};

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

/// What somebody says about a version. Nothing is believed yet, and no byte of the component is needed.
pub(crate) struct Described {
    pub(crate) descriptor: Descriptor,
    /// What records call it.
    pub(crate) named: Named,
}

/// A version whose receipt and manifest fit each other and trusted keys: its component may be fetched.
pub(crate) struct Vouched {
    digest: Digest,
    size_bytes: u64,
    manifest: Manifest,
    manifest_text: String,
    manifest_digest: Digest,
    signer: String,
    /// What the receipt names for the author's whole folder.
    folder: Option<FolderDigest>,
    limits: Limits,
    lowered: Vec<&'static str>,
    named: Named,
}

/// What a component is loaded from.
pub(crate) enum Code {
    /// Its bytes.
    Bytes(Hashed),
    /// What this host made of them before.
    Known(Known),
}

impl Code {
    /// That of the component which these bytes are, or which this code was made of.
    const fn digest(&self) -> Digest {
        match self {
            Self::Bytes(bytes) => bytes.digest(),
            Self::Known(known) => known.digest(),
        }
    }
}

/// A vouched version together with the very component that it was vouched for.
pub(crate) struct Verified {
    vouched: Vouched,
    code: Code,
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

impl Described {
    /// Receipt, then manifest. Nothing of the component is fetched before the receipt is good, or it is known that the
    /// program itself carries just this digest.
    pub(crate) fn vouch(self, judge: &Judge) -> Result<Vouched, Refusal> {
        let Descriptor {
            urn,
            version,
            manifest: text,
            receipt,
            digest,
            size_bytes,
        } = self.descriptor;
        let manifest_digest = Digest::of(text.as_bytes());
        let mismatch = |field: &str, says: String, expected: String| KernelError::ManifestMismatch {
            field: field.into(),
            says,
            expected,
        };
        let (signer, folder) = if judge.carried.holds(&digest, &manifest_digest) {
            (CARRIED_SIGNER.to_string(), None)
        } else {
            let root = TrustRoot::load(&judge.trust_root).map_err(at(Step::Receipt))?;
            let subject = BuildSubject {
                urn: urn.clone(),
                version: version.clone(),
                component: digest,
                component_bytes: size_bytes,
                manifest: manifest_digest,
            };
            let receipt = Receipt::from_value(&receipt).map_err(at(Step::Receipt))?;
            let signers = receipt.verify(&root, &subject).map_err(at(Step::Receipt))?;
            if let Some(lock) = &judge.policy.lock {
                lock.check(&urn, &version, &digest, &manifest_digest)
                    .map_err(at(Step::Receipt))?;
            }
            let folder = judge.policy.provenance.check(&urn, &receipt);
            let folder = folder.map_err(at(Step::Receipt))?;
            (signers.to_string(), folder)
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
        Ok(Vouched {
            digest,
            size_bytes,
            manifest,
            manifest_text: text,
            manifest_digest,
            signer,
            folder,
            limits,
            lowered,
            named: self.named,
        })
    }
}

impl Vouched {
    /// What its record says of it beyond its name: who signed it, and what the receipt names for the author's whole folder.
    pub(crate) fn attested(&self) -> Value {
        let Some(folder) = &self.folder else { return Value::Null };
        json!({ "signer": self.signer, "folder": folder.digest, "files": folder.files })
    }

    /// Its manifest, the digest of its component, and who signed it.
    pub(crate) fn what(&self) -> (&Manifest, Digest, &str) {
        (&self.manifest, self.digest, &self.signer)
    }

    /// Together with its component. Any other one is refused.
    pub(crate) fn with(self, code: Code) -> Result<Verified, Refusal> {
        let found = code.digest();
        let other_size = matches!(&code, Code::Bytes(bytes) if bytes.len() as u64 != self.size_bytes);
        if found != self.digest || other_size {
            return Err(at(Step::Bytes)(KernelError::PinMismatch {
                what: format!("{}@{}", self.manifest.id, self.digest),
                found: found.to_string(),
            }));
        }
        // Code that this host made before was made of just this component; what else the receipt names is in no registry.
        if let (Some(folder), Code::Bytes(bytes)) = (&self.folder, &code) {
            let fits = folder.fits_two(self.manifest_text.as_bytes(), bytes);
            fits.map_err(at(Step::Receipt))?;
        }
        Ok(Verified { vouched: self, code })
    }
}

impl Verified {
    /// As [`Vouched::attested`].
    pub(crate) fn attested(&self) -> Value {
        self.vouched.attested()
    }

    /// As [`Vouched::what`].
    pub(crate) fn what(&self) -> (&Manifest, Digest, &str) {
        self.vouched.what()
    }

    /// Compile, imports within grants, link, claims against exports, then one instance made and dropped.
    pub(crate) async fn load(self, judge: &Judge, links: Vec<Arc<Link>>, pace: Pace) -> Result<Loaded, Refusal> {
        let Self { vouched, code } = self;
        let (engine, capsule) = (judge.engine.clone(), vouched.manifest.grantee(vouched.digest));
        let (grants, peers, limits) = (vouched.manifest.imports.clone(), peers(&links), vouched.limits);
        let loading = pace.take(async move {
            let admit = Admit {
                capsule: &capsule,
                grants: &grants,
                peers: &peers,
                limits: &limits,
            };
            let loaded = match &code {
                Code::Bytes(bytes) => engine.load(bytes, admit).await,
                Code::Known(known) => {
                    let loaded = engine.load_known(known, admit).await;
                    loaded.map(|capability| (capability, LoadedFrom::Cache))
                }
            };
            loaded.map_err(|error| {
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
        let manifest = &vouched.manifest;
        tracing::debug!(urn = %manifest.id, ?from, "loaded");
        check_claims(manifest, &capability).map_err(at(Step::Manifest))?;
        executors::misfit(manifest, capability.interface()).map_err(at(Step::Manifest))?;
        judge.engine.probe(&capability).await.map_err(at(Step::Probe))?;
        Ok(Loaded {
            digest: vouched.digest,
            size_bytes: vouched.size_bytes,
            manifest: vouched.manifest,
            manifest_digest: vouched.manifest_digest,
            signer: vouched.signer,
            limits: vouched.limits,
            lowered: vouched.lowered,
            capability,
            links: links.into(),
            named: vouched.named,
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
