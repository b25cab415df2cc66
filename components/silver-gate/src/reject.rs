//! Why a row cannot be accepted.

use arrow_array::Array as _;

use crate::ipc::{Batch, Column};
use crate::name::ID_NAME_BYTES_MAX;

/// Why a row cannot be accepted, by places in the table's description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The column that stands here among the required ones is null.
    Null { required: usize },
    /// The name of the id that stands here is too long.
    NameTooLong { identity: usize },
}

/// The reasons of a batch's rows: the first that was found for each.
pub(crate) struct Reasons {
    rows: usize,
    /// Empty as long as there are none, and in most batches there are none.
    by_row: Vec<Option<Reason>>,
}

impl Reasons {
    /// The rows of a batch that have a null in a required column, given by its places in the batch.
    pub(crate) fn nulls(batch: &Batch, required: &[usize]) -> Self {
        let mut reasons = Self {
            rows: batch.rows,
            by_row: Vec::new(),
        };
        for (place, column) in required.iter().enumerate() {
            // Columns of type null have nulls, but no bitmap of them; those of plain text have neither.
            let nulls = match batch.columns.get(*column) {
                Some(Column::Array(array)) => array.logical_nulls(),
                Some(Column::Texts(_)) | None => None,
            };
            for (row, valid) in nulls
                .iter()
                .filter(|nulls| nulls.null_count() > 0)
                .flatten()
                .enumerate()
            {
                if !valid {
                    reasons.add(row, Reason::Null { required: place });
                }
            }
        }
        reasons
    }

    /// Adds the rows whose name for an id is too long.
    pub(crate) fn too_long(&mut self, identity: usize, rows: &[usize]) {
        for row in rows {
            self.add(*row, Reason::NameTooLong { identity });
        }
    }

    fn add(&mut self, row: usize, reason: Reason) {
        self.by_row.resize(self.rows, None);
        if let Some(place) = self.by_row.get_mut(row) {
            place.get_or_insert(reason);
        }
    }

    /// A row's reason, if it has one.
    pub(crate) fn of(&self, row: usize) -> Option<Reason> {
        self.by_row.get(row).copied().flatten()
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_row.is_empty()
    }

    /// All reasons, in the order of the rows.
    pub(crate) fn all(&self) -> impl Iterator<Item = Reason> {
        self.by_row.iter().flatten().copied()
    }
}

impl Reason {
    /// The reason in words.
    pub(crate) fn text(self, table: &crate::table::Table) -> String {
        match self {
            Self::Null { required } => {
                let column = table.required.get(required).map_or("", String::as_str);
                format!("the column {column:?} is null")
            }
            Self::NameTooLong { identity } => {
                let column = table.identities.get(identity).map_or("", |identity| &identity.column);
                format!("the keys of {column:?} take more than {ID_NAME_BYTES_MAX} bytes")
            }
        }
    }
}
