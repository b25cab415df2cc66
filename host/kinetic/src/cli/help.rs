//! The help of the whole command line: commands in groups, with examples.

use std::fmt::Write as _;

use clap::CommandFactory as _;

use super::Cli;

/// How `kinetic help` groups the commands; a test checks that each is in one group.
pub(super) const GROUPS: [(&str, &[&str]); 7] = [
    ("Serve and call", &["up", "call", "list", "search", "inspect", "mcp"]),
    (
        "Make a capability",
        &["new", "build", "compose", "run", "sign", "publish", "manifest"],
    ),
    (
        "Look after capsules",
        &[
            "ps",
            "zones",
            "swap",
            "rollback",
            "suspend",
            "resume",
            "limits",
            "bind",
            "events",
            "quarantine",
        ],
    ),
    ("Events", &["topics", "tail"]),
    ("Telemetry", &["ingest", "gold", "rebuild"]),
    ("Look back", &["state", "time-travel", "receipt", "verify", "replay"]),
    (
        "Operate",
        &[
            "registry",
            "pull",
            "sync",
            "outbox",
            "crystallize",
            "promotion",
            "keys",
            "trust",
            "lock",
            "config",
            "doctor",
            "errors",
            "completions",
        ],
    ),
];

/// The whole command tree, with the grouped help.
pub fn command() -> clap::Command {
    let command = Cli::command();
    // Writing to a String cannot fail.
    let mut groups = String::new();
    for (title, names) in GROUPS {
        let _ = writeln!(groups, "{title}:");
        for name in names {
            let about = command
                .find_subcommand(name)
                .and_then(clap::Command::get_about)
                .map(ToString::to_string);
            let _ = writeln!(groups, "  {name:<12} {}", about.unwrap_or_default());
        }
        groups.push('\n');
    }
    command.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{groups}Options:\n{{options}}\n\nExamples:\n\
         \x20 kinetic up\n\
         \x20 kinetic call urn:kinetic:actionspace:solver:redact:v1 --arg text=\"mail me: ann@example.com\"\n\
         \x20 kinetic new word-count && cd word-count && kinetic build && kinetic publish --dev\n\n\
         `kinetic help COMMAND` tells more, with examples. Exit status: 0 done, 1 the called function returned\n\
         an error of its own, 2 the command line is wrong, 3 refused, not found, stopped or failed.\n\
         With --output json a failure is one document too, with error.code, error.title, error.message and\n\
         error.fix, on standard output.\n"
    ))
}
