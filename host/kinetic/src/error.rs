//! The command line's own errors, and the form in which any failure reaches the user.

use kinetic_model::Fault;

kinetic_model::coded_errors! {
    /// Errors of the command line, the configuration and the wiring.
    pub enum CliError ("CLI") {
        /// Something that has no code of its own.
        "0001" Unexpected { why: String } => Internal,
            "{why}.",
            "Run `kinetic doctor`; it names what is out of order and how to mend it.";
        /// A file or folder could not be read or written.
        "0002" File { path: String, why: String } => Invalid,
            "{path}: {why}.",
            "Check that the path exists and that this user may use it.";
        /// The configuration file is not TOML.
        "0003" BadConfigFile { path: String, why: String } => Invalid,
            "{path} is not a configuration file: {why}.",
            "Compare it with `kinetic config default`.";
        /// A key nobody reads.
        "0004" UnknownKey { key: String, place: String, nearest: String } => Invalid,
            "{place} sets \"{key}\", which is not a setting.",
            "Did you mean {nearest}? `kinetic config default` lists every setting.";
        /// A setting whose value does not fit.
        "0005" BadValue { key: String, place: String, why: String } => Invalid,
            "{place} sets {key} to a value that does not fit: {why}.",
            "`kinetic config default` shows what {key} takes.";
        /// A second host on the same data folder.
        "0006" DataBusy { path: String } => Conflict,
            "another host is running on the data folder {path}.",
            "Stop it, or give this one its own folder with --data.";
        /// The data folder is open to other users.
        "0007" DataOpen { path: String, mode: String } => Security,
            "the data folder {path} holds private keys but its mode is {mode}.",
            "Close it with `chmod 700 {path}`.";
        /// Listening beyond this machine without a token.
        "0008" TokenNeeded { listen: String } => Security,
            "{listen} is reachable from other machines, and no token is configured.",
            "Set host.token_sha256 (see `kinetic config default`), or listen on 127.0.0.1.";
        /// The host did not answer.
        "0009" HostUnreachable { url: String, why: String } => Unavailable,
            "no host answers at {url}: {why}.",
            "Start one with `kinetic up`, name another with --host, or run without a host with --data DIR.";
        /// The host answered something that is not ours.
        "0010" BadAnswer { url: String, why: String } => Unavailable,
            "{url} did not answer like a Kinetic host: {why}.",
            "Check --host; `kinetic doctor` shows what listens there.";
        /// Arguments that contradict each other or do not parse.
        "0011" BadArgument { why: String } => Invalid,
            "{why}.",
            "`kinetic help` shows each command with an example.";
        /// No key to sign with.
        "0012" NoKey { namespace: String, path: String } => Security,
            "there is no signing key for namespace \"{namespace}\" at {path}.",
            "Make one with `kinetic keys new {namespace}`, or publish to a host on this machine with --dev.";
        /// The namespace belongs to somebody else.
        "0013" NamespaceTaken { namespace: String } => Security,
            "the trust root already names a key for namespace \"{namespace}\", and it is not the one on this machine.",
            "Sign with that key (--key FILE), or use a namespace of your own.";
        /// There is nothing to publish yet.
        "0014" NotBuilt { path: String } => NotFound,
            "{path} has no built capsule.",
            "Run `kinetic build {path}` first.";
        /// cargo said no.
        "0015" BuildFailed { path: String } => Conformance,
            "cargo could not build {path}; its messages are above.",
            "Mend the first of them and run `kinetic build` again.";
        /// The Rust target for components is not installed.
        "0016" TargetMissing { target: String } => Unavailable,
            "Rust's target {target} is not installed.",
            "Install it with `rustup target add {target}`.";
        /// No cargo.
        "0017" NoCargo { why: String } => Unavailable,
            "cargo could not be started: {why}.",
            "Install Rust from https://rustup.rs.";
        /// A project name that cannot be used.
        "0018" BadName { name: String, why: String } => Invalid,
            "\"{name}\" cannot be the name: {why}.",
            "Use lower-case words that start with a letter, joined by hyphens, like word-count.";
        /// The place is taken.
        "0019" Exists { path: String } => Conflict,
            "{path} already exists.",
            "Choose another name, or remove it.";
        /// The package is no component.
        "0020" NoComponent { path: String, why: String } => Conformance,
            "{path} did not become one component: {why}.",
            "Its Cargo.toml needs [lib] with crate-type = [\"cdylib\"]; `kinetic new` writes one.";
        /// The WIT of a package could not be read.
        "0021" BadWit { path: String, why: String } => Conformance,
            "the WIT in {path} cannot be read: {why}.",
            "Mend it; `kinetic new` writes one that works.";
        /// No such error code.
        "0022" UnknownCode { code: String } => NotFound,
            "no error has the code {code}.",
            "`kinetic errors` lists them all.";
        /// A host whose trust root is out of reach.
        "0023" DevNeedsLocal { url: String } => Security,
            "--dev makes a key and has the host trust it, which only works where this user may write the host's data folder; that of {url} is not known here.",
            "Name it with --data, or sign with --key FILE and have the operator run `kinetic keys trust`.";
        /// The token cannot be sent.
        "0024" BadToken { path: String } => Invalid,
            "{path} holds no bearer token: it must be one line of visible characters.",
            "Put the token alone into the file, mode 0600.";
        /// The address of a host is none.
        "0025" BadHostUrl { url: String } => Invalid,
            "{url} is not an http or https URL.",
            "Write --host like http://127.0.0.1:8000.";
        /// A key that is not there to be shown or taken away.
        "0026" NoSuchKey { namespace: String } => NotFound,
            "no key is trusted for namespace \"{namespace}\".",
            "`kinetic keys list` shows every namespace that has one.";
        /// The ledger is not what was written.
        "0027" LedgerChanged { findings: usize } => Integrity,
            "the ledger is not what was written and signed: {findings} findings.",
            "Keep the folder as it is for whoever looks into it; restore the ledger from a copy to go on.";
        /// A replayed call ended otherwise.
        "0028" ReplayDiverged { seq: u64 } => Conformance,
            "the call of record {seq} ended otherwise than it did.",
            "Compare the component that runs now with the recorded one, or look for what its tier does not allow.";
        /// A host without the tables of gold.
        "0029" NoGold { path: String } => NotFound,
            "this kinetic was built without gold, so there are no tables in {path}.",
            "Use a build with the feature gold; bronze and silver are complete.";
        /// Telemetry is switched off.
        "0030" TelemetryOff {} => Conflict,
            "telemetry.enabled is false, so there is no pipeline.",
            "Set telemetry.enabled = true in kinetic.toml.";
        /// A data folder that nobody serves, for a command that asks a running host.
        "0031" NotServed { path: String } => Unavailable,
            "this asks a running host, and none serves the data folder {path} now.",
            "Start it with `kinetic up --data {path}`, or name another host with --host.";
        /// A registry that is no server.
        "0032" NobodyYanks { registry: String, name: String, namespace: String } => Conflict,
            "nobody decides at {registry} what is yanked: its index is signed by the owner of the namespace.",
            "Sign the next one: kinetic registry index {namespace} --registry {name} --key FILE --yank URN@VERSION=REASON, or --unyank URN@VERSION.";
        /// A file that holds no topology.
        "0037" BadTopology { path: String, why: String } => Invalid,
            "{path} holds no topology: {why}.",
            "Write one JSON object in UTF-8, each member once in its object.";
        /// The capsule folder changed since it was built or signed.
        "0040" FolderChanged { attested: String, found: String } => Conflict,
            "the capsule folder changed since it was built: then {attested}, now {found}.",
            "Build again with `kinetic build`: the receipt speaks for manifest, component, policy.yaml, spec/, tests/ and wit/ together.";
        /// A version that a check refuses.
        "0042" NotVerified { what: String, refused: String } => Integrity,
            "{what} is refused: {refused}.",
            "What each check found stands above; mend what the first refusal names.";
        /// Some of what was to be synchronised did not come.
        "0043" NotAllSynced { refused: usize, all: usize } => Integrity,
            "{refused} of {all} versions did not come.",
            "Each is named with its reason; run the same command again to go on where it stopped.";
    }
}

/// A file error with its path; the common case of every command.
pub fn file(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> CliError {
    let path = path.display().to_string();
    move |error| CliError::File {
        path,
        why: error.to_string(),
    }
}

/// The host refused: the problem document it answered, with its own code and words.
#[derive(Debug)]
pub struct Refused(pub serde_json::Value);

impl Refused {
    fn text(&self, name: &str) -> &str {
        self.0.get(name).and_then(serde_json::Value::as_str).unwrap_or_default()
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = format!("{}: {} {}", self.text("code"), self.text("detail"), self.text("fix"));
        f.write_str(text.trim_end())
    }
}

impl std::error::Error for Refused {}

macro_rules! areas {
    ($( $(#[$when:meta])? $title:literal => $error:ty ),* $(,)?) => {
        /// Every error table, top to bottom of the house, with its heading in the error reference.
        pub const AREAS: kinetic_gateway::ErrorTables = &[ $( $(#[$when])? ($title, <$error>::TABLE) ),* ];

        /// What the user sees of any failure: its own code where it has one.
        pub fn fault(error: &anyhow::Error) -> Fault {
            for cause in error.chain() {
                if let Some(fault) = cause.downcast_ref::<Fault>() {
                    return fault.clone();
                }
                $( $(#[$when])? if let Some(error) = cause.downcast_ref::<$error>() {
                    return Fault::from(error);
                } )*
            }
            Fault::from(CliError::Unexpected { why: format!("{error:#}") })
        }
    };
}

areas! {
    "Command line and configuration" => CliError,
    "Gateway: HTTP and MCP" => kinetic_gateway::GatewayError,
    "Kernel: manifests and admission" => kinetic_kernel::KernelError,
    "Ledger: log, topics and state" => kinetic_ledger::LedgerError,
    "Telemetry: bronze and silver" => kinetic_medallion::MedallionError,
    #[cfg(feature = "gold")]
    "Telemetry: gold" => kinetic_gold::GoldError,
    "Engine: calls and their limits" => kinetic_engine::EngineError,
    "Registry: storing and fetching" => kinetic_registry::RegistryError,
    "Registry: a server of one's own" => kinetic_registry_server::ServerError,
    "Identity: keys and receipts" => kinetic_identity::IdentityError,
    "Providers: HTTP" => kinetic_provider_http::HttpError,
    "Providers: events" => kinetic_provider_events::EventsError,
    "Providers: state" => kinetic_provider_state::StateError,
    "Model: names and digests" => kinetic_model::ModelError,
}

/// What `--output json` prints of a failure: `{"error": {code, title, message, fix}}`.
pub fn document(fault: &Fault) -> serde_json::Value {
    serde_json::json!({ "error": member(fault) })
}

/// The `error` member by itself.
pub fn member(fault: &Fault) -> serde_json::Value {
    serde_json::json!({
        "code": fault.code,
        "title": fault.kind.title(),
        "message": fault.message,
        "fix": fault.fix,
    })
}

/// [`document`] of a failure that a host answered; what a stopped call used and logged stands beside the error.
pub fn refused_document(refused: &Refused) -> serde_json::Value {
    let mut document = serde_json::json!({
        "error": {
            "code": refused.text("code"),
            "title": refused.text("title"),
            "message": refused.text("detail"),
            "fix": refused.text("fix"),
        },
    });
    for name in BESIDE_A_PROBLEM {
        if let (Some(value), Some(members)) = (refused.0.get(name), document.as_object_mut()) {
            members.insert(name.into(), value.clone());
        }
    }
    document
}

/// Members of a problem about a call that ran: what it used, what it logged, what it was.
const BESIDE_A_PROBLEM: [&str; 5] = ["telemetry", "logs", "capsule", "function", "request_id"];

/// The problem document of a call stopped in this process, in the form a host answers it.
pub fn problem(fault: &Fault) -> serde_json::Value {
    serde_json::json!({ "title": fault.kind.title(), "detail": fault.message, "code": fault.code, "fix": fault.fix })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_coded_error_keeps_its_code_under_any_context() {
        let error = anyhow::Error::from(CliError::DataBusy { path: "x".into() }).context("while starting");
        assert_eq!(fault(&error).code, "KIN-CLI-0006");
        assert_eq!(fault(&anyhow::anyhow!("odd")).code, "KIN-CLI-0001");
    }

    #[test]
    fn no_code_is_used_twice_and_each_has_a_sentence_and_a_fix() {
        let mut seen = BTreeSet::new();
        for info in AREAS.iter().flat_map(|(_, table)| *table) {
            assert!(seen.insert(info.code), "{} is used twice", info.code);
            assert!(
                !info.message.is_empty() && !info.fix.is_empty(),
                "{} says too little",
                info.code
            );
        }
    }
}
