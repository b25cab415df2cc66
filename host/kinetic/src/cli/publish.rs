//! `kinetic publish`: sign a built capsule and hand it to the running host or a registry; or publish events to a topic.

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use kinetic_ledger::bus::DATA_BYTES_MAX;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::Context;
use super::signed::{Signed, Signer};
use super::topics::counted;
use crate::client::Client;
use crate::data_dir::DataDir;
use crate::error::{self, CliError};
use crate::registries;

/// How much of standard input is read at once, in bytes: what comes at once goes into one commit.
const PIECE_BYTES: usize = 1 << 20;
/// The most lines of one commit.
const LINES_MAX: usize = 1_000;

/// Publish a built capsule to the running host or a registry, or with --topic an event
///
/// The capsule is signed, and the host verifies, compiles and probes it before it answers; then
/// it is active. It believes only keys that its trust root lists for the namespace.
///
/// With --dev, and a host on this machine, one command does it all: the namespace gets a key in
/// the data folder of that host, and its trust root lists it. That needs nothing but the right
/// to write that folder, which is the right to decide what the host trusts anyway; over the
/// network nobody can. A namespace that trusts somebody else's key is left alone. Later
/// publications of the namespace need no --dev. What several people signed with `kinetic sign`
/// goes with their signatures, and with one more if --key names a key.
///
///     kinetic publish word-count --dev
///     kinetic publish --key acme.pem --host https://kinetic.example.com --token-file token
///
/// With --to the signed capsule goes to a registry that `kinetic registry add` made known, and no
/// host is needed. A version that is there with other content is never replaced.
///
///     kinetic publish word-count --to acme --key acme.pem
///
/// With --via-host as well the running host takes it into its outbox, and delivers it as soon as
/// that registry takes it: also when the network is away now. `kinetic outbox` shows it. The bill
/// of materials does not go along.
///
///     kinetic publish word-count --to acme --via-host
///
/// With --into nothing is sent: component.wasm, manifest.json and receipt.json are written into
/// that folder, for a host that watches it or the folder around it (kernel.watch).
///
///     kinetic publish word-count --into capsules/word-count
///
/// With --topic the argument is the data of an event, as JSON. Without one, or with -, standard
/// input is read: one JSON value a line; lines that come at once are one record, at most 1,000.
///
///     kinetic publish --topic telemetry.metrics.v1 '{"celsius": 21.5}' --key kitchen
///     tail -f metrics.jsonl | kinetic publish --topic telemetry.metrics.v1
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Publish {
    /// The project's folder, or component.wasm in it, built before with `kinetic build` [default: .]; with --topic the data
    /// as JSON [default: -]
    #[arg(value_name = "PATH|DATA", allow_negative_numbers = true)]
    what: Option<OsString>,
    /// Make a key for the namespace and have the host on this machine trust it, if the namespace has none
    #[arg(long)]
    dev: bool,
    /// The private key to sign with [default: keys/NAMESPACE.pem in the data folder]; with --topic the event's key
    #[arg(long, value_name = "FILE|KEY", conflicts_with = "dev")]
    key: Option<OsString>,
    /// Write the signed capsule into this folder instead of sending it
    #[arg(long, value_name = "FOLDER", conflicts_with = "topic")]
    into: Option<PathBuf>,
    /// Publish the capsule to this registry instead of a host
    #[arg(long, value_name = "REGISTRY", conflicts_with_all = ["dev", "topic", "into"])]
    to: Option<String>,
    /// Have the running host deliver it to the registry, now or when that is back
    #[arg(long, requires = "to")]
    via_host: bool,
    /// Publish events to this topic instead of a capsule
    #[arg(long, value_name = "NAME", conflicts_with = "dev")]
    topic: Option<String>,
    /// The event's type [default: the topic]
    #[arg(long, value_name = "TYPE", requires = "topic")]
    r#type: Option<String>,
    /// What the event is about
    #[arg(long, requires = "topic")]
    subject: Option<String>,
}

impl Publish {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        match self.topic.clone() {
            Some(topic) => self.events(context, topic),
            None => self.capsule(context),
        }
    }

    fn capsule(&self, context: &Context) -> anyhow::Result<ExitCode> {
        let path = self.what.as_deref().map_or(Path::new("."), Path::new);
        let url = context.host_url(&context.load(None)?.config);
        let signer = Signer {
            key: self.key.as_deref().map(Path::new),
            dev: self.dev,
        };
        let signed = Signed::new(context, &url, path, &signer)?;
        if let Some(folder) = &self.into {
            return Self::lay(context, &signed, folder);
        }
        if let Some(name) = self.to.as_ref().filter(|_| self.via_host) {
            return via_host(context, &url, name, &signed);
        }
        if let Some(name) = &self.to {
            return to_registry(context, name, signed);
        }
        let published = super::block_on(signed.publish(context, &url))?;
        let (urn, signer) = (&published.urn, &signed.signer);
        let document = json!({
            "urn": urn, "version": published.version, "digest": published.digest, "signer": signer, "host": url,
        });
        context.print(&document, || {
            let version = &published.version;
            format!("{urn} {version} is active on {url}, signed by {signer}.\nSee it: kinetic inspect {urn}")
        });
        Ok(ExitCode::SUCCESS)
    }

    fn lay(context: &Context, signed: &Signed, folder: &Path) -> anyhow::Result<ExitCode> {
        signed.lay_into(folder)?;
        let (urn, version, signer) = (&signed.manifest.id, &signed.manifest.version, &signed.signer);
        let folder = folder.display().to_string();
        let document = json!({ "urn": urn, "version": version, "signer": signer, "folder": folder });
        context.print(&document, || {
            format!(
                "{urn} {version} lies in {folder}, signed by key {signer}.\nA host that watches it takes it from there."
            )
        });
        Ok(ExitCode::SUCCESS)
    }

    fn events(self, context: &Context, topic: String) -> anyhow::Result<ExitCode> {
        let data = self.what.map(|data| utf8(data, "the data")).transpose()?;
        let publishing = Publishing {
            client: context.client(&context.load(None)?.config)?,
            topic,
            key: self.key.map(|key| utf8(key, "the key")).transpose()?,
            kind: self.r#type,
            subject: self.subject,
        };
        let document = super::block_on(async {
            match data.as_deref() {
                None | Some("-") => publishing.lines(&mut std::io::stdin().lock()).await,
                Some(data) => publishing.send(&[json_value(data.as_bytes(), "the data")?]).await,
            }
        })?;
        context.print(&document, || {
            let count = |name: &str| document.get(name).and_then(Value::as_u64).unwrap_or_default();
            let events = counted(count("accepted"), "event");
            let shed = if count("shed") == 0 {
                String::new()
            } else {
                format!(", {} shed", count("shed"))
            };
            match document.get("seq").and_then(Value::as_u64) {
                Some(seq) => format!("{events}{shed}, record {seq}"),
                None => format!("{events}{shed}"),
            }
        });
        Ok(ExitCode::SUCCESS)
    }
}

fn to_registry(context: &Context, name: &str, signed: Signed) -> anyhow::Result<ExitCode> {
    let data = DataDir::existing(&context.data()?)?;
    let registry = registries::of(&data, &context.load(None)?.config)?.named(name, signed.manifest.id.namespace())?;
    let signer = signed.signer.clone();
    let (descriptor, component, sbom) = signed.into_parts();
    super::block_on(async { Ok(registry.publish(&descriptor, component, sbom).await?) })?;
    let (urn, version) = (&descriptor.urn, &descriptor.version);
    let document = json!({
        "urn": urn, "version": version, "digest": descriptor.digest, "signer": signer,
        "registry": registry.name, "place": registry.place,
    });
    context.print(&document, || {
        let label = registry.label();
        format!(
            "{urn} {version} is in {label}, signed by key {signer}.\n\
             On a host that knows the registry and the key: kinetic call {urn}"
        )
    });
    Ok(ExitCode::SUCCESS)
}

fn via_host(context: &Context, url: &str, name: &str, signed: &Signed) -> anyhow::Result<ExitCode> {
    let client = Client::new(url, context.token()?)?;
    let entry = super::block_on(signed.post(&client, name))?;
    let (urn, version, signer) = (&signed.manifest.id, &signed.manifest.version, &signed.signer);
    context.print(&entry, || {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
        format!(
            "{urn} {version}, signed by key {signer}, is {} in the outbox of {url} for {name}.\n\
             See how it stands: kinetic outbox show {}",
            text("state"),
            text("id")
        )
    });
    Ok(ExitCode::SUCCESS)
}

/// Events on their way to a topic.
struct Publishing {
    client: Client,
    topic: String,
    key: Option<String>,
    kind: Option<String>,
    subject: Option<String>,
}

/// An event as the host reads it.
#[derive(Serialize)]
struct Event<'a> {
    data: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
}

impl Publishing {
    /// Publishes these in one commit; the answer tells its record.
    async fn send(&self, data: &[&RawValue]) -> anyhow::Result<Value> {
        let events: Vec<Event<'_>> = data
            .iter()
            .map(|data| Event {
                data,
                key: self.key.as_deref(),
                kind: self.kind.as_deref(),
                subject: self.subject.as_deref(),
            })
            .collect();
        self.client.post(&["topics", &self.topic, "events"], &events).await
    }

    /// Publishes one event for each line, as they come; the answer tells the last record.
    async fn lines(&self, input: &mut impl Read) -> anyhow::Result<Value> {
        let (mut rest, mut number, mut seq) = (Vec::new(), 0_u64, Value::Null);
        let (mut accepted, mut shed) = (0, 0);
        while let Some(text) = lines_at_hand(input, &mut rest).map_err(error::file(Path::new("-")))? {
            let mut values = Vec::new();
            for line in text.split_inclusive(|byte| *byte == b'\n') {
                number += 1;
                if !line.trim_ascii().is_empty() {
                    values.push(json_value(line, &format!("line {number}"))?);
                }
            }
            for batch in values.chunks(LINES_MAX) {
                let published = self.send(batch).await?;
                let count = |name: &str| published.get(name).and_then(Value::as_u64).unwrap_or_default();
                accepted += count("accepted");
                shed += count("shed");
                seq = published.get("seq").cloned().unwrap_or_default();
            }
        }
        Ok(json!({ "seq": seq, "accepted": accepted, "shed": shed }))
    }
}

/// The whole lines that are there, or come first; at the end what is left. None when nothing is.
fn lines_at_hand(input: &mut impl Read, rest: &mut Vec<u8>) -> std::io::Result<Option<Vec<u8>>> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let count = match input.read(&mut piece) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            count => count?,
        };
        if count == 0 {
            return Ok(Some(std::mem::take(rest)).filter(|rest| !rest.is_empty()));
        }
        rest.extend_from_slice(piece.get(..count).unwrap_or_default());
        if let Some(end) = rest.iter().rposition(|byte| *byte == b'\n') {
            let behind = rest.split_off(end + 1);
            return Ok(Some(std::mem::replace(rest, behind)));
        }
        if rest.len() as u64 > DATA_BYTES_MAX {
            let why = format!("a line of more than {DATA_BYTES_MAX} bytes");
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, why));
        }
    }
}

fn utf8(text: OsString, what: &str) -> Result<String, CliError> {
    text.into_string().map_err(|_| CliError::BadArgument {
        why: format!("{what} is not UTF-8"),
    })
}

fn json_value<'a>(text: &'a [u8], what: &str) -> Result<&'a RawValue, CliError> {
    serde_json::from_slice(text).map_err(|e| CliError::BadArgument {
        why: format!("{what} is not JSON, where a text stands in quotes: {e}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_as_they_are_at_hand_and_the_last_one_needs_no_end() {
        let mut rest = Vec::new();
        let mut input = b"1\n2\n{\"a\"".chain(b":3}\n\n4".as_slice());
        let mut read = || lines_at_hand(&mut input, &mut rest).unwrap();
        assert_eq!(read().unwrap(), b"1\n2\n");
        assert_eq!(read().unwrap(), b"{\"a\":3}\n\n");
        assert_eq!(read().unwrap(), b"4");
        assert_eq!(read(), None);
        let endless = lines_at_hand(&mut std::io::repeat(b'1'), &mut Vec::new());
        assert_eq!(endless.unwrap_err().kind(), std::io::ErrorKind::InvalidData);
    }

    #[test]
    fn an_event_is_sent_with_its_data_as_it_was_written() {
        let event = Event {
            data: json_value(b"{\"n\": 1.10}", "the data").unwrap(),
            key: Some("k"),
            kind: None,
            subject: None,
        };
        assert_eq!(
            serde_json::to_string(&event).unwrap(),
            "{\"data\":{\"n\": 1.10},\"key\":\"k\"}"
        );
        assert!(
            json_value(b"hello", "the data")
                .unwrap_err()
                .to_string()
                .contains("in quotes")
        );
    }
}
