//! Python programs that do the same work; each prints one line of JSON for each case.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use kinetic_testkit::guests::root;
use serde_json::Value;

fn command(program: &str, arguments: &[&str]) -> Option<Command> {
    let Ok(python) = std::env::var("TELEMETRY_PYTHON") else {
        println!("no peer: TELEMETRY_PYTHON names no Python (make bench installs it)");
        return None;
    };
    let mut command = Command::new(python);
    command
        .arg(root().join("tests/peers").join(program))
        .args(arguments)
        .env("POLARS_MAX_THREADS", "1");
    Some(command)
}

/// Runs a peer; nothing when there is no Python for it.
pub fn run(program: &str, arguments: &[&str]) -> Vec<Value> {
    let Some(mut command) = command(program, arguments) else {
        return Vec::new();
    };
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| {
            println!("{line}");
            serde_json::from_str(line).unwrap()
        })
        .collect()
}

/// A peer that serves, and tells more as it goes on.
pub struct Serving {
    child: Child,
    lines: BufReader<ChildStdout>,
}

/// Starts a peer that serves; none when there is no Python for it.
pub fn serve(program: &str, arguments: &[&str]) -> Option<Serving> {
    let mut child = command(program, arguments)?.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap());
    Some(Serving { child, lines })
}

impl Serving {
    /// The next line it prints.
    pub fn line(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        print!("{line}");
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
