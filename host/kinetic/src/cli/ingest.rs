//! `kinetic ingest`: brings files of telemetry into a running host, or into a data folder alone.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{IsTerminal as _, Read, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use kinetic_medallion::event::Framing;
use kinetic_medallion::pipeline::{Pipeline, Pusher};
use serde_json::{Map, Value};

use super::{Context, Place};
use crate::client::Client;
use crate::error;
use crate::{render, telemetry};

/// How much is read at once, in bytes.
const PIECE_BYTES: usize = 256 << 10;
/// Pieces that wait to be sent.
const PIECES_WAITING: usize = 8;
/// Rejects shown of a file.
const REJECTS_SHOWN: usize = 10;
/// How often the progress is shown anew.
const SHOW_EVERY: Duration = Duration::from_millis(200);

/// Bring telemetry into the host: files of JSON, one event a line or an array
///
/// Events are OpenAI-style stream chunks, JSON-RPC messages, records of calls, CloudEvents or
/// envelopes around any of these; whatever else is JSON is kept whole. They go through the
/// stream buffer to bronze and through the silver gate to silver; `kinetic gold` shows what they
/// add up to. What cannot be read is kept as rejects, with the reason.
///
/// With --data alone no host is needed, and none may be running on that folder.
///
///     kinetic ingest tests/data/llm-stream.jsonl
///     kinetic ingest monday.jsonl tuesday.jsonl --data ./data
///     curl -sN https://llm.example.com/stream | kinetic ingest -
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Ingest {
    /// The files; - reads standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

impl Ingest {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let sources = self
            .files
            .iter()
            .map(Source::open)
            .collect::<anyhow::Result<Vec<_>>>()?;
        let started = Instant::now();
        let document = super::block_on(async {
            match context.place()? {
                Place::Host(client) => into_host(&client, sources).await,
                Place::Here(config, data) => {
                    telemetry::alone(&config, &data, async |running| {
                        into_pipeline(running.pipeline(), sources).await
                    })
                    .await
                }
            }
        })?;
        context.print(&document, || text(&document, started.elapsed()));
        Ok(ExitCode::SUCCESS)
    }
}

/// One file on its way.
struct Source {
    name: String,
    size_bytes: Option<u64>,
    framing: Framing,
    reader: Box<dyn Read + Send>,
}

impl Source {
    fn open(path: &PathBuf) -> anyhow::Result<Self> {
        if path.as_os_str() == "-" {
            return Ok(Self {
                name: "standard input".into(),
                size_bytes: None,
                framing: Framing::Lines,
                reader: Box::new(std::io::stdin()),
            });
        }
        let file = File::open(path).map_err(error::file(path))?;
        let metadata = file.metadata().map_err(error::file(path))?;
        let is_document = path.extension().is_some_and(|extension| extension == "json");
        Ok(Self {
            name: path.display().to_string(),
            size_bytes: metadata.is_file().then_some(metadata.len()),
            framing: if is_document { Framing::Document } else { Framing::Lines },
            reader: Box::new(file),
        })
    }

    /// Reads on a thread of its own, so that a slow disk or a slow pipe holds up nothing else.
    fn pieces(self, progress: &Arc<Progress>) -> tokio::sync::mpsc::Receiver<std::io::Result<Bytes>> {
        let (sender, receiver) = tokio::sync::mpsc::channel(PIECES_WAITING);
        let (mut reader, progress) = (self.reader, progress.clone());
        tokio::task::spawn_blocking(move || {
            loop {
                let mut piece = vec![0; PIECE_BYTES];
                let read = reader.read(&mut piece).map(|bytes| {
                    piece.truncate(bytes);
                    progress.read.fetch_add(bytes as u64, Ordering::Relaxed);
                    Bytes::from(piece)
                });
                let last = read.as_ref().map_or(true, Bytes::is_empty);
                if matches!(&read, Ok(piece) if piece.is_empty()) || sender.blocking_send(read).is_err() || last {
                    return;
                }
            }
        });
        receiver
    }
}

/// How far a file is, shown where a person looks.
struct Progress {
    read: AtomicU64,
    done: AtomicBool,
}

impl Progress {
    fn show(source: &Source) -> Arc<Self> {
        let progress = Arc::new(Self {
            read: AtomicU64::new(0),
            done: AtomicBool::new(false),
        });
        if std::io::stderr().is_terminal() {
            let (shown, name, size_bytes) = (progress.clone(), source.name.clone(), source.size_bytes);
            std::thread::spawn(move || shown.run(&name, size_bytes));
        }
        progress
    }

    fn run(&self, name: &str, size_bytes: Option<u64>) {
        const WIDTH: u64 = 30;
        let started = Instant::now();
        loop {
            let done = self.done.load(Ordering::Relaxed);
            let read = self.read.load(Ordering::Relaxed);
            let seconds = started.elapsed().as_secs_f64().max(0.001);
            #[expect(clippy::cast_precision_loss, reason = "it is shown in megabytes")]
            let (megabytes, pace) = (read as f64 / 1e6, read as f64 / 1e6 / seconds);
            let bar = size_bytes.map_or_else(String::new, |size| {
                let full = (read * WIDTH).checked_div(size).unwrap_or(WIDTH).min(WIDTH);
                let percent = (read * 100).checked_div(size).unwrap_or(100).min(100);
                let (full, rest) = ("#".repeat(usize::try_from(full).unwrap_or(0)), WIDTH - full);
                format!(
                    "[{full}{}] {percent:3} %  ",
                    ".".repeat(usize::try_from(rest).unwrap_or(0))
                )
            });
            let end = if done { "\n" } else { "" };
            let _ = write!(
                std::io::stderr(),
                "\r{name}  {bar}{megabytes:.1} MB  {pace:.1} MB/s {end}"
            );
            if done {
                return;
            }
            std::thread::sleep(SHOW_EVERY);
        }
    }

    fn end(&self) {
        self.done.store(true, Ordering::Relaxed);
        if std::io::stderr().is_terminal() {
            // The line's last state.
            std::thread::sleep(SHOW_EVERY * 2);
        }
    }
}

async fn into_host(client: &Client, sources: Vec<Source>) -> anyhow::Result<Value> {
    let mut all = Vec::new();
    for source in sources {
        let media_type = match source.framing {
            Framing::Document => "application/json",
            Framing::Lines => "application/x-ndjson",
        };
        let (name, progress) = (source.name.clone(), Progress::show(&source));
        let pushed = client.push_telemetry(media_type, source.pieces(&progress)).await;
        progress.end();
        all.push((name, pushed?));
    }
    Ok(summed(all))
}

async fn into_pipeline(pipeline: &Pipeline, sources: Vec<Source>) -> anyhow::Result<Value> {
    let mut all = Vec::new();
    for source in sources {
        let (name, progress) = (source.name.clone(), Progress::show(&source));
        let mut pusher = Pusher::new(pipeline, source.framing)?;
        let mut pieces = source.pieces(&progress);
        while let Some(piece) = pieces.recv().await {
            pusher.read(&piece.map_err(error::file(name.as_ref()))?).await?;
        }
        pusher.finish().await?;
        progress.end();
        all.push((name, serde_json::to_value(pusher.pushed())?));
    }
    pipeline.flush().await?;
    Ok(summed(all))
}

const COUNTS: [&str; 4] = ["arrived", "kept", "shed", "rejected"];

fn count(of: &Value, name: &str) -> u64 {
    of.get(name).and_then(Value::as_u64).unwrap_or_default()
}

fn summed(all: Vec<(String, Value)>) -> Value {
    let total = |name: &str| all.iter().map(|(_, of)| count(of, name)).sum::<u64>();
    let mut document: Map<String, Value> = COUNTS
        .map(|name| (name.to_string(), total(name).into()))
        .into_iter()
        .collect();
    let with_name = |(name, mut of): (String, Value)| {
        if let Some(members) = of.as_object_mut() {
            members.insert("file".into(), name.into());
        }
        of
    };
    document.insert("files".into(), all.into_iter().map(with_name).collect());
    document.into()
}

fn text(document: &Value, took: Duration) -> String {
    let mut rows: Vec<Vec<String>> = COUNTS
        .iter()
        .map(|name| vec![(*name).to_string(), render::grouped(count(document, name))])
        .collect();
    let events = u128::from(count(document, "arrived"));
    let pace = events * 1_000 / took.as_millis().max(1);
    rows.push(vec![
        "a second".into(),
        render::grouped(u64::try_from(pace).unwrap_or(u64::MAX)),
    ]);
    let mut text = render::table(&rows);
    let list = |of: &Value, name: &str| of.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let word = |of: &Value, name: &str| of.get(name).and_then(Value::as_str).unwrap_or_default().to_string();
    for file in list(document, "files") {
        for reject in list(&file, "rejects").iter().take(REJECTS_SHOWN) {
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{}: line {}: {}",
                word(&file, "file"),
                count(reject, "line"),
                word(reject, "reason")
            );
        }
    }
    text.push_str("See what it adds up to: kinetic gold");
    text
}
