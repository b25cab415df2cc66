//! Changes of the bus's own definitions, as they stand in the log.

use bytes::Bytes;

use super::config::TopicConfig;
use super::event::{TopicId, partition};
use crate::wire::{Wire, malformed, put_bytes, put_u64};
use crate::{Control, LedgerError, View};

/// One change. Applying it a second time changes nothing.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    /// A topic begins. Its number is the next one.
    TopicCreated {
        id: TopicId,
        name: String,
        config: TopicConfig,
    },
    /// A topic gets other settings.
    TopicChanged { id: TopicId, config: TopicConfig },
    /// A schema can be used.
    SchemaRegistered { text: Bytes },
    /// A subscription of a group begins, and fences the earlier ones of these partitions. `starts`: where the group
    /// begins where it has no position yet.
    Joined {
        topic: TopicId,
        group: String,
        epoch: u64,
        starts: Vec<(u16, u64)>,
    },
    /// An event is delivered to a group for the `count`th time.
    Delivered {
        topic: TopicId,
        group: String,
        partition: u16,
        offset: u64,
        count: u32,
        epoch: u64,
    },
    /// So many events of the topic were shed so far.
    Shed { topic: TopicId, total: u64 },
    /// A group and its positions are given up.
    GroupForgotten { topic: TopicId, group: String },
}

const TOPIC_CREATED: u8 = 1;
const TOPIC_CHANGED: u8 = 2;
const SCHEMA_REGISTERED: u8 = 3;
const JOINED: u8 = 4;
const DELIVERED: u8 = 5;
const SHED: u8 = 6;
const GROUP_FORGOTTEN: u8 = 7;

impl Change {
    /// What a commit must hold to make this change.
    pub(super) fn control(&self) -> Control {
        Control {
            view: View::Bus,
            payload: self.encode().into(),
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::TopicCreated { id, name, config } => {
                begin(&mut out, TOPIC_CREATED, *id);
                put_bytes(&mut out, name.as_bytes());
                put_bytes(&mut out, &config.encode());
            }
            Self::TopicChanged { id, config } => {
                begin(&mut out, TOPIC_CHANGED, *id);
                put_bytes(&mut out, &config.encode());
            }
            Self::SchemaRegistered { text } => {
                out.push(SCHEMA_REGISTERED);
                put_bytes(&mut out, text);
            }
            Self::Joined {
                topic,
                group,
                epoch,
                starts,
            } => {
                begin(&mut out, JOINED, *topic);
                put_bytes(&mut out, group.as_bytes());
                put_u64(&mut out, *epoch);
                for (partition, start) in starts {
                    put_u64(&mut out, u64::from(*partition));
                    put_u64(&mut out, *start);
                }
            }
            Self::Delivered {
                topic,
                group,
                partition,
                offset,
                count,
                epoch,
            } => {
                begin(&mut out, DELIVERED, *topic);
                put_bytes(&mut out, group.as_bytes());
                put_u64(&mut out, u64::from(*partition));
                put_u64(&mut out, *offset);
                put_u64(&mut out, u64::from(*count));
                put_u64(&mut out, *epoch);
            }
            Self::Shed { topic, total } => {
                begin(&mut out, SHED, *topic);
                put_u64(&mut out, *total);
            }
            Self::GroupForgotten { topic, group } => {
                begin(&mut out, GROUP_FORGOTTEN, *topic);
                put_bytes(&mut out, group.as_bytes());
            }
        }
        out
    }

    /// Reads what `control` wrote.
    pub(super) fn decode(payload: &Bytes) -> Result<Self, LedgerError> {
        let mut wire = Wire::new(payload);
        let change = match wire.u8()? {
            TOPIC_CREATED => Self::TopicCreated {
                id: TopicId(wire.u32()?),
                name: wire.text()?.into(),
                config: TopicConfig::decode(wire.bytes()?)?,
            },
            TOPIC_CHANGED => Self::TopicChanged {
                id: TopicId(wire.u32()?),
                config: TopicConfig::decode(wire.bytes()?)?,
            },
            SCHEMA_REGISTERED => Self::SchemaRegistered {
                text: Bytes::copy_from_slice(wire.bytes()?),
            },
            JOINED => Self::Joined {
                topic: TopicId(wire.u32()?),
                group: wire.text()?.into(),
                epoch: wire.u64()?,
                starts: {
                    let mut starts = Vec::new();
                    while !wire.is_empty() {
                        starts.push((partition(&mut wire)?, wire.u64()?));
                    }
                    starts
                },
            },
            DELIVERED => Self::Delivered {
                topic: TopicId(wire.u32()?),
                group: wire.text()?.into(),
                partition: partition(&mut wire)?,
                offset: wire.u64()?,
                count: wire.u32()?,
                epoch: wire.u64()?,
            },
            SHED => Self::Shed {
                topic: TopicId(wire.u32()?),
                total: wire.u64()?,
            },
            GROUP_FORGOTTEN => Self::GroupForgotten {
                topic: TopicId(wire.u32()?),
                group: wire.text()?.into(),
            },
            _ => return Err(malformed("the bus has a change of a kind this version does not know")),
        };
        wire.end()?;
        Ok(change)
    }
}

fn begin(out: &mut Vec<u8>, tag: u8, topic: TopicId) {
    out.push(tag);
    put_u64(out, u64::from(topic.0));
}

/// The bus's changes among the controls of a commit.
pub(super) fn changes(controls: &[Control]) -> impl Iterator<Item = Result<Change, LedgerError>> {
    let ours = controls.iter().filter(|control| control.view == View::Bus);
    ours.map(|control| Change::decode(&control.payload))
}
