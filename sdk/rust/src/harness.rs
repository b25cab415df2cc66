//! Builds the package's component and calls it in the real engine, from the author's own `cargo test`.
//!
//! It drives the `kinetic` binary: the one `KINETIC_BIN` names, else the one on the PATH.

use std::ffi::OsString;
use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::Value;

/// A built component.
#[derive(Clone, Debug)]
pub struct Component {
    path: PathBuf,
}

/// What a call answered.
#[derive(Clone, Debug, Deserialize)]
pub struct Answer {
    /// Whether the function returned normally; false when its own `result` was an error.
    pub success: bool,
    /// What it returned: its result, or its own error when `success` is false. Bytes are base64.
    pub output: Value,
    /// What the guest wrote.
    pub logs: Logs,
    /// What the call used: `fuel`, `peak_memory_bytes`, `guest_time_ns` and the others that `kinetic call` prints.
    #[serde(rename = "telemetry")]
    pub usage: Value,
}

/// What the guest wrote to its standard streams, up to the limit on log bytes.
#[derive(Clone, Debug, Deserialize)]
pub struct Logs {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// The host refused or stopped the call, or the component could not be built.
#[derive(Clone, Debug, Deserialize)]
pub struct HostError {
    /// The stable code, like `KIN-ENG-0003`; `kinetic errors CODE` explains it.
    pub code: String,
    /// What was wrong.
    pub message: String,
    /// What to do.
    #[serde(default)]
    pub fix: String,
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.code, self.message, self.fix)
    }
}

impl std::error::Error for HostError {}

impl Component {
    /// Builds the package that is being tested, as `kinetic build` does.
    ///
    /// # Errors
    /// What `kinetic build` says; `KIN-SDK-0001` when there is no `kinetic`.
    pub fn build() -> Result<Self, HostError> {
        // Set by `cargo test`; elsewhere the current folder is the package.
        let package = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from);
        let built = kinetic(&["build".into(), package.into_os_string()], &[])?;
        match built.get("component").and_then(Value::as_str) {
            Some(path) => Ok(Self {
                path: PathBuf::from(path),
            }),
            None => Err(broken("`kinetic build` named no component")),
        }
    }

    /// A component that exists already.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where the component is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Calls a function with arguments by name, in a fresh sandbox with the limits and imports of the package's manifest.
    ///
    /// # Errors
    /// What the host says when it refuses or stops the call; `KIN-SDK-0001` when there is no `kinetic`.
    pub fn call(&self, function: &str, arguments: &Value) -> Result<Answer, HostError> {
        self.run(
            function,
            &["--args".into(), "-".into()],
            arguments.to_string().as_bytes(),
        )
    }

    /// Calls a function whose one open parameter is bytes or text with these bytes, unparsed.
    ///
    /// # Errors
    /// As [`Component::call`].
    pub fn call_bytes(&self, function: &str, bytes: &[u8]) -> Result<Answer, HostError> {
        self.run(function, &["--file".into(), "-".into()], bytes)
    }

    fn run(&self, function: &str, input: &[OsString], stdin: &[u8]) -> Result<Answer, HostError> {
        let fixed = [
            "run".into(),
            self.path.clone().into_os_string(),
            "--function".into(),
            function.into(),
        ];
        let answer = kinetic(&[&fixed, input].concat(), stdin)?;
        serde_json::from_value(answer).map_err(|error| broken(&format!("its answer is not understood ({error})")))
    }
}

/// Runs `kinetic`, which answers one JSON document whatever happens.
fn kinetic(arguments: &[OsString], stdin: &[u8]) -> Result<Value, HostError> {
    let binary = std::env::var_os("KINETIC_BIN").unwrap_or_else(|| "kinetic".into());
    let missing = |error: std::io::Error| HostError {
        code: "KIN-SDK-0001".into(),
        message: format!("{} could not be started: {error}.", binary.display()),
        fix: "Put kinetic on the PATH, or set KINETIC_BIN to it.".into(),
    };
    let mut child = Command::new(&binary)
        .args(arguments)
        .args(["--output", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(missing)?;
    if let Some(mut pipe) = child.stdin.take() {
        // A child that stops before it has read everything says why in its answer.
        let _ = pipe.write_all(stdin);
    }
    let output = child.wait_with_output().map_err(missing)?;
    let answer: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| broken(&format!("it printed no JSON document ({error})")))?;
    // 1: the call ran, and the function itself returned an error.
    if output.status.success() || output.status.code() == Some(1) {
        return Ok(answer);
    }
    let error = answer.get("error").cloned().unwrap_or_default();
    Err(serde_json::from_value(error).unwrap_or_else(|_| broken("it failed without saying why")))
}

fn broken(why: &str) -> HostError {
    HostError {
        code: "KIN-SDK-0002".into(),
        message: format!("`kinetic` did not answer as expected: {why}."),
        fix: "Use the kinetic that made this project (`kinetic --version`).".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_and_a_problem_are_read() {
        let answer: Answer = serde_json::from_str(
            r#"{"success": true, "output": [1], "logs": {"stdout": "", "stderr": "x"}, "telemetry": {"fuel": 7}, "urn": null}"#,
        )
        .unwrap();
        assert!(answer.success);
        assert_eq!(
            (answer.output, answer.usage["fuel"].as_u64()),
            (serde_json::json!([1]), Some(7))
        );
        let error: HostError =
            serde_json::from_str(r#"{"title": "t", "code": "KIN-ENG-0003", "message": "Too slow.", "fix": "Hurry."}"#)
                .unwrap();
        assert_eq!(error.to_string(), "KIN-ENG-0003: Too slow. Hurry.");
    }
}
