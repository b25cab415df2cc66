//! Which events somebody wants to see.

use std::collections::BTreeSet;

use super::topic::TopicPattern;
use crate::MedallionError;
use crate::event::PRIORITY_MAX;

/// The most topics and workflows of one filter.
pub const FILTER_TERMS_MAX: usize = 64;

/// A choice of events; the default is all of them. Topics, workflows and priorities that are named must all fit; of
/// several topics or workflows one suffices.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Filter {
    topics: BTreeSet<TopicPattern>,
    workflows: BTreeSet<String>,
    /// Bit N: events of priority N are wanted.
    priorities: u8,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            topics: BTreeSet::new(),
            workflows: BTreeSet::new(),
            priorities: u8::MAX,
        }
    }
}

impl Filter {
    /// Also events of topics that fit this pattern, and no others but those named so.
    ///
    /// # Errors
    /// [`MedallionError::BadFilter`] for what is no pattern, and for one term too many.
    pub fn topic(mut self, pattern: &str) -> Result<Self, MedallionError> {
        self.topics.insert(TopicPattern::parse(pattern)?);
        self.bounded()
    }

    /// Also events of this workflow, and no others but those named so.
    ///
    /// # Errors
    /// [`MedallionError::BadFilter`] for one term too many.
    pub fn workflow(mut self, workflow_id: &str) -> Result<Self, MedallionError> {
        self.workflows.insert(workflow_id.into());
        self.bounded()
    }

    /// No events below this priority, 0 to 4.
    ///
    /// # Errors
    /// [`MedallionError::BadFilter`] for another number, and when no priority is left.
    pub fn priority_min(mut self, priority: u8) -> Result<Self, MedallionError> {
        self.priorities &= u8::MAX << known(priority)?;
        self.bounded()
    }

    /// Only events of these priorities, 0 to 4.
    ///
    /// # Errors
    /// As [`Filter::priority_min`].
    pub fn priorities(mut self, priorities: impl IntoIterator<Item = u8>) -> Result<Self, MedallionError> {
        let mut wanted = 0;
        for priority in priorities {
            wanted |= 1_u8 << known(priority)?;
        }
        self.priorities &= wanted;
        self.bounded()
    }

    /// Whether every event is wanted.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn takes_topic(&self, topic: &str) -> bool {
        self.topics.is_empty() || self.topics.iter().any(|pattern| pattern.matches(topic))
    }

    pub(super) fn takes_workflow(&self, workflow_id: Option<&str>) -> bool {
        self.workflows.is_empty() || workflow_id.is_some_and(|id| self.workflows.contains(id))
    }

    pub(super) const fn takes_priority(&self, priority: u8) -> bool {
        match 1_u8.checked_shl(priority as u32) {
            Some(bit) => self.priorities & bit != 0,
            None => false,
        }
    }

    fn bounded(self) -> Result<Self, MedallionError> {
        if self.topics.len() + self.workflows.len() > FILTER_TERMS_MAX {
            return Err(MedallionError::BadFilter {
                what: "it".into(),
                why: format!("it names more than {FILTER_TERMS_MAX} topics and workflows"),
            });
        }
        if self.priorities == 0 {
            return Err(MedallionError::BadFilter {
                what: "it".into(),
                why: "no priority is left that it takes".into(),
            });
        }
        Ok(self)
    }
}

fn known(priority: u8) -> Result<u8, MedallionError> {
    if priority > PRIORITY_MAX {
        return Err(MedallionError::BadFilter {
            what: format!("priority {priority}"),
            why: format!("priorities are 0 to {PRIORITY_MAX}"),
        });
    }
    Ok(priority)
}
