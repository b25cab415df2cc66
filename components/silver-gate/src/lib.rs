//! The silver gate: ids, one row for each fact, and a reason for every row that is left out, over Arrow batches.

mod column;
mod duplicate;
mod error;
mod gate;
mod id;
mod identity;
mod ipc;
mod legacy;
mod name;
mod plan;
mod reject;
mod scan;
pub mod scheme;
mod table;
#[cfg(test)]
mod tests;
mod token;

pub use error::Error;
pub use gate::{IDS_MAX, Transformed, transform};
pub use ipc::{BATCHES_MAX, FIELDS_MAX, ROWS_MAX, STREAM_BYTES_MAX};
pub use name::ID_NAME_BYTES_MAX;
pub use table::{
    Deduplication, IDENTITIES_MAX, Identity, KEYS_MAX, KeyColumn, NAME_BYTES_MAX, Normalization, REJECT_REASON,
    REQUIRED_MAX, Survivor, Table,
};
pub use token::TOKENS_BYTES_MAX;

/// The component's side: the generated names and ours.
// wit-bindgen's output calls the canonical ABI through raw pointers, and its names carry no docs of their own.
#[allow(unsafe_code, missing_docs, clippy::all, clippy::pedantic)]
mod bindings {
    wit_bindgen::generate!({ path: "../../wit/kinetic-silver", world: "silver-gate" });

    use exports::kinetic::silver::gate as wit;

    struct Gate;

    impl wit::Guest for Gate {
        fn identity_scheme() -> wit::Scheme {
            wit::Scheme {
                name: crate::scheme::NAME.into(),
                version: crate::scheme::VERSION.into(),
                namespace: crate::scheme::NAMESPACE.into(),
            }
        }

        fn transform(table: wit::Table, batch: Vec<u8>) -> Result<wit::Transformed, wit::Error> {
            let made = crate::transform(&table.into(), batch)?;
            Ok(wit::Transformed {
                rows: made.rows,
                accepted_rows: made.accepted_rows,
                duplicates: made.duplicates,
                rejected_rows: made.rejected_rows,
                accepted: made.accepted,
                rejected: made.rejected,
            })
        }
    }

    impl From<wit::Table> for crate::Table {
        fn from(table: wit::Table) -> Self {
            Self {
                name: table.name,
                identities: table.identities.into_iter().map(Into::into).collect(),
                deduplicate: table.deduplicate.map(|by| crate::Deduplication {
                    column: by.column,
                    keep: match by.keep {
                        wit::Survivor::First => crate::Survivor::First,
                        wit::Survivor::Smallest(column) => crate::Survivor::Smallest(column),
                    },
                }),
                required: table.required,
            }
        }
    }

    impl From<wit::Identity> for crate::Identity {
        fn from(identity: wit::Identity) -> Self {
            let key = |key: wit::KeyColumn| crate::KeyColumn {
                name: key.name,
                normalize: match key.normalize {
                    wit::Normalization::None => crate::Normalization::None,
                    wit::Normalization::Trim => crate::Normalization::Trim,
                    wit::Normalization::Fold => crate::Normalization::Fold,
                },
            };
            Self {
                column: identity.column,
                keys: identity.keys.into_iter().map(key).collect(),
                legacy_column: identity.legacy_column,
            }
        }
    }

    impl From<crate::Error> for wit::Error {
        fn from(error: crate::Error) -> Self {
            match error {
                crate::Error::BadBatch(text) => Self::BadBatch(text),
                crate::Error::BadTable(text) => Self::BadTable(text),
                crate::Error::TooLarge { bytes, bytes_max } => Self::TooLarge((bytes, bytes_max)),
                crate::Error::Other(text) => Self::Other(text),
            }
        }
    }

    // The names of exported interfaces are no symbols that other linkers know.
    #[cfg(target_arch = "wasm32")]
    export!(Gate);
}
