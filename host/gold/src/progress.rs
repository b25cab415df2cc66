//! How far gold is, in a file beside the tables that is written after them: what does not fit it is computed anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use kinetic_model::Digest;
use serde::{Deserialize, Serialize};

use crate::index::Index;
use crate::settings::Prices;
use crate::{CAPABILITIES, GoldError, METRICS, USAGE_GRAPH, write};

/// The file's name.
const FILE: &str = ".progress.json";
/// The version of the tables, of how they are computed and of this file: another one makes everything anew.
const VERSION: u32 = 1;

/// The digests of tables, by name.
pub(crate) type Digests = BTreeMap<String, Digest>;

/// What the tables in the folder are made of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Progress {
    version: u32,
    prices: Digest,
    pub(crate) tables: Digests,
    pub(crate) index: Index,
}

impl Progress {
    /// Reads it; none when there is none, or when the tables are not those it tells of.
    pub(crate) fn load(folder: &Path, prices: &Prices) -> Option<Self> {
        let progress: Self = serde_json::from_slice(&fs::read(folder.join(FILE)).ok()?).ok()?;
        let fits = progress.version == VERSION
            && progress.prices == digest(prices)?
            && [METRICS, USAGE_GRAPH, CAPABILITIES].iter().all(|name| {
                let bytes = fs::read(folder.join(name));
                bytes.is_ok_and(|bytes| progress.tables.get(*name) == Some(&Digest::of(&bytes)))
            });
        fits.then_some(progress)
    }

    /// Writes the tables that are not there already, and then how far they are.
    pub(crate) fn save(
        there: &Digests,
        folder: &Path,
        prices: &Prices,
        index: Index,
        tables: [(&str, Vec<u8>); 3],
    ) -> Result<(), GoldError> {
        write::folder(folder)?;
        let mut digests = Digests::new();
        for (name, bytes) in tables {
            let digest = Digest::of(&bytes);
            if there.get(name) != Some(&digest) {
                write::file(folder, name, &bytes)?;
            }
            digests.insert(name.to_owned(), digest);
        }
        let progress = digest(prices).map(|prices| Self {
            version: VERSION,
            prices,
            tables: digests,
            index,
        });
        let bytes = progress.and_then(|progress| serde_json::to_vec(&progress).ok());
        let bytes = bytes.ok_or_else(|| GoldError::Compute {
            what: "write down how far they are".into(),
            why: "it is no JSON".into(),
        })?;
        write::file(folder, FILE, &bytes)
    }
}

/// Prices as text are compared, since numbers may come back from it with another last bit.
fn digest(prices: &Prices) -> Option<Digest> {
    Some(Digest::of(&serde_json::to_vec(prices).ok()?))
}
