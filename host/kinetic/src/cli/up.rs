//! `kinetic up`: the host itself.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use kinetic_kernel::{Capsule, Kernel};
use kinetic_model::{CapsuleRef, Fault};
use serde_json::{Value, json};

use super::Context;
use crate::config::{self, Config};
use crate::data_dir::{Claim, DataDir};
use crate::{boot, client, error, logging, render, running, telemetry, trust_watch};

/// How long calls that were dropped may take to end: a guest looks at the clock at every tick, if it is let to.
const LEAVING: Duration = Duration::from_secs(2);

/// Start a host: serve every capsule in the data folder over HTTP and MCP
///
/// The first start puts the example capsules into the data folder, signed with a key made for
/// this host. Only this machine can reach the host unless host.listen says otherwise and a
/// token is configured. Ctrl-C or SIGTERM lets calls in flight finish, for at most
/// host.drain_ms.
///
///     kinetic up
///     kinetic up --listen 127.0.0.1:9000 --data /var/lib/kinetic
///     kinetic up --locked kinetic.lock
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Up {
    /// Address and port to listen on [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Admit only what this lock file holds [default: the setting kernel.lock]
    #[arg(long, value_name = "FILE")]
    locked: Option<PathBuf>,
}

impl Up {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let mut config = context.load(self.listen)?.config;
        if let Some(lock) = self.locked {
            config.kernel.lock = lock;
        }
        config::may_listen(&config)?;
        logging::start(&config.host);
        let data = DataDir::open(&config.host.data)?;
        let claim = data.lock()?;
        super::block_on(serve(context, &config, &data, claim))
    }
}

async fn serve(context: &Context, config: &Config, data: &DataDir, mut claim: Claim) -> anyhow::Result<ExitCode> {
    let (kernel, recovering) = boot::recovered_kernel(config, data, &claim).await?;
    // Before anything is compiled: a port that is taken should say so at once.
    let bound = boot::gateway(config, &kernel).await?;
    let address = bound.local_addr();
    claim.serving(address)?;
    let _note = running::announce(address, data);
    let activating = bound.activating();
    let watching = tokio::spawn(trust_watch::watch(kernel.clone(), data.trust_file()));
    // After all that is stored has been looked at: what is in the store already is not news.
    let (begin, begun) = tokio::sync::oneshot::channel();
    let looking = kernel.clone();
    let (folders, names) = (config.kernel.watched(), config.kernel.watched_registries());
    let watching_others = tokio::spawn(async move {
        if begun.await.is_ok() {
            let (folders, names) = (looking.clone().watch(folders), looking.watch_registries(names));
            tokio::join!(folders, names);
        }
    });
    let with_telemetry = bound.with_telemetry();
    // Each capsule's triggers begin when it is active.
    let executors = kernel.start_executors();
    kernel.allow_crystallization(config.crystallization.keys(&data.keys()))?;
    // What waited when the host last stopped is looked at at once.
    let deliveries = kernel.open_outbox(&data.outbox(), config.outbox.settings())?;
    let running = std::sync::Mutex::new(None);
    // Answers from now on; /readyz says "not yet" until every capsule has been looked at.
    let ready = async {
        let start = kernel.boot(recovering).await?;
        start.scan_store().await?;
        let parts = async {
            let since = Instant::now();
            let started = telemetry::start(config, data, &kernel).await;
            let trouble = started.as_ref().err().map(error::fault);
            let wanted = config.telemetry.enabled;
            start.parts_started(since, wanted, trouble.as_ref()).await?;
            Ok::<_, Fault>(started)
        };
        let (reconciled, telemetry) = tokio::join!(start.reconcile(), parts);
        let (reconciled, telemetry) = (reconciled?, telemetry?);
        // Calls are what a host is for: they are served also when the tables cannot be.
        let telemetry = telemetry.unwrap_or_else(|error| {
            tracing::error!("telemetry is not taken: {}", error::fault(&error));
            None
        });
        if let Some(telemetry) = telemetry {
            with_telemetry(telemetry.telemetry());
            running
                .lock()
                .map_err(|_| anyhow::anyhow!("the host is stopping"))?
                .replace(telemetry);
        }
        drop(activating);
        start.serving(&reconciled).await?;
        announce(context, &kernel, address, data, &reconciled.failed);
        // Without a receiver the host is stopping.
        let _ = begin.send(());
        anyhow::Ok(())
    };
    let serving = async { anyhow::Ok(bound.serve(shutdown()).await?) };
    tokio::try_join!(ready, serving)?;
    // The ledger takes nothing more soon.
    for watching in [watching, watching_others] {
        watching.abort();
        let _ = watching.await;
    }
    deliveries.stop(Duration::from_millis(config.host.drain_ms)).await;
    executors.stop(Duration::from_millis(config.host.drain_ms)).await;
    if let Some(telemetry) = running.into_inner().ok().flatten() {
        telemetry.stop().await;
    }
    // Calls aside that were dropped just now end at their guests' next tick, and leave their records then.
    if !kernel.engine().aside_is_over(LEAVING).await {
        tracing::warn!("long calls did not end in time; what they leave is not recorded");
    }
    if let Some(ledger) = kernel.ledger() {
        ledger.close().await;
    }
    Ok(ExitCode::SUCCESS)
}

/// Ends at the first Ctrl-C or SIGTERM; a second Ctrl-C ends the process at once.
pub(super) async fn shutdown() {
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            // Without the signal Ctrl-C remains.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
    tracing::info!("stopping; what is in flight may finish");
    tokio::spawn(async {
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(130);
        }
    });
}

/// Says what is served, where, and one line to try.
fn announce(context: &Context, kernel: &Kernel, address: SocketAddr, data: &DataDir, refused: &[(CapsuleRef, Fault)]) {
    let capsules = kernel.list();
    let base = client::url_of(address);
    let document = json!({
        "url": base,
        "mcp": format!("{base}/mcp"),
        "data": data.root(),
        "capsules": capsules.iter().map(|capsule| described(capsule)).collect::<Value>(),
        "refused": refused.iter().map(|(what, fault)| json!({ "urn": what.to_string(), "error": error::member(fault) })).collect::<Value>(),
    });
    context.print(&document, || {
        let rows: Vec<_> = capsules
            .iter()
            .map(|capsule| {
                let id = capsule.manifest.id.to_string();
                vec![format!("  {id}"), capsule.manifest.version.to_string(), capsule.capability.interface().names()]
            })
            .collect();
        let refusals: Vec<_> = refused.iter().map(|(what, fault)| format!("  refused: {what}: {fault}\n")).collect();
        let refusals = refusals.concat();
        format!(
            "Kinetic {} serves {} capsules from {}:\n{}{refusals}\n  \
             http  {base}/api/v1/capabilities   ({base}/openapi.json)\n  mcp   {base}/mcp\n\nTry:\n  {}\n\nCtrl-C stops it.",
            env!("CARGO_PKG_VERSION"),
            capsules.len(),
            data.root().display(),
            render::table(&rows),
            try_line(&capsules, &base),
        )
    });
}

fn described(capsule: &Capsule) -> Value {
    json!({
        "urn": capsule.manifest.id,
        "version": capsule.manifest.version,
        "digest": capsule.digest,
        "functions": capsule.capability.interface().functions.iter().map(|f| f.name.clone()).collect::<Value>(),
    })
}

/// A command that works as it stands, when the host has a capsule to show it with.
fn try_line(capsules: &[Arc<Capsule>], base: &str) -> String {
    // As it was typed: `make run` starts a program that is not on the PATH.
    let program = std::env::args().next().unwrap_or_else(|| "kinetic".into());
    let host = if base == client::default_url(&Config::default()) {
        String::new()
    } else {
        format!(" --host {base}")
    };
    match capsules.iter().find(|capsule| capsule.manifest.id.name() == "redact") {
        Some(capsule) => {
            format!(
                "{program} call {} --arg text=\"mail me: ann@example.com\"{host}",
                capsule.manifest.id
            )
        }
        None => format!("{program} list{host}"),
    }
}
