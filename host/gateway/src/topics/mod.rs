//! The bus for people: topics and their schemas, how they do, and groups that are given up.
//!
//! Events come in through `publish` and go out through `read`, page by page, or through `stream` for as long as somebody
//! listens.

mod publish;
mod read;
pub(crate) mod schemas;
mod simple;
mod stream;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use kinetic_ledger::LedgerError;
use kinetic_ledger::bus::{GroupStats, HOST_PREFIX, TopicConfig, TopicStats};
use serde::Deserialize;
use serde_json::{Value, json};

pub(crate) use self::publish::publish;
pub(crate) use self::read::events;
use crate::GatewayError;
use crate::app::Shared;
use crate::ask::{Ask, read};
use crate::error::tame;
use crate::ledger::{apart, ledger_of};
use crate::problem::Problem;

/// Topics of a page for which nobody named a limit, and the most of one.
const TOPICS_DEFAULT: usize = 1_000;
const TOPICS_MAX: usize = 10_000;

/// A topic to be made.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    name: String,
    #[serde(default)]
    config: TopicConfig,
}

/// What both the list and a single topic show.
fn brief(stats: &TopicStats, groups: Vec<Value>) -> Value {
    json!({
        "name": stats.name,
        "config": stats.config,
        "durability": stats.config.effective_durability(),
        "backpressure": stats.config.effective_backpressure(),
        "published": stats.published,
        "delivered": stats.delivered,
        "shed": stats.shed,
        "dead_letters": stats.dead_letters,
        "subscribers": stats.subscribers,
        "level": stats.level,
        "pressed": stats.pressed,
        "groups": groups,
    })
}

fn in_brief(stats: &TopicStats) -> Value {
    let group = |group: &GroupStats| json!({ "name": group.name, "lag": group.lag });
    brief(stats, stats.groups.iter().map(group).collect())
}

fn in_full(stats: &TopicStats) -> Value {
    let group = |group: &GroupStats| {
        let place = |place: &kinetic_ledger::bus::GroupPartition| {
            json!({
                "partition": place.partition, "committed": place.committed, "epoch": place.epoch, "lag": place.lag,
            })
        };
        let partitions: Vec<Value> = group.partitions.iter().map(place).collect();
        json!({ "name": group.name, "lag": group.lag, "partitions": partitions })
    };
    let mut topic = brief(stats, stats.groups.iter().map(group).collect());
    let partition =
        |(number, head): (usize, &u64)| json!({ "partition": number, "first": stats.first.get(number), "next": head });
    let partitions: Vec<Value> = stats.heads.iter().enumerate().map(partition).collect();
    if let Some(members) = topic.as_object_mut() {
        members.insert("partitions".into(), partitions.into());
    }
    topic
}

/// `GET /api/v1/topics`: all topics by name, and how they do.
pub(crate) async fn list(State(app): State<Shared>, request: Request) -> Result<Json<Value>, Problem> {
    let ask = Ask::of(request.uri(), &["after", "limit"])?;
    let limit = ask.limit(TOPICS_DEFAULT, TOPICS_MAX)?;
    let after = ask.text("after")?.unwrap_or_default().to_string();
    // There may be many, with many groups and partitions.
    let page = apart(ledger_of(&app)?, move |ledger| {
        let mut all = ledger.bus().stats();
        all.retain(|stats| stats.name > after);
        all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let more = all.len() > limit;
        all.truncate(limit);
        let next = all.last().filter(|_| more).map(|last| last.name.clone());
        let topics: Vec<Value> = all.iter().map(in_brief).collect();
        Ok(json!({ "topics": topics, "next": next }))
    });
    Ok(Json(page.await?))
}

/// `POST /api/v1/topics`: makes one.
pub(crate) async fn create(State(app): State<Shared>, request: Request) -> Result<Response, Problem> {
    Ask::of(request.uri(), &[])?;
    let asked: Create = read(&app, request).await?;
    not_the_hosts(&asked.name)?;
    let ledger = ledger_of(&app)?;
    ledger.bus().create_topic(&asked.name, asked.config).await?;
    let topic = in_full(&ledger.bus().topic_stats(&asked.name)?);
    Ok((StatusCode::CREATED, Json(topic)).into_response())
}

/// `GET /api/v1/topics/{name}`: one topic by partition and group.
pub(crate) async fn one(State(app): State<Shared>, request: Request) -> Result<Json<Value>, Problem> {
    let ask = Ask::of(request.uri(), &[])?;
    let stats = ledger_of(&app)?.bus().topic_stats(ask.segment_text(0)?)?;
    Ok(Json(in_full(&stats)))
}

/// `PUT /api/v1/topics/{name}`: gives it other settings; those that are left out get their defaults.
pub(crate) async fn change(State(app): State<Shared>, request: Request) -> Result<Json<Value>, Problem> {
    let ask = Ask::of(request.uri(), &[])?;
    let config: TopicConfig = read(&app, request).await?;
    let (ledger, name) = (ledger_of(&app)?, ask.segment_text(0)?);
    not_the_hosts(name)?;
    ledger.bus().change_topic(name, config).await?;
    Ok(Json(in_full(&ledger.bus().topic_stats(name)?)))
}

/// `DELETE /api/v1/topics/{name}/groups/{group}`: gives up a group and its positions.
pub(crate) async fn forget(State(app): State<Shared>, request: Request) -> Result<Json<Value>, Problem> {
    let ask = Ask::of(request.uri(), &[])?;
    let (name, group) = (ask.segment_text(0)?, ask.segment_text(2)?);
    not_the_hosts(name)?;
    ledger_of(&app)?.bus().forget_group(name, group).await?;
    Ok(Json(json!({ "topic": name, "group": group })))
}

/// Refuses topics that only the host itself writes and changes.
fn not_the_hosts(name: &str) -> Result<(), GatewayError> {
    if name.starts_with(HOST_PREFIX) {
        return Err(GatewayError::HostTopic { name: tame(name) });
    }
    Ok(())
}

/// More of something in one request than there may be.
fn too_many(what: &str, max: usize) -> LedgerError {
    LedgerError::TooMany {
        what: what.into(),
        max: max as u64,
    }
}
