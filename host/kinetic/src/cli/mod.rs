//! The commands: one file each. Parsing, grouping of the help, exit codes.

pub mod answer;
mod bind;
mod build;
mod call;
mod compile_worker;
mod completions;
mod compose;
mod config;
mod crystallize;
mod docs_reference;
mod doctor;
mod errors;
mod events;
mod follow;
mod gold;
mod help;
mod ingest;
mod input;
mod inspect;
mod keys;
mod limits;
mod list;
mod lock;
mod manifest;
mod mcp;
mod new;
mod outbox;
mod promotion;
mod ps;
mod publish;
mod pull;
mod quarantine;
mod rebuild;
mod receipt;
mod registry;
mod registry_index;
mod registry_serve;
mod registry_token;
mod registry_yank;
mod replay;
mod run;
mod search;
mod search_registries;
mod sign;
mod signed;
mod state;
mod state_branch;
mod state_watch;
mod suspend;
mod swap;
mod sync;
mod tail;
mod time_travel;
mod topics;
mod trust;
mod up;
mod verify;
mod verify_capsule;
mod worker;
mod zones;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use kinetic_model::Fault;
use serde_json::Value;

pub use self::help::command;
use crate::client::{self, Client};
use crate::config::{Config, Flags, Loaded};
use crate::data_dir::DataDir;
use crate::error::{self, CliError, Refused};
use crate::running;
use crate::terminal::{note, say};

/// The function ran and returned its own error.
const EXIT_FUNCTION_ERROR: u8 = 1;
/// The command line makes no sense; what clap uses too.
const EXIT_USAGE: u8 = 2;
/// Refused, not found, unreachable, stopped by a limit, or something on this machine is wrong.
const EXIT_FAILED: u8 = 3;

/// Runs WebAssembly components as capabilities: verified before they are compiled, every call inside limits.
#[derive(Parser)]
#[command(name = "kinetic", version = VERSION, max_term_width = 110)]
pub struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// Ours, and the engine's that the workspace pins.
const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (wasmtime ",
    env!("KINETIC_WASMTIME_VERSION"),
    ")"
);

/// What every command takes.
#[derive(Args, Clone, Debug)]
pub struct Globals {
    /// Answer in readable text, or in one JSON document on standard output, failures too
    #[arg(long, global = true, value_enum, default_value_t, help_heading = "Everywhere")]
    pub output: Output,
    /// The configuration file [default: kinetic.toml in this folder, if there is one]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Everywhere")]
    pub config: Option<PathBuf>,
    /// The data folder [default: ./data]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Everywhere")]
    pub data: Option<PathBuf>,
    /// The running host to talk to [default: http:// and the configured host.listen]
    #[arg(long, global = true, value_name = "URL", help_heading = "Everywhere")]
    pub host: Option<String>,
    /// A file with the bearer token the host wants [default: what the variable KINETIC_TOKEN holds]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Everywhere")]
    pub token_file: Option<PathBuf>,
}

/// The form of answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

#[derive(Subcommand)]
enum Command {
    Up(up::Up),
    Call(call::Call),
    List(list::List),
    Search(search::Search),
    Inspect(inspect::Inspect),
    Mcp(mcp::Mcp),
    New(new::New),
    Build(build::Build),
    Compose(compose::Compose),
    Run(run::Run),
    Sign(sign::Sign),
    Publish(publish::Publish),
    Manifest(manifest::Manifest),
    Keys(keys::Keys),
    Trust(trust::Trust),
    Lock(lock::Lock),
    Ps(ps::Ps),
    Zones(zones::Zones),
    Swap(swap::Swap),
    Rollback(swap::Rollback),
    Suspend(suspend::Suspend),
    Resume(suspend::Resume),
    Limits(limits::Limits),
    Bind(bind::Bind),
    Events(events::Events),
    Quarantine(quarantine::Quarantine),
    Receipt(receipt::Receipt),
    Topics(topics::Topics),
    Tail(tail::Tail),
    Ingest(ingest::Ingest),
    Gold(gold::Gold),
    Rebuild(rebuild::Rebuild),
    State(state::State),
    TimeTravel(time_travel::TimeTravel),
    Replay(replay::Replay),
    Verify(verify::Verify),
    Registry(registry::Registry),
    Pull(pull::Pull),
    Sync(sync::Sync),
    Outbox(outbox::Outbox),
    Crystallize(crystallize::Crystallize),
    Promotion(promotion::Promotion),
    #[command(name = "config")]
    Settings(config::Config),
    Doctor(doctor::Doctor),
    Errors(errors::Errors),
    Completions(completions::Completions),
    #[command(hide = true)]
    CompileWorker(compile_worker::CompileWorker),
    #[command(hide = true)]
    Worker(worker::Worker),
    #[command(hide = true)]
    DocsReference(docs_reference::DocsReference),
}

/// What a command needs to know about the command line around it.
pub struct Context {
    /// The flags that every command takes.
    pub globals: Globals,
}

impl Context {
    /// Whether the answer is one JSON document.
    pub fn json(&self) -> bool {
        self.globals.output == Output::Json
    }

    /// The configuration: defaults, file, environment and the flags that are settings.
    pub fn load(&self, listen: Option<SocketAddr>) -> Result<Loaded, CliError> {
        let flags = Flags {
            listen,
            data: self.globals.data.clone(),
        };
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            // A variable that is no text cannot be one of ours.
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        crate::config::load(self.globals.config.as_deref(), environment, &flags)
    }

    /// The running host: the one `--host` names, or the one the configuration describes.
    pub fn client(&self, config: &Config) -> anyhow::Result<Client> {
        Client::new(&self.host_url(config), self.token()?)
    }

    /// The bearer token to send, if there is one.
    pub fn token(&self) -> Result<Option<String>, CliError> {
        client::token(self.globals.token_file.as_deref())
    }

    /// Where that host is, as the user wrote it.
    pub fn host_url(&self, config: &Config) -> String {
        self.globals.host.clone().unwrap_or_else(|| client::default_url(config))
    }

    /// Where a command that asks about capsules looks: in this process when only a data folder is named, else at a host.
    pub fn place(&self) -> anyhow::Result<Place> {
        let config = self.load(None)?.config;
        match (&self.globals.host, &self.globals.data) {
            (None, Some(data)) => Ok(Place::Here(Box::new(config), DataDir::open(data)?)),
            _ => Ok(Place::Host(self.client(&config)?)),
        }
    }

    /// The host for commands that make no sense without a running one: the one `--host` names, else the one that serves
    /// `--data`, else the one the configuration describes.
    pub fn running_host(&self) -> anyhow::Result<Client> {
        let (None, Some(data)) = (&self.globals.host, &self.globals.data) else {
            return self.client(&self.load(None)?.config);
        };
        let address = DataDir::existing(data)?
            .served_at()
            .ok_or_else(|| CliError::NotServed {
                path: data.display().to_string(),
            })?;
        Client::new(&client::url_of(address), self.token()?)
    }

    /// The data folder for commands that look at or change what a host on this machine trusts: the one somebody
    /// configured, else the running host's, else `./data`.
    pub fn data(&self) -> anyhow::Result<PathBuf> {
        match self.running_data()? {
            Some(data) => Ok(data.root().to_path_buf()),
            None => Ok(self.load(None)?.config.host.data),
        }
    }

    /// The configured data folder or the running host's; none when neither is known.
    pub fn running_data(&self) -> anyhow::Result<Option<DataDir>> {
        let loaded = self.load(None)?;
        if !loaded.is_default("host.data") {
            return Ok(Some(DataDir::open(&loaded.config.host.data)?));
        }
        Ok(client::local_address(&self.host_url(&loaded.config)).and_then(running::data_of))
    }

    /// Prints the answer: the document as it is, or what `text` makes of it.
    pub fn print(&self, document: &Value, text: impl FnOnce() -> String) {
        if self.json() {
            say(&crate::render::pretty(document));
        } else {
            say(text().trim_end());
        }
    }

    /// [`Context::print`] for work that was done and then refused: the error stands beside the answer.
    pub fn print_refused(&self, mut document: Value, fault: &Fault, text: impl FnOnce() -> String) -> ExitCode {
        if let Some(members) = document.as_object_mut() {
            members.insert("error".into(), error::member(fault));
        }
        self.print(&document, text);
        if !self.json() {
            note(&fault.to_string());
        }
        ExitCode::from(EXIT_FAILED)
    }
}

/// Tasks a worker runs before it looks at its sockets again. A guest that spins is one task of up to a tick (2 ms), so
/// tokio's own 61 would let as many of them as there are workers keep everybody else waiting for 122 ms.
const EVENT_INTERVAL: u32 = 5;

/// Runs a future to its end on a runtime of its own.
pub fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .event_interval(EVENT_INTERVAL)
        .build()?
        .block_on(work)
}

/// Where capsules are asked about.
pub enum Place {
    /// A running host.
    Host(Client),
    /// This process, over a data folder.
    Here(Box<Config>, DataDir),
}

/// Parses the command line, runs the command, reports its failure.
pub fn main() -> ExitCode {
    let parsed = command()
        .try_get_matches()
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let context = Context { globals: cli.globals };
    match cli.command.run(&context) {
        Ok(code) => code,
        Err(error) => failed(&error, context.json()),
    }
}

impl Command {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        match self {
            Self::Up(command) => command.run(context),
            Self::Call(command) => command.run(context),
            Self::List(_) => list::List::run(context),
            Self::Search(command) => command.run(context),
            Self::Inspect(command) => command.run(context),
            Self::Mcp(_) => mcp::Mcp::run(context),
            Self::New(command) => command.run(context),
            Self::Build(command) => command.run(context),
            Self::Compose(command) => command.run(context),
            Self::Run(command) => command.run(context),
            Self::Sign(command) => command.run(context),
            Self::Publish(command) => command.run(context),
            Self::Manifest(command) => command.run(context),
            Self::Keys(command) => command.run(context),
            Self::Trust(command) => command.run(context),
            Self::Lock(command) => command.run(context),
            Self::Ps(command) => command.run(context),
            Self::Zones(_) => zones::Zones::run(context),
            Self::Swap(command) => command.run(context),
            Self::Rollback(command) => command.run(context),
            Self::Suspend(command) => command.run(context),
            Self::Resume(command) => command.run(context),
            Self::Limits(command) => command.run(context),
            Self::Bind(command) => command.run(context),
            Self::Events(command) => command.run(context),
            Self::Quarantine(command) => command.run(context),
            Self::Receipt(command) => command.run(context),
            Self::Topics(command) => command.run(context),
            Self::Tail(command) => command.run(context),
            Self::Ingest(command) => command.run(context),
            Self::Gold(command) => command.run(context),
            Self::Rebuild(command) => command.run(context),
            Self::State(command) => command.run(context),
            Self::TimeTravel(command) => command.run(context),
            Self::Replay(command) => command.run(context),
            Self::Verify(command) => command.run(context),
            Self::Registry(command) => command.run(context),
            Self::Pull(command) => command.run(context),
            Self::Sync(command) => command.run(context),
            Self::Outbox(command) => command.run(context),
            Self::Crystallize(command) => command.run(context),
            Self::Promotion(command) => command.run(context),
            Self::Settings(command) => command.run(context),
            Self::Doctor(_) => doctor::Doctor::run(context),
            Self::Errors(command) => command.run(context),
            Self::Completions(command) => Ok(command.run()),
            Self::CompileWorker(command) => command.run(),
            Self::Worker(_) => worker::Worker::run(),
            Self::DocsReference(command) => command.run(context),
        }
    }
}

/// Help and version are answers; anything else is a mistake on the command line.
fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    // The command line did not parse, so its --output has to be looked for by hand.
    let words: Vec<String> = std::env::args().collect();
    let asked = |pair: &[String]| matches!(pair, [flag, value] if flag == "--output" && value == "json");
    if words.windows(2).any(asked) || words.iter().any(|word| word == "--output=json") {
        let rendered = error.render().to_string();
        let why = rendered
            .lines()
            .next()
            .unwrap_or_default()
            .trim_start_matches("error: ")
            .trim_end_matches('.');
        let fault = (&CliError::BadArgument { why: why.to_string() }).into();
        say(&crate::render::pretty(&error::document(&fault)));
    } else {
        let _ = error.print();
    }
    ExitCode::from(EXIT_USAGE)
}

fn failed(error: &anyhow::Error, json: bool) -> ExitCode {
    let refused = error.downcast_ref::<Refused>();
    let fault = error::fault(error);
    if json {
        let document = refused.map_or_else(|| error::document(&fault), error::refused_document);
        say(&crate::render::pretty(&document));
    } else {
        note(&refused.map_or_else(|| fault.to_string(), ToString::to_string));
    }
    let misused = refused.is_none() && matches!(error.downcast_ref(), Some(CliError::BadArgument { .. }));
    ExitCode::from(if misused { EXIT_USAGE } else { EXIT_FAILED })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_tree_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn every_visible_command_is_in_exactly_one_group_of_the_help() {
        let mut grouped: Vec<&str> = help::GROUPS
            .iter()
            .flat_map(|(_, names)| names.iter().copied())
            .collect();
        let command = command();
        let mut visible: Vec<&str> = command
            .get_subcommands()
            .filter(|c| !c.is_hide_set())
            .map(clap::Command::get_name)
            .collect();
        grouped.sort_unstable();
        visible.sort_unstable();
        assert_eq!(grouped, visible);
    }

    #[test]
    fn every_visible_command_has_one_line_about_it_and_an_example() {
        for command in command().get_subcommands().filter(|c| !c.is_hide_set()) {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(
                !about.is_empty() && !about.contains('\n'),
                "{}: {about:?}",
                command.get_name()
            );
            let long = command.get_long_about().map(ToString::to_string).unwrap_or_default();
            assert!(long.contains("    kinetic "), "{} has no example", command.get_name());
        }
    }

    #[test]
    fn a_wrong_command_line_is_told_apart_from_help() {
        assert!(
            command()
                .try_get_matches_from(["kinetic", "fly"])
                .unwrap_err()
                .use_stderr()
        );
        assert!(
            !command()
                .try_get_matches_from(["kinetic", "help"])
                .unwrap_err()
                .use_stderr()
        );
        assert!(
            command()
                .try_get_matches_from(["kinetic", "list", "--output", "json"])
                .is_ok()
        );
    }
}
