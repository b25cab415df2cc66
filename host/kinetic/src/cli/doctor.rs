//! `kinetic doctor`: what is out of order on this machine, and how to mend it.

mod machine;

use std::net::TcpListener;
use std::process::{Command, ExitCode};

use clap::Args;
use kinetic_engine::{Admit, Allocation, Engine, LoadedFrom};
use kinetic_identity::{TrustRoot, now_unix_ms, utc_text};
use kinetic_kernel::Manifest;
use kinetic_model::{Digest, Fault, Limits};
use serde_json::{Value, json};

use super::{Context, EXIT_FAILED};
use crate::config::{self, Config};
use crate::data_dir::DataDir;
use crate::embedded::EXAMPLES;
use crate::{authoring, boot, error, render};

/// Check this machine and this configuration, and say how to mend what is wrong
///
/// Looks at the settings, the port, processor, memory, address space, disk, the data folder,
/// the clock that stops runaway guests, the compiler and an author's tools. Exit status 3 when
/// a host could not serve.
///
///     kinetic doctor
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Doctor {}

/// One thing that was looked at.
struct Check {
    name: &'static str,
    status: Status,
    detail: String,
    fix: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Status {
    Fine,
    /// A host runs, but not as well as it could, or not everything is there.
    Warning,
    Failed,
}

impl Status {
    const fn word(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Warning => "warn",
            Self::Failed => "fail",
        }
    }
}

impl Check {
    fn fine(name: &'static str, detail: impl Into<String>) -> Self {
        Self {
            name,
            status: Status::Fine,
            detail: detail.into(),
            fix: String::new(),
        }
    }

    fn warning(name: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            name,
            status: Status::Warning,
            detail: detail.into(),
            fix: fix.into(),
        }
    }

    fn failed(name: &'static str, error: impl Into<anyhow::Error>) -> Self {
        let Fault { code, message, fix, .. } = error::fault(&error.into());
        Self {
            name,
            status: Status::Failed,
            detail: format!("{code}: {message}"),
            fix,
        }
    }

    fn document(&self) -> Value {
        json!({ "name": self.name, "status": self.status.word(), "detail": self.detail, "fix": self.fix })
    }
}

impl Doctor {
    pub(super) fn run(context: &Context) -> anyhow::Result<ExitCode> {
        let checks = match context.load(None) {
            Err(error) => vec![Check::failed("configuration", error)],
            Ok(loaded) => super::block_on(async { Ok(all(context, &loaded.config).await) })?,
        };
        let sound = checks.iter().all(|check| check.status != Status::Failed);
        let documents: Value = checks.iter().map(Check::document).collect();
        context.print(&json!({ "sound": sound, "checks": documents }), || {
            let row = |check: &Check| {
                let detail = [check.detail.as_str(), check.fix.as_str()].join(" ");
                vec![check.status.word().to_string(), check.name.to_string(), detail]
            };
            render::table(&checks.iter().map(row).collect::<Vec<_>>())
        });
        Ok(if sound {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(EXIT_FAILED)
        })
    }
}

async fn all(context: &Context, config: &Config) -> Vec<Check> {
    let mut checks = vec![Check::fine("configuration", "every setting is known and fits")];
    checks.push(match config::may_listen(config) {
        Ok(()) => Check::fine(
            "exposure",
            if config.is_loopback() {
                "only this machine"
            } else {
                "callers need a token"
            },
        ),
        Err(error) => Check::failed("exposure", error),
    });
    checks.extend(host_and_port(context, config).await);
    checks.extend(machine::all(config));
    // A folder that is not there yet is made by `kinetic up`, not by a doctor; the engine is tried in one that goes away.
    let spare = DataDir::temporary().ok();
    let root = context.data().unwrap_or_else(|_| config.host.data.clone());
    let data = if root.exists() {
        let data = DataDir::open(&root);
        checks.push(match &data {
            Ok(data) => Check::fine("data folder", format!("{} is private", data.root().display())),
            Err(error) => Check::failed("data folder", error.clone()),
        });
        data.ok()
    } else {
        checks.push(Check::fine(
            "data folder",
            format!("{} is not there yet; `kinetic up` makes it", root.display()),
        ));
        spare.as_ref().map(|(data, _)| data.clone())
    };
    if let Some(data) = data {
        checks.push(trust(&data));
        match boot::host_engine(config, &data, None) {
            Err(error) => checks.push(Check::failed("engine", error)),
            Ok(engine) => {
                checks.push(Check::fine("ticker", "a spinning guest was stopped"));
                checks.push(pool(&engine));
                checks.push(compiler(config, &engine).await);
                checks.push(workers(&engine).await);
            }
        }
    }
    checks.push(toolchain());
    checks
}

/// Whether a host answers; if none does, whether one could listen.
async fn host_and_port(context: &Context, config: &Config) -> Vec<Check> {
    let listen = config.host.listen;
    let mut checks = Vec::new();
    let client = match context.client(config) {
        Ok(client) => client,
        Err(error) => return vec![Check::failed("host", error)],
    };
    let answers = client.list().await;
    match &answers {
        Ok(_) => checks.push(Check::fine("host", format!("one answers at {}", client.url()))),
        Err(error) => {
            let Fault { code, message, fix, .. } = error::fault(error);
            checks.push(Check::warning("host", format!("{code}: {message}"), fix));
        }
    }
    match TcpListener::bind(listen) {
        Ok(_) => checks.push(Check::fine("port", format!("{listen} is free"))),
        Err(_) if answers.is_ok() => checks.push(Check::fine("port", format!("{listen} is the running host's"))),
        Err(error) => {
            let fix = "Stop what listens there, or choose another with --listen or host.listen.";
            checks.push(Check::warning("port", format!("{listen}: {error}"), fix));
        }
    }
    checks
}

fn trust(data: &DataDir) -> Check {
    match TrustRoot::load(&data.trust_file()) {
        Err(error) => Check::failed("trust root", error),
        Ok(root) => {
            let (namespaces, keys) = root.list().fold((0, 0), |(n, k), (_, keys)| (n + 1, k + keys.len()));
            let no_roots = data.roots().namespaces().is_ok_and(|namespaces| namespaces.is_empty());
            if keys == 0 && no_roots {
                Check::fine(
                    "trust root",
                    "empty; `kinetic up` makes a key for the capsules it carries",
                )
            } else {
                roots(data, &format!("{keys} keys for {namespaces} namespaces"))
            }
        }
    }
}

/// What the root documents beside the listed keys are worth.
fn roots(data: &DataDir, listed: &str) -> Check {
    let name = "trust root";
    let folder = data.roots();
    let namespaces = match folder.namespaces() {
        Ok(namespaces) => namespaces,
        Err(error) => return Check::failed(name, error),
    };
    let now_unix_ms = now_unix_ms();
    for namespace in &namespaces {
        match folder.read(namespace) {
            Err(error) => return Check::failed(name, error),
            Ok(Some(root)) if root.document().expired(now_unix_ms) => {
                let expired = utc_text(root.document().expires_unix_ms);
                return Check::warning(
                    name,
                    format!("the root document of {namespace} expired at {expired}: it admits nothing more"),
                    "Apply its next version with `kinetic trust root update`.",
                );
            }
            Ok(_) => {}
        }
    }
    Check::fine(
        name,
        format!("{listed}, root documents of {} namespaces", namespaces.len()),
    )
}

fn pool(engine: &Engine) -> Check {
    let status = engine.pool();
    match status.allocation {
        Allocation::Pooling => Check::fine("pool", format!("{} sandboxes reserved", status.instances_max)),
        Allocation::OnDemand => {
            let fix = "Calls are slower. Raise the limit on address space (ulimit -v), or lower engine.pool_instances.";
            Check::warning("pool", "no room for a pool of sandboxes", fix)
        }
    }
}

/// Loads a capsule twice: first through the compiler's own process, then from the cache, through its MAC.
async fn compiler(config: &Config, engine: &Engine) -> Check {
    let name = "compiler";
    let Some(example) = EXAMPLES.first() else {
        return Check::fine(name, "nothing to try it with");
    };
    let tried = async {
        let manifest = Manifest::parse(example.manifest)?;
        let admit = Admit {
            capsule: &manifest.grantee(Digest::of(example.component)),
            grants: &manifest.imports,
            peers: &[],
            limits: &Limits::default(),
        };
        engine.load(example.component, admit).await?;
        let (_, from) = engine.load(example.component, admit).await?;
        anyhow::Ok(from)
    };
    match tried.await {
        Ok(LoadedFrom::Cache) => Check::fine(name, "a capsule was compiled, cached and read back through its MAC"),
        Ok(LoadedFrom::Compiler) if !config.engine.code_cache => Check::warning(
            name,
            "it works, without a cache",
            "Set engine.code_cache = true for faster starts.",
        ),
        Ok(LoadedFrom::Compiler) => {
            let fix = "Check that the data folder has room; removing its code-cache folder is always safe.";
            Check::warning(name, "compiled code was not kept", fix)
        }
        Err(error) => Check::failed(name, error),
    }
}

/// Starts a worker process and asks what it could not take from itself.
async fn workers(engine: &Engine) -> Check {
    let name = "workers";
    let Some(settings) = &engine.config().workers else {
        return Check::fine(name, "every call runs in the host's own process (engine.workers)");
    };
    match engine.check_workers().await {
        Ok(missing) if missing.is_empty() => Check::fine(name, "a process of its own was started and confined"),
        Ok(missing) => {
            let fix =
                "Calls run, less confined. A newer kernel with seccomp, or a container that allows it, has it all.";
            Check::warning(name, format!("a process runs without {}", missing.join("; ")), fix)
        }
        Err(error) if !settings.insists_anywhere() => {
            let fix = "Capsules run in the host's own process instead, as `kinetic ps` shows under RUNS IN.";
            Check::warning(name, error.to_string(), fix)
        }
        Err(error) => Check::failed(name, error),
    }
}

fn toolchain() -> Check {
    let name = "author tools";
    let there = Command::new("cargo")
        .arg("--version")
        .output()
        .is_ok_and(|answer| answer.status.success());
    if !there {
        return Check::warning(name, "there is no cargo", "Only authors need it: https://rustup.rs.");
    }
    if authoring::target_is_installed("rustc") {
        Check::fine(name, format!("cargo and {}", authoring::TARGET))
    } else {
        let fix = format!("Only authors need it: rustup target add {}.", authoring::TARGET);
        Check::warning(name, format!("Rust's target {} is missing", authoring::TARGET), fix)
    }
}
