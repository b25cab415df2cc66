//! `kinetic topics`: makes and changes topics, shows how they do, registers schemas, gives up groups.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use kinetic_ledger::bus::SCHEMA_BYTES_MAX;
use kinetic_model::Digest;
use serde_json::{Map, Value, json};

use super::Context;
use super::state::{array, number};
use crate::client::Client;
use crate::error::{self, CliError};
use crate::render;

/// The largest file of settings, in bytes.
const SETTINGS_BYTES_MAX: u64 = 64 << 10;
/// Topics asked for at once.
const PAGE: &str = "1000";

/// Make topics, look at them, change them
///
/// A topic is a named stream of events, in partitions that each keep their order. Its name is
/// at least two words and a version, such as telemetry.metrics.v1. Without a subcommand all
/// topics are listed.
///
///     kinetic topics create telemetry.metrics.v1 --partitions 4
///     kinetic topics
///     kinetic topics show telemetry.metrics.v1
///     kinetic topics change telemetry.metrics.v1 --backpressure block
///     kinetic topics schema order.schema.json
///     kinetic topics forget telemetry.metrics.v1 billing
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Topics {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Subcommand)]
enum What {
    /// List all topics
    ///
    ///     kinetic topics list
    #[command(verbatim_doc_comment)]
    List,
    /// Show one topic by partition and group
    ///
    ///     kinetic topics show telemetry.metrics.v1
    #[command(verbatim_doc_comment)]
    Show {
        /// The topic
        name: String,
    },
    /// Make a topic; it stays for good
    ///
    ///     kinetic topics create telemetry.metrics.v1 --partitions 4
    ///     kinetic topics create ui.cursor.v1 --qos at_most_once
    ///     kinetic topics create shop.order.v1 --schema order.schema.json --critical
    #[command(verbatim_doc_comment)]
    Create {
        /// Its name: words of a-z, 0-9, _ and - joined by dots, a version at the end
        name: String,
        #[command(flatten)]
        settings: Box<Settings>,
    },
    /// Change some settings of a topic; the others stay
    ///
    ///     kinetic topics change shop.order.v1 --schema order-2.schema.json
    ///     kinetic topics change shop.order.v1 --critical=false
    #[command(verbatim_doc_comment)]
    Change {
        /// The topic
        name: String,
        #[command(flatten)]
        settings: Box<Settings>,
    },
    /// Register a JSON Schema and print its digest
    ///
    ///     kinetic topics schema order.schema.json
    #[command(verbatim_doc_comment)]
    Schema {
        /// The schema; - reads standard input
        file: PathBuf,
    },
    /// Give up a group of consumers and its positions
    ///
    ///     kinetic topics forget telemetry.metrics.v1 billing
    #[command(verbatim_doc_comment)]
    Forget {
        /// The topic
        name: String,
        /// The group
        group: String,
    },
}

/// The settings of a topic.
#[derive(Args)]
struct Settings {
    /// A JSON file of settings; those named on the command line go before it
    #[arg(long = "settings", value_name = "FILE")]
    file: Option<PathBuf>,
    /// How many partitions, for good [default: 1]
    #[arg(long, value_name = "COUNT")]
    partitions: Option<u16>,
    /// How often an event reaches a consumer [default: at_least_once]
    #[arg(long, value_parser = ["at_most_once", "at_least_once", "exactly_once"])]
    qos: Option<String>,
    /// Which events keep their order [default: per_key]
    #[arg(long, value_parser = ["none", "per_key", "causal", "total"])]
    ordering: Option<String>,
    /// What happens when the slowest consumer does not keep up; default: drop_oldest in memory, else spill
    #[arg(long, value_parser = ["default", "block", "drop_oldest", "drop_newest", "adaptive", "spill"])]
    backpressure: Option<String>,
    /// After what a publication is acknowledged; default: memory for at_most_once, else synced
    #[arg(long, value_parser = ["default", "memory", "written", "synced"])]
    durability: Option<String>,
    /// Check events against the schema when they are published
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "true|false")]
    critical: Option<bool>,
    /// The schema of the data: its digest, a file to be registered, or none
    #[arg(long, value_name = "DIGEST|FILE|none")]
    schema: Option<String>,
    /// Which schemas may follow the present one [default: backward]
    #[arg(long, value_parser = ["none", "backward", "forward", "full"])]
    compatibility: Option<String>,
    /// How repeatable its consumers are [default: none]
    #[arg(long, value_parser = ["none", "D0_bit_exact", "D1_numerically_stable", "D2_soft_deterministic", "NX_experimental"])]
    determinism: Option<String>,
    /// How many events the slowest consumer may be behind [default: 10000]
    #[arg(long, value_name = "COUNT")]
    buffer_events: Option<u32>,
    /// How many bytes a topic in memory holds [default: 64 MiB]
    #[arg(long, value_name = "BYTES")]
    buffer_bytes: Option<u64>,
    /// From this part of the buffer on publishers are held back [default: 0.8]
    #[arg(long, value_name = "PART")]
    watermark_high: Option<f64>,
    /// Down to this part of the buffer they still are [default: 0.5]
    #[arg(long, value_name = "PART")]
    watermark_low: Option<f64>,
    /// How long a publisher waits, in milliseconds [default: 5000]
    #[arg(long, value_name = "MS")]
    publish_timeout_ms: Option<u64>,
    /// How often an event is delivered before it is a dead letter; 0: without end [default: 5]
    #[arg(long, value_name = "COUNT")]
    max_deliveries: Option<u32>,
    /// How long a group has to acknowledge an event, in milliseconds [default: 30000]
    #[arg(long, value_name = "MS")]
    ack_timeout_ms: Option<u64>,
}

impl Settings {
    /// Puts these settings into those.
    async fn over(self, client: &Client, mut config: Map<String, Value>) -> anyhow::Result<Value> {
        if let Some(path) = &self.file {
            let bytes = read(path, SETTINGS_BYTES_MAX)?;
            let members: Map<String, Value> = serde_json::from_slice(&bytes).map_err(|e| CliError::File {
                path: path.display().to_string(),
                why: format!("it is not a JSON object: {e}"),
            })?;
            config.extend(members);
        }
        let schema = match self.schema {
            Some(schema) => Some(digest(client, schema).await?),
            None => None,
        };
        // What stands for no setting of one's own.
        let unless =
            |word: Option<String>, none: &str| word.map(|word| if word == none { Value::Null } else { word.into() });
        let given = [
            ("partitions", self.partitions.map(Value::from)),
            ("qos", self.qos.map(Value::from)),
            ("ordering", self.ordering.map(Value::from)),
            ("backpressure", unless(self.backpressure, "default")),
            ("durability", unless(self.durability, "default")),
            ("critical", self.critical.map(Value::from)),
            ("schema", schema),
            ("compatibility", self.compatibility.map(Value::from)),
            ("determinism", unless(self.determinism, "none")),
            ("buffer_events", self.buffer_events.map(Value::from)),
            ("buffer_bytes", self.buffer_bytes.map(Value::from)),
            ("watermark_high", self.watermark_high.map(Value::from)),
            ("watermark_low", self.watermark_low.map(Value::from)),
            ("publish_timeout_ms", self.publish_timeout_ms.map(Value::from)),
            ("max_deliveries", self.max_deliveries.map(Value::from)),
            ("ack_timeout_ms", self.ack_timeout_ms.map(Value::from)),
        ];
        config.extend(
            given
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_string(), value?))),
        );
        Ok(Value::Object(config))
    }
}

/// The digest of a schema: as it was named, or that of a file, which is registered.
async fn digest(client: &Client, schema: String) -> anyhow::Result<Value> {
    if schema == "none" {
        return Ok(Value::Null);
    }
    if schema.parse::<Digest>().is_ok() {
        return Ok(schema.into());
    }
    let registered = register(client, Path::new(&schema)).await?;
    Ok(registered.get("digest").cloned().unwrap_or_default())
}

async fn register(client: &Client, path: &Path) -> anyhow::Result<Value> {
    // One byte more, so that the host refuses it.
    client.register_schema(read(path, SCHEMA_BYTES_MAX + 1)?).await
}

fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, CliError> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(bytes_max).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(bytes_max).read_to_end(&mut bytes))
    };
    read.map_err(error::file(path))?;
    Ok(bytes)
}

const ROUTE: &str = "topics";

impl Topics {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let client = context.client(&context.load(None)?.config)?;
        super::block_on(self.what.unwrap_or(What::List).run(context, &client))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl What {
    async fn run(self, context: &Context, client: &Client) -> anyhow::Result<()> {
        match self {
            Self::List => {
                let document = all(client).await?;
                context.print(&document, || list(&document));
            }
            Self::Show { name } => {
                let document = client.get(&[ROUTE, &name], &[]).await?;
                context.print(&document, || show(&document));
            }
            Self::Create { name, settings } => {
                let config = settings.over(client, Map::new()).await?;
                let document = client
                    .post(&[ROUTE], &json!({ "name": name, "config": config }))
                    .await?;
                context.print(&document, || format!("{name} is there: {}", kind(&document)));
            }
            Self::Change { name, settings } => {
                let present = client.get(&[ROUTE, &name], &[]).await?;
                let present = present
                    .get("config")
                    .and_then(Value::as_object)
                    .cloned()
                    .unwrap_or_default();
                let config = settings.over(client, present).await?;
                let document = client.put(&[ROUTE, &name], &config).await?;
                context.print(&document, || format!("{name} is changed: {}", kind(&document)));
            }
            Self::Schema { file } => {
                let document = register(client, &file).await?;
                context.print(&document, || text(&document, "/digest").into());
            }
            Self::Forget { name, group } => {
                let document = client.delete(&[ROUTE, &name, "groups", &group], &[]).await?;
                context.print(&document, || format!("{name} has no group {group} any more"));
            }
        }
        Ok(())
    }
}

/// All topics, page by page.
async fn all(client: &Client) -> anyhow::Result<Value> {
    let mut topics = Vec::new();
    let mut query = vec![("limit", PAGE.to_string())];
    loop {
        let page = client.get(&[ROUTE], &query).await?;
        topics.extend(array(&page, "topics").iter().cloned());
        match page.get("next").and_then(Value::as_str) {
            None => return Ok(json!({ "topics": topics })),
            Some(next) => query = vec![("limit", PAGE.to_string()), ("after", next.to_string())],
        }
    }
}

fn text<'a>(document: &'a Value, pointer: &str) -> &'a str {
    document.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn count(document: &Value, name: &str) -> u64 {
    document.get(name).and_then(Value::as_u64).unwrap_or_default()
}

/// A number and its word, which gets an s unless it is one.
pub(super) fn counted(number: u64, word: &str) -> String {
    format!(
        "{} {word}{}",
        render::grouped(number),
        if number == 1 { "" } else { "s" }
    )
}

/// What a topic is, in few words.
fn kind(topic: &Value) -> String {
    let partitions = topic
        .pointer("/config/partitions")
        .and_then(Value::as_u64)
        .unwrap_or_default();
    [
        counted(partitions, "partition"),
        text(topic, "/config/qos").into(),
        text(topic, "/durability").into(),
        text(topic, "/backpressure").into(),
    ]
    .join(", ")
}

fn list(document: &Value) -> String {
    let row = |topic: &Value| {
        let groups = array(topic, "groups");
        let lag: u64 = groups.iter().map(|group| count(group, "lag")).sum();
        let mut row = vec![
            text(topic, "/name").to_string(),
            kind(topic),
            counted(count(topic, "published"), "event"),
            format!(
                "{}, lag {}",
                counted(groups.len() as u64, "group"),
                render::grouped(lag)
            ),
        ];
        let lost = [
            ("shed", count(topic, "shed")),
            ("dead letters", count(topic, "dead_letters")),
        ];
        row.extend(
            lost.iter()
                .filter(|(_, n)| *n > 0)
                .map(|(name, n)| format!("{} {name}", render::grouped(*n))),
        );
        row
    };
    let rows: Vec<Vec<String>> = array(document, "topics").iter().map(row).collect();
    if rows.is_empty() {
        "no topics; make one with `kinetic topics create`".into()
    } else {
        render::table(&rows)
    }
}

fn show(topic: &Value) -> String {
    let config = |name: &str| match topic.pointer(&format!("/config/{name}")) {
        None | Some(Value::Null) => "none".to_string(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let checked = if config("critical") == "true" { ", checked" } else { "" };
    let held = if topic.get("pressed") == Some(&Value::Bool(true)) {
        "; publishers are held back"
    } else {
        ""
    };
    let grouped = |name: &str| render::grouped(count(topic, name));
    let mut rows = vec![
        vec![
            "qos".into(),
            format!("{}, {}", config("qos"), text(topic, "/durability")),
        ],
        vec!["ordering".into(), config("ordering")],
        vec!["backpressure".into(), text(topic, "/backpressure").into()],
        vec![
            "schema".into(),
            format!("{}{checked}, followed {}", config("schema"), config("compatibility")),
        ],
        vec!["determinism".into(), config("determinism")],
        vec!["published".into(), grouped("published")],
        vec![
            "delivered".into(),
            format!("{} since the host started", grouped("delivered")),
        ],
        vec![
            "lost".into(),
            format!("{} shed, {} dead letters", grouped("shed"), grouped("dead_letters")),
        ],
        vec![
            "subscribers".into(),
            format!(
                "{}, the slowest {} behind{held}",
                grouped("subscribers"),
                grouped("level")
            ),
        ],
    ];
    for partition in array(topic, "partitions") {
        let first = partition.get("first").and_then(Value::as_u64);
        let first = first.map(|first| format!("from offset {first}, ")).unwrap_or_default();
        let name = format!("partition {}", number(partition, "partition"));
        rows.push(vec![name, format!("{first}next {}", number(partition, "next"))]);
    }
    for group in array(topic, "groups") {
        let place = |place: &Value| format!("{}:{}", number(place, "partition"), number(place, "committed"));
        let places: Vec<String> = array(group, "partitions").iter().map(place).collect();
        let lag = render::grouped(count(group, "lag"));
        rows.push(vec![
            format!("group {}", text(group, "/name")),
            format!("lag {lag}, at {}", places.join(" ")),
        ]);
    }
    format!("{}\n{}", text(topic, "/name"), render::table(&rows))
}
