//! What stays beside a test: a command that runs on, an address that stays, a stream of server-sent events.

use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::host::{Host, binary};

/// How long a test waits for what has to come.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Under which a host that waits for somebody at its end waits far longer than [`PATIENCE`].
pub const LONG_DRAIN: [(&str, &str); 1] = [("KINETIC_HOST__DRAIN_MS", "120000")];

/// A command that runs beside the test.
pub struct Running {
    /// The process.
    pub child: Child,
    /// What it prints, line by line.
    pub lines: Receiver<String>,
}

impl Running {
    /// Starts it with JSON output, talking to a host at `url`.
    pub fn start(host: &Host, url: &str, args: &[&str]) -> Self {
        let mut command = Command::new(binary());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("KINETIC_")) {
            command.env_remove(name);
        }
        let mut child = command
            .current_dir(&host.folder)
            .env("HOME", &host.folder)
            .args(["--output", "json", "--host", url])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in out.lines() {
                let Ok(()) = send.send(line.unwrap()) else { return };
            }
        });
        Self { child, lines }
    }

    /// The next line it prints.
    pub fn line(&self) -> Value {
        serde_json::from_str(&self.lines.recv_timeout(PATIENCE).expect("a line")).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Somebody who reads a stream of server-sent events, and nothing while not asked for a frame.
pub struct Frames {
    runtime: tokio::runtime::Runtime,
    response: reqwest::Response,
    unread: String,
}

impl Frames {
    /// Opens a stream; `last` is the id that a reader who comes back had last.
    pub fn open(url: &str, last: Option<&str>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let mut request = reqwest::Client::new().get(url).header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = runtime.block_on(request.send()).unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            runtime,
            response,
            unread: String::new(),
        }
    }

    /// The next frame that is more than a heartbeat; none at the end of the stream.
    pub fn frame(&mut self) -> Option<String> {
        loop {
            if let Some((frame, rest)) = self.unread.split_once("\n\n") {
                let (frame, rest) = (frame.to_string(), rest.to_string());
                self.unread = rest;
                if frame != ":" {
                    return Some(frame);
                }
                continue;
            }
            let chunk = async {
                tokio::time::timeout(PATIENCE, self.response.chunk())
                    .await
                    .expect("a frame")
            };
            let chunk = self.runtime.block_on(chunk).unwrap()?;
            self.unread.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

/// An address behind which whoever `target` names answers.
pub fn proxy(target: Arc<Mutex<String>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for inside in listener.incoming() {
            let Ok(inside) = inside else { return };
            let address = target.lock().unwrap().trim_start_matches("http://").to_string();
            let Ok(outside) = TcpStream::connect(address) else {
                continue;
            };
            for (mut from, mut to) in [
                (inside.try_clone().unwrap(), outside.try_clone().unwrap()),
                (outside, inside),
            ] {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    });
    url
}
