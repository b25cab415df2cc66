//! Wiring of telemetry: the seats of its components, its pipeline over the ledger, gold, and who watches.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kinetic_gateway::{Operator, Telemetry};
use kinetic_kernel::{Kernel, Occupant};
use kinetic_ledger::{Durability, Ledger};
use kinetic_medallion::MedallionError;
use kinetic_medallion::files::{PartSettings, SystemDisk};
use kinetic_medallion::live::{Live, LiveSettings};
use kinetic_medallion::pipeline::{
    Executions, Gold, LogHistory, Pipeline, PipelineConfig, SILVER_GATE_URN, STREAM_BUFFER_URN, SubsystemSeat, Tasks,
};
use kinetic_medallion::subsystem::buffer::Setting;
use kinetic_model::{Fault, Urn};
use serde_json::Value;

use crate::boot;
use crate::config::{Config, Durable};
use crate::data_dir::DataDir;
use crate::error::CliError;

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
/// Components that do not start, not even the host's own; tables that cannot be used.
pub async fn start(config: &Config, data: &DataDir, kernel: &Kernel) -> anyhow::Result<Option<Running>> {
    let settings = &config.telemetry;
    let Some(ledger) = kernel.ledger().filter(|_| settings.enabled).cloned() else {
        return Ok(None);
    };
    let history = LogHistory::new(ledger.clone());
    let live = Live::new(
        LiveSettings::default(),
        Arc::new(history.clone()),
        history.next_offset(),
    );
    let (pipeline, tasks) = seated(config, data, kernel, &ledger, &live).await?;
    let executions = Executions::follow(ledger, pipeline.clone()).await?;
    let operator = Arc::new(Tables { gold: data.gold() });
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

/// Opens the pipeline with the components that the ledger says sit in its seats. A gate that fails at what waits for it
/// makes room for another one, down to the host's own: telemetry must not stay down for it.
async fn seated(
    config: &Config,
    data: &DataDir,
    kernel: &Kernel,
    ledger: &Ledger,
    live: &Arc<Live>,
) -> anyhow::Result<(Pipeline, Tasks)> {
    let buffer_seat = Arc::new(SubsystemSeat::stream_buffer(buffer_settings(config)));
    let gate_seat = Arc::new(SubsystemSeat::silver_gate(config.telemetry.legacy_ids));
    let gate_urn: Urn = SILVER_GATE_URN.parse()?;
    let buffer = kernel.seat(&STREAM_BUFFER_URN.parse()?, buffer_seat.clone()).await?;
    let mut gate = kernel.seat(&gate_urn, gate_seat.clone()).await?;
    // Each round has another gate, and behind the host's own there is none.
    let (pipeline, tasks) = loop {
        let opened = Pipeline::open(pipeline_config(
            config,
            data,
            ledger,
            live,
            (buffer.clone(), gate.clone()),
        )?);
        match opened.await {
            Ok(opened) => break opened,
            Err(error @ (MedallionError::Quarantined { .. } | MedallionError::BadAnswer { .. })) => {
                gate = kernel.part_failed(&gate_urn, gate.digest, &Fault::from(&error)).await?;
            }
            Err(error) => return Err(error.into()),
        }
    };
    buffer_seat.work_in(pipeline.clone());
    gate_seat.work_in(pipeline.clone());
    Ok((pipeline, tasks))
}

fn pipeline_config(
    config: &Config,
    data: &DataDir,
    ledger: &Ledger,
    live: &Arc<Live>,
    (buffer, gate): (Occupant, Occupant),
) -> anyhow::Result<PipelineConfig> {
    let settings = &config.telemetry;
    #[cfg(feature = "gold")]
    let gold: Option<Box<dyn Gold>> = Some(Box::new(crate::gold::Aggregates::open(settings, &data.gold())?));
    #[cfg(not(feature = "gold"))]
    let gold: Option<Box<dyn Gold>> = None;
    let shown = live.clone();
    Ok(PipelineConfig {
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
    })
}

fn buffer_settings(config: &Config) -> Vec<Setting> {
    let settings = config.telemetry.buffer_settings().into_iter();
    let setting = |(key, value): (&str, String)| Setting { key: key.into(), value };
    settings.map(setting).collect()
}

/// The tables that the host itself reads.
struct Tables {
    gold: PathBuf,
}

impl Operator for Tables {
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
