//! `kinetic`: the host for WebAssembly capsules. Command line, configuration and wiring; the work is done in the crates below.

mod authoring;
mod boot;
mod capsule_folder;
mod checkout;
mod cli;
mod client;
mod compose;
mod config;
mod data_dir;
mod embedded;
mod error;
mod event_stream;
#[cfg(feature = "gold")]
mod gold;
mod lockfile;
mod logging;
mod machine;
mod project;
mod reference;
mod registries;
mod render;
mod running;
mod sbom;
mod signing;
mod telemetry;
mod terminal;
mod trust_watch;

fn main() -> std::process::ExitCode {
    cli::main()
}
