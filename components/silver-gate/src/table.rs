//! What to make of a table, as its owner declares it.

use std::collections::BTreeSet;

use crate::error::Error;

/// The most ids a table can have.
pub const IDENTITIES_MAX: usize = 16;
/// The most columns one id can be made of.
pub const KEYS_MAX: usize = 16;
/// The most columns that can be required.
pub const REQUIRED_MAX: usize = 256;
/// The longest name of a table or of a column that is added, in bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// The column that says in the rejects why a row is there.
pub const REJECT_REASON: &str = "reject_reason";

/// What happens to a value before it becomes part of a key. The column itself stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalization {
    /// Nothing.
    None,
    /// White space (Unicode's) at both ends of a text is left out.
    Trim,
    /// Trimmed, and in lower case by Unicode's simple mapping.
    Fold,
}

/// A column of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyColumn {
    /// Its name.
    pub name: String,
    /// What happens to its values first.
    pub normalize: Normalization,
}

/// An id to make: UUIDv5 of the canonical JSON array of the columns' values, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The column to add: utf8, 36 characters.
    pub column: String,
    /// Whose values it is made of, one at least.
    pub keys: Vec<KeyColumn>,
    /// Adds the id of the 0.80 line too, in a column of this name.
    pub legacy_column: Option<String>,
}

/// Which of several rows with one id stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Survivor {
    /// The first one, in the order of the batch.
    First,
    /// The one with the smallest value in this column of integers, null being largest; of those the first one.
    Smallest(String),
}

/// Leaves out rows that say the same thing again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deduplication {
    /// The id that is to be unique: the column of one of the identities.
    pub column: String,
    /// Which row stays.
    pub keep: Survivor,
}

/// What to make of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name, for the schema's metadata.
    pub name: String,
    /// The ids to make.
    pub identities: Vec<Identity>,
    /// How rows are told to be the same; none keeps all.
    pub deduplicate: Option<Deduplication>,
    /// Columns that may not be null; a row with a null there is rejected.
    pub required: Vec<String>,
}

impl Table {
    /// Whether the description fits itself.
    pub(crate) fn check(&self) -> Result<(), Error> {
        name(&self.name, "table")?;
        at_most(self.identities.len(), IDENTITIES_MAX, "ids")?;
        at_most(self.required.len(), REQUIRED_MAX, "required columns")?;
        let mut added = BTreeSet::new();
        for identity in &self.identities {
            at_most(identity.keys.len(), KEYS_MAX, "keys of one id")?;
            if identity.keys.is_empty() {
                return bad(format!(
                    "the id {:?} has no keys; declare at least one",
                    identity.column
                ));
            }
        }
        for column in self.added_columns() {
            name(column, "column of an id")?;
            if !added.insert(column) {
                return bad(format!(
                    "the column {column:?} is to be added twice; give each id its own"
                ));
            }
        }
        match &self.deduplicate {
            Some(by) if !self.identities.iter().any(|identity| identity.column == by.column) => bad(format!(
                "rows cannot be deduplicated by {:?}, which is the column of none of the ids",
                by.column
            )),
            _ => Ok(()),
        }
    }

    /// The columns to add, in order: each id's own, and behind it its legacy column.
    pub(crate) fn added_columns(&self) -> impl Iterator<Item = &str> {
        self.identities
            .iter()
            .flat_map(|identity| [Some(identity.column.as_str()), identity.legacy_column.as_deref()])
            .flatten()
    }
}

fn bad<T>(text: String) -> Result<T, Error> {
    Err(Error::BadTable(text))
}

fn name(text: &str, what: &str) -> Result<(), Error> {
    if text.is_empty() || text.len() > NAME_BYTES_MAX {
        let bytes = text.len();
        return bad(format!(
            "the name of a {what} has {bytes} bytes; 1 to {NAME_BYTES_MAX} are right"
        ));
    }
    Ok(())
}

fn at_most(count: usize, most: usize, what: &str) -> Result<(), Error> {
    if count > most {
        return bad(format!("{count} {what} are too many; at most {most}"));
    }
    Ok(())
}
