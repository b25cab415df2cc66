//! What is searched of one capsule.

use kinetic_model::Urn;
use semver::Version;

use super::Field;

/// One capsule as the index sees it: its name, and texts by field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    pub(super) urn: Urn,
    pub(super) version: Version,
    pub(super) title: Option<String>,
    pub(super) description: String,
    pub(super) texts: Vec<(Field, String)>,
}

impl Document {
    /// A capsule that is found by its URN, its version and what it says it does.
    pub fn new(urn: Urn, version: Version, description: impl Into<String>) -> Self {
        let description = description.into();
        let texts = vec![
            (Field::Urn, urn.to_string()),
            (Field::Version, version.to_string()),
            (Field::Description, description.clone()),
        ];
        Self {
            urn,
            version,
            title: None,
            description,
            texts,
        }
    }

    /// With a short name for people.
    #[must_use]
    pub fn titled(mut self, title: impl Into<String>) -> Self {
        let title = title.into();
        self.texts.push((Field::Title, title.clone()));
        self.title = Some(title);
        self
    }

    /// With more text in a field.
    #[must_use]
    pub fn with(mut self, field: Field, text: impl Into<String>) -> Self {
        self.texts.push((field, text.into()));
        self
    }
}
