//! Wiring of telemetry: its components, its pipeline over the ledger, gold, and who watches.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use bytes::Bytes;
use kinetic_engine::{Admit, Engine, Grantee};
use kinetic_gateway::{Operator, Telemetry};
use kinetic_kernel::Kernel;
use kinetic_ledger::Durability;
use kinetic_medallion::MedallionError;
use kinetic_medallion::files::{PartSettings, SystemDisk};
use kinetic_medallion::live::{Live, LiveSettings};
use kinetic_medallion::pipeline::{
    Component, Executions, Gold, LogHistory, Pipeline, PipelineConfig, SILVER_GATE, STREAM_BUFFER, Tasks,
};
use kinetic_medallion::subsystem::buffer::Setting;
use kinetic_model::{Determinism, Digest, Fault, InstanceMode, Limits, TrustZone};
use semver::Version;
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::boot;
use crate::config::{Config, Durable};
use crate::data_dir::DataDir;
use crate::embedded::Subsystem;
use crate::error::{self, CliError};

/// A running pipeline, to be stopped at the end.
pub struct Running {
    telemetry: Telemetry,
    tasks: Tasks,
    executions: Executions,
}

impl Running {
    /// What the gateway serves.
    pub fn telemetry(&self) -> Telemetry {
        self.telemetry.clone()
    }

    /// The pipeline.
    pub const fn pipeline(&self) -> &Pipeline {
        &self.telemetry.pipeline
    }

    /// The tables of gold.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn gold(&self) -> Result<Value, Fault> {
        self.telemetry.operator.gold()
    }

    /// Finishes all files. Nobody else may still hold the pipeline for long.
    pub async fn stop(self) {
        self.executions.stop().await;
        let Self { telemetry, tasks, .. } = self;
        telemetry.pipeline.close().await;
        tasks.finished().await;
    }
}

/// Does something with the pipeline of a data folder that no host serves.
///
/// # Errors
/// A host that runs there; what the work says.
pub async fn alone<T>(
    config: &Config,
    data: &DataDir,
    work: impl AsyncFnOnce(&Running) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let claim = data.lock()?;
    let kernel = boot::kernel(config, data, &claim).await?;
    let running = start(config, data, &kernel).await?.ok_or(CliError::TelemetryOff {})?;
    let done = work(&running).await;
    running.stop().await;
    if let Some(ledger) = kernel.ledger() {
        ledger.close().await;
    }
    done
}

/// Starts telemetry over a host's ledger; none when the configuration says so.
///
/// # Errors
/// Components that do not start, tables that cannot be used.
pub async fn start(config: &Config, data: &DataDir, kernel: &Kernel) -> anyhow::Result<Option<Running>> {
    let settings = &config.telemetry;
    let Some(ledger) = kernel.ledger().filter(|_| settings.enabled).cloned() else {
        return Ok(None);
    };
    let operator = Arc::new(Components {
        engine: kernel.engine().clone(),
        limits: config.limits.ceiling,
        folder: data.subsystems(),
        gold: data.gold(),
    });
    let buffer = operator.chosen(STREAM_BUFFER, &settings.stream_buffer).await?;
    let gate = operator.chosen(SILVER_GATE, &settings.silver_gate).await?;
    let history = LogHistory::new(ledger.clone());
    let live = Live::new(
        LiveSettings::default(),
        Arc::new(history.clone()),
        history.next_offset(),
    );
    #[cfg(feature = "gold")]
    let gold: Option<Box<dyn Gold>> = Some(Box::new(crate::gold::Aggregates::open(settings, &data.gold())?));
    #[cfg(not(feature = "gold"))]
    let gold: Option<Box<dyn Gold>> = None;
    let shown = live.clone();
    let pipeline = PipelineConfig {
        data: data.root().to_path_buf(),
        ledger: ledger.clone(),
        buffer,
        buffer_settings: buffer_settings(config),
        gate,
        legacy_ids: settings.legacy_ids,
        parts: PartSettings {
            part_bytes_max: settings.part_bytes,
            part_age_max: Duration::from_millis(settings.part_age_ms),
            ..PartSettings::default()
        },
        disk: Arc::new(SystemDisk),
        durability: match settings.durability {
            Durable::Written => Durability::Written,
            Durable::Synced => Durability::Synced,
        },
        push_wait: Duration::from_millis(settings.push_wait_ms),
        on_their_way_bytes_max: settings.buffer_bytes.saturating_mul(2),
        strikes_max: settings.strikes_max,
        gold,
        committed: Arc::new(move |offset, events| shown.publish(offset, events.clone())),
    };
    let (pipeline, tasks) = Pipeline::open(pipeline).await?;
    let executions = Executions::follow(ledger, pipeline.clone()).await?;
    Ok(Some(Running {
        telemetry: Telemetry {
            pipeline,
            live,
            operator,
        },
        tasks,
        executions,
    }))
}

fn buffer_settings(config: &Config) -> Vec<Setting> {
    let settings = config.telemetry.buffer_settings().into_iter();
    let setting = |(key, value): (&str, String)| Setting { key: key.into(), value };
    settings.map(setting).collect()
}

/// The subsystems' components: the host's own, those a setting names, and those that were put in their place.
struct Components {
    engine: Engine,
    limits: Limits,
    folder: PathBuf,
    gold: PathBuf,
}

impl Components {
    /// The component of a subsystem: what the setting names, else what was put in its place, else the host's own.
    async fn chosen(&self, name: &str, setting: &Path) -> anyhow::Result<Component> {
        let swapped = self.file(name);
        let file = if setting.as_os_str().is_empty() {
            &swapped
        } else {
            setting
        };
        if file == setting {
            let bytes = std::fs::read(file).map_err(error::file(file))?;
            if swapped.exists() {
                tracing::warn!(
                    "{} is the {name}, as the configuration says; {} is not",
                    file.display(),
                    swapped.display()
                );
            }
            let loaded = self.load(name, &bytes).await;
            return loaded.with_context(|| format!("{} cannot be the {name}", file.display()));
        }
        if file.exists() {
            let bytes = std::fs::read(file).map_err(error::file(file))?;
            match self.load(name, &bytes).await {
                Ok(component) => return Ok(component),
                Err(fault) => tracing::error!("the host's own {name} runs: {} cannot: {fault}", file.display()),
            }
        }
        Ok(self.load(name, own(name)?.component).await?)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.wasm"))
    }

    async fn load(&self, name: &str, bytes: &[u8]) -> Result<Component, Fault> {
        let digest = Digest::of(bytes);
        let urn = own(name).map_err(|error| Fault::from(&error))?.urn();
        let grantee = Grantee {
            urn: urn.parse().map_err(|error| Fault::from(&error))?,
            version: Version::new(0, 1, 0),
            digest,
            determinism: Determinism::D2SoftDeterministic,
            trust_zone: TrustZone::System,
            instance: InstanceMode::Fresh,
        };
        let admit = Admit {
            capsule: &grantee,
            // A subsystem reaches nothing but what it is handed.
            grants: &[],
            limits: &self.limits,
        };
        let (capability, _) = self
            .engine
            .load(bytes, admit)
            .await
            .map_err(|error| Fault::from(&error))?;
        Ok(Component { capability, digest })
    }

    /// Writes a component to the disk under a name that counts for nothing yet.
    fn prepare(&self, bytes: &[u8]) -> Result<NamedTempFile, CliError> {
        let written = || {
            std::fs::create_dir_all(&self.folder)?;
            let mut file = NamedTempFile::new_in(&self.folder)?;
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            std::io::Result::Ok(file)
        };
        written().map_err(error::file(&self.folder))
    }

    /// Remembers the choice, for the next start: what was prepared, or the host's own.
    fn remember(&self, name: &str, prepared: Option<NamedTempFile>) -> Result<(), CliError> {
        let file = self.file(name);
        let done = match prepared {
            Some(prepared) => prepared.persist(&file).map(drop).map_err(|error| error.error),
            None if file.exists() => std::fs::remove_file(&file),
            None => return Ok(()),
        };
        let synced = done.and_then(|()| File::open(&self.folder)?.sync_all());
        synced.map_err(error::file(&file))
    }
}

#[async_trait]
impl Operator for Components {
    async fn swap(&self, pipeline: &Pipeline, subsystem: &str, component: Option<Bytes>) -> Result<Digest, Fault> {
        let own = own(subsystem).map_err(|error| Fault::from(&error))?;
        let bytes = component.as_deref().unwrap_or(own.component);
        let loaded = self.load(subsystem, bytes).await?;
        let digest = loaded.digest;
        // A full disk shows before anything has changed.
        let prepared = component.as_deref().map(|bytes| self.prepare(bytes)).transpose();
        let prepared = prepared.map_err(|error| Fault::from(&error))?;
        pipeline
            .swap(subsystem, loaded)
            .await
            .map_err(|error| Fault::from(&error))?;
        self.remember(subsystem, prepared)
            .map_err(|error| Fault::from(&error))?;
        tracing::info!(%digest, "another component is the {subsystem} now");
        Ok(digest)
    }

    #[cfg(feature = "gold")]
    fn gold(&self) -> Result<Value, Fault> {
        crate::gold::tables(&self.gold)
    }

    #[cfg(not(feature = "gold"))]
    fn gold(&self) -> Result<Value, Fault> {
        Err(Fault::from(&CliError::NoGold {
            path: self.gold.display().to_string(),
        }))
    }
}

fn own(name: &str) -> Result<&'static Subsystem, MedallionError> {
    Subsystem::named(name).ok_or_else(|| MedallionError::NoSubsystem { name: name.into() })
}
