//! The bus: the log by topic and partition. Total order per partition, groups of consumers, backpressure; and topics in
//! memory, for what may be lost.
//!
//! *At most once*: topics in memory; who does not keep up misses events, which are counted. *At least once*: a group
//! acknowledges what it has done, and gets again what it has not; what fails too often becomes a dead letter. *Exactly
//! once*: a consumer puts the positions ([`Subscription::offsets`]) into the commit of what came of the events; a group
//! that does not stand there any more, or has a newer subscription, has the commit refused.

mod builder;
mod cloudevents;
mod config;
mod control;
mod define;
mod delivery;
mod envelope;
mod event;
mod group;
mod partition;
mod pattern;
mod publish;
mod registry;
mod ring;
mod runs;
mod schema;
mod stats;
mod subscribe;
mod subscription;
mod syntax;
mod tail;
#[cfg(test)]
mod tests;
mod timestamp;
mod topic;
mod view;

pub use self::builder::EnvelopeBuilder;
pub use self::cloudevents::JSON_BYTES_MAX;
pub use self::config::{
    Backpressure, Compatibility, DEAD_LETTER_PREFIX, HOST_PREFIX, Ordering, PARTITIONS_MAX, Qos, TOPIC_NAME_BYTES_MAX,
    TopicConfig, check_name as check_topic_name,
};
pub use self::envelope::{ATTRIBUTE_BYTES_MAX, Attribute, DATA_BYTES_MAX, EXTENSIONS_MAX, Envelope};
pub use self::event::{Event, KEY_BYTES_MAX, NewEvent, OffsetCommit, Position, TopicId};
pub use self::group::{GROUP_NAME_BYTES_MAX, GROUPS_MAX};
pub use self::partition::partition_of;
pub use self::pattern::{ALL_SEGMENTS, ANY_SEGMENT, topic_matches};
pub use self::publish::Published;
pub use self::registry::TOPICS_MAX;
pub use self::runs::Records;
pub use self::schema::{SCHEMA_BYTES_MAX, SCHEMAS_MAX};
pub use self::stats::{GroupPartition, GroupStats, TailStats, TopicStats};
pub use self::subscribe::{Start, Subscribe};
pub use self::subscription::Subscription;
pub use self::timestamp::timestamp;
pub use self::topic::ATTACHED_MAX;
pub(crate) use self::view::Checked;
pub use self::view::{BusView, Committer};
