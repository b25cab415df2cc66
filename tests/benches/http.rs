//! The host over HTTP, measured with wrk; beside it `wasmtime serve`, and Extism from Python. Prints a table.
//!
//! Needs wrk, `wasmtime` (WASMTIME names it) and a Python with `extism` (EXTISM_PYTHON names it); `make bench` installs them.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kinetic_identity::SigningKey;
use kinetic_testkit::author::{manifest, publication};
use kinetic_testkit::guests::{self, root};
use kinetic_testkit::host::Host;
use serde_json::{Value, json};

const ECHO: &str = "urn:tests:actionspace:solver:echo:v1";
const SPINNER: &str = "urn:tests:actionspace:solver:spinner:v1";
const BODY: &str =
    r#"{"type":"TokenStreamChunk","index":7,"text":"The quick brown fox jumps over the dog","ok":true,"n":12345}"#;

/// What wrk and the kernel saw.
struct Run {
    requests: f64,
    seconds: f64,
    cpu_seconds: f64,
    p50_ms: f64,
    p99_ms: f64,
    errors: u64,
}

impl Run {
    fn per_second(&self) -> f64 {
        self.requests / self.seconds
    }

    fn per_cpu_second(&self) -> f64 {
        self.requests / self.cpu_seconds
    }
}

fn main() {
    // `cargo bench` passes a flag; `cargo test --benches` would run this, and must not.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let host = Host::start();
    let key = SigningKey::generate().unwrap();
    let trust = ["--data", "data", "keys", "trust", "tests", &key.public().to_string()];
    host.kinetic(&trust).fine();
    for name in ["echo", "spinner"] {
        let body = publication(&manifest(name, "1.0.0"), &guests::rust("echo"), &key);
        assert_eq!(host.post("/api/v1/registry/capabilities/publish", &body).status, 201);
    }
    let execute = format!("{}/api/v1/capabilities/execute", host.url);
    let call = |urn: &str| json!({ "toolName": urn, "function": "text-back", "intent": { "text": BODY } }).to_string();

    println!(
        "ready with a warm code cache after {:.0} ms",
        host.ready_after.as_secs_f64() * 1e3
    );
    println!(
        "resident memory with six capsules loaded: {:.0} MB",
        resident_mb(host.pid())
    );

    let ours = wrk(&execute, &call(ECHO), host.pid(), 10);
    show("kinetic: execute, fresh sandbox", &ours);
    println!("resident memory after it: {:.0} MB", resident_mb(host.pid()));

    let (peer, url) = wasmtime_serve();
    let theirs = wrk(&url, BODY, peer.0.id(), 10);
    show("wasmtime serve, as it comes", &theirs);
    drop(peer);
    println!(
        "ratio to wasmtime serve: {:.2} per second, {:.2} per cpu-second",
        ours.per_second() / theirs.per_second(),
        ours.per_cpu_second() / theirs.per_cpu_second()
    );

    for (label, spinning) in [("other capsules", SPINNER), ("the same capsule", ECHO)] {
        let stop = spin(&host, spinning);
        let run = wrk(&execute, &call(ECHO), host.pid(), 4);
        show(&format!("while one guest spins: calls to {label}"), &run);
        drop(stop);
    }

    extism();
}

fn show(label: &str, run: &Run) {
    println!(
        "{label}: {:.0} requests/s, {:.0} requests per cpu-second, p50 {:.2} ms, p99 {:.2} ms, {} errors",
        run.per_second(),
        run.per_cpu_second(),
        run.p50_ms,
        run.p99_ms,
        run.errors
    );
}

/// 32 connections for so many seconds, after one to warm up.
fn wrk(url: &str, body: &str, server: u32, seconds: u64) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("post.lua");
    let quoted = serde_json::to_string(body).unwrap();
    std::fs::write(
        &script,
        format!(
            r#"wrk.method = "POST"
wrk.body = {quoted}
wrk.headers["Content-Type"] = "application/json"
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('RESULT {{"requests": %d, "us": %d, "p50": %d, "p99": %d, "errors": %d}}\n', summary.requests,
    summary.duration, latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
"#
        ),
    )
    .unwrap();
    let run = |seconds: u64| {
        let mut wrk = Command::new("wrk");
        wrk.args(["-t1", "-c32", &format!("-d{seconds}s"), "-s"])
            .arg(&script)
            .arg(url);
        let output = wrk.output().expect("wrk is installed");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("RESULT "))
            .unwrap_or_else(|| panic!("{text}"));
        serde_json::from_str::<Value>(line).unwrap()
    };
    run(1);
    let before = cpu_seconds(server);
    let result = run(seconds);
    let cpu_seconds = cpu_seconds(server) - before;
    let number = |name: &str| result[name].as_f64().unwrap();
    Run {
        requests: number("requests"),
        seconds: number("us") / 1e6,
        cpu_seconds,
        p50_ms: number("p50") / 1e3,
        p99_ms: number("p99") / 1e3,
        errors: result["errors"].as_u64().unwrap(),
    }
}

/// Processor time of a process and all its threads, user and system.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // Fields 14 and 15, counted after the name; the kernel counts in hundredths of a second.
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn resident_mb(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1e3
}

struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        // A shell's own child goes with it.
        let _ = Command::new("pkill").args(["-P", &self.0.id().to_string()]).status();
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wasmtime_serve() -> (Stopped, String) {
    let folder = std::env::temp_dir().join(format!("kinetic-serve-{}.wasm", std::process::id()));
    std::fs::write(&folder, guests::rust("serve")).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let program = std::env::var("WASMTIME").unwrap_or_else(|_| "wasmtime".into());
    let child = Command::new(program)
        .args(["serve", "-S", "cli", "--addr", &format!("127.0.0.1:{port}")])
        .arg(&folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("wasmtime is installed");
    let started = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "wasmtime serve does not listen"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    (Stopped(child), format!("http://127.0.0.1:{port}/"))
}

/// Keeps one call spinning, again and again, until the answer is dropped.
fn spin(host: &Host, urn: &str) -> Stopped {
    let body = json!({ "toolName": urn, "function": "spin", "intent": {} }).to_string();
    let url = format!("{}/api/v1/capabilities/execute", host.url);
    let script =
        format!("while true; do curl -s -o /dev/null -H 'content-type: application/json' -d '{body}' {url}; done");
    let child = Command::new("bash").args(["-c", &script]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    Stopped(child)
}

fn extism() {
    let python = std::env::var("EXTISM_PYTHON").unwrap_or_else(|_| "python3".into());
    let output = Command::new(python)
        .arg(root().join("tests/peers/extism_calls.py"))
        .output()
        .expect("python runs");
    print!("{}", String::from_utf8_lossy(&output.stdout));
    if !output.status.success() {
        println!("Extism did not run: {}", String::from_utf8_lossy(&output.stderr));
    }
}
