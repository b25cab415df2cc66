//! Log lines on standard error, as the configuration wants them.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::{Host, LogFormat};
use crate::terminal::note;

/// Starts logging; what is logged before is lost.
pub fn start(host: &Host) {
    // A directive that does not parse must not keep the host from saying so.
    let filter = EnvFilter::try_new(&host.log).unwrap_or_else(|error| {
        note(&format!(
            "host.log = {:?} is not understood ({error}); logging at level info",
            host.log
        ));
        EnvFilter::new("info")
    });
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    match host.log_format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => lines.json().init(),
    }
}
