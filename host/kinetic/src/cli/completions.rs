//! `kinetic completions`: what a shell needs to complete commands.

use std::process::ExitCode;

use clap::Args;

/// Write the completion script of a shell
///
/// Example:
///
///     kinetic completions bash > ~/.local/share/bash-completion/completions/kinetic
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Completions {
    /// Which shell
    shell: clap_complete::Shell,
}

impl Completions {
    pub(super) fn run(self) -> ExitCode {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::command(), "kinetic", &mut script);
        crate::terminal::say(String::from_utf8_lossy(&script).trim_end());
        ExitCode::SUCCESS
    }
}
