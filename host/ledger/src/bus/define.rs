//! Making and changing topics and schemas, and giving up groups.

use std::sync::Arc;

use bytes::Bytes;
use kinetic_model::Digest;

use super::config::{Compatibility, TopicConfig};
use super::control::Change;
use super::event::TopicId;
use super::schema::{SCHEMA_BYTES_MAX, Schema, apart};
use super::view::BusView;
use crate::{Durability, LedgerError};

impl BusView {
    /// Makes a topic; it is there when this returns, and for good.
    ///
    /// # Errors
    /// `InvalidTopicName`, `InvalidTopicConfig`, `NoSchema`, `TopicExists`, `TooMany`; a commit's.
    pub async fn create_topic(&self, name: &str, config: TopicConfig) -> Result<TopicId, LedgerError> {
        let _defining = self.defining.lock().await;
        self.registry.read().check_new(name, &config)?;
        let id = self.registry.read().next_id();
        let change = Change::TopicCreated {
            id,
            name: name.into(),
            config,
        };
        self.commit_control(change.control(), Durability::Synced).await?;
        Ok(id)
    }

    /// Gives a topic other settings. Its partitions stay, and it stays in memory or in the log. A schema in place of
    /// another one must be compatible as the present settings say.
    ///
    /// # Errors
    /// `NoTopic`, `InvalidTopicConfig`, `TopicFixed`, `NoSchema`, `SchemaIncompatible`; a commit's.
    pub async fn change_topic(&self, name: &str, config: TopicConfig) -> Result<(), LedgerError> {
        let _defining = self.defining.lock().await;
        let topic = self.topic(name)?;
        self.registry.read().check_config(&topic, &config)?;
        let present = topic.config();
        let mode = present.compatibility;
        let refuse = |why: String| LedgerError::SchemaIncompatible {
            topic: name.into(),
            mode: mode.as_str().into(),
            why,
        };
        match (present.schema, config.schema) {
            (Some(old), Some(new)) => {
                let schema = |digest| self.registry.read().schema(digest).map(Arc::clone);
                let (old, new) = (schema(&old)?, schema(&new)?);
                let followed = apart(move || Ok(old.followed_by(&new, mode))).await?;
                followed.map_err(refuse)?;
            }
            (Some(_), None) if matches!(mode, Compatibility::Forward | Compatibility::Full) => {
                return Err(refuse("without a schema anything is accepted".into()));
            }
            (None, Some(_)) if matches!(mode, Compatibility::Backward | Compatibility::Full) => {
                return Err(refuse("until now anything was accepted".into()));
            }
            _ => {}
        }
        let change = Change::TopicChanged { id: topic.id, config };
        self.commit_control(change.control(), Durability::Synced).await?;
        Ok(())
    }

    /// Registers a JSON Schema (draft 2020-12 unless it says otherwise; `format` is an annotation, patterns have no
    /// back references). It may refer to nothing outside itself. Registering it again changes nothing.
    ///
    /// # Errors
    /// `InvalidSchema`, `TooMany`; a commit's.
    pub async fn register_schema(&self, text: Bytes) -> Result<Digest, LedgerError> {
        if text.len() as u64 > SCHEMA_BYTES_MAX {
            return Err(LedgerError::InvalidSchema {
                why: format!("it takes {} bytes, more than {SCHEMA_BYTES_MAX}", text.len()),
            });
        }
        let _defining = self.defining.lock().await;
        let schema = Schema::new(text.clone());
        let digest = schema.digest;
        if self.registry.read().schema(&digest).is_ok() {
            return Ok(digest);
        }
        let schema = apart(move || schema.usable().map(|()| schema)).await?;
        let change = Change::SchemaRegistered { text };
        self.commit_control(change.control(), Durability::Synced).await?;
        // What was made to look at it is what checks events.
        self.registry.write().replace_schema(Arc::new(schema));
        Ok(digest)
    }

    /// The text of a schema.
    ///
    /// # Errors
    /// `NoSchema`.
    pub fn schema(&self, digest: &Digest) -> Result<Bytes, LedgerError> {
        self.registry.read().schema(digest).map(|schema| schema.text.clone())
    }

    /// The digests of all schemas.
    pub fn schemas(&self) -> Vec<Digest> {
        self.registry.read().schemas().map(|schema| schema.digest).collect()
    }

    /// Gives up a group and its positions, so that it holds back retention no more. Its subscriptions end.
    ///
    /// # Errors
    /// `NoTopic`, `NoGroup`; a commit's.
    pub async fn forget_group(&self, topic: &str, group: &str) -> Result<(), LedgerError> {
        let topic = self.topic(topic)?;
        let _joining = topic.joining.lock().await;
        topic.known_group(group)?;
        let change = Change::GroupForgotten {
            topic: topic.id,
            group: group.into(),
        };
        self.commit_control(change.control(), Durability::Synced).await?;
        Ok(())
    }
}
