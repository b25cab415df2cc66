//! A table's description, looked up in the schema of a batch.

use arrow_schema::{Field, Schema};

use crate::column::check_key;
use crate::error::Error;
use crate::table::{Identity, Normalization, REJECT_REASON, Survivor, Table};

/// A table's description in places instead of names.
pub(crate) struct Plan {
    /// The columns whose values become tokens, and what happens to them first; each pair once, though many ids use it.
    pub(crate) tokens: Vec<(usize, Normalization)>,
    /// The ids to make.
    pub(crate) identities: Vec<PlannedIdentity>,
    /// The columns that may not be null.
    pub(crate) required: Vec<usize>,
    /// How many columns are added.
    pub(crate) columns: usize,
    /// Which of the added columns is to be unique, if one is.
    pub(crate) unique: usize,
    /// The column whose smallest value stays.
    pub(crate) rank: Option<usize>,
}

/// An id to make.
pub(crate) struct PlannedIdentity {
    /// Its keys' places among the tokens.
    pub(crate) tokens: Vec<usize>,
    /// Its keys' places in the batch.
    pub(crate) keys: Vec<usize>,
    /// Whether the old id is wanted as well.
    pub(crate) legacy: bool,
}

fn bad<T>(text: String) -> Result<T, Error> {
    Err(Error::BadTable(text))
}

impl Plan {
    pub(crate) fn of(table: &Table, schema: &Schema) -> Result<Self, Error> {
        for column in table.added_columns().chain([REJECT_REASON]) {
            if schema.fields().iter().any(|field| field.name() == column) {
                return bad(format!(
                    "the batch has a column {column:?} already, which the gate would add; rename it"
                ));
            }
        }
        let mut tokens = Vec::new();
        let mut identities = Vec::with_capacity(table.identities.len());
        for identity in &table.identities {
            identities.push(planned(identity, schema, &mut tokens)?);
        }
        let required = table.required.iter().map(|name| Ok(find(schema, name)?.0));
        let rank = match table.deduplicate.as_ref().map(|by| &by.keep) {
            Some(Survivor::Smallest(name)) => Some(ranking(schema, name)?),
            Some(Survivor::First) | None => None,
        };
        let unique = table
            .deduplicate
            .as_ref()
            .and_then(|by| table.added_columns().position(|column| column == by.column));
        Ok(Self {
            tokens,
            identities,
            required: required.collect::<Result<_, Error>>()?,
            columns: table.added_columns().count(),
            unique: unique.unwrap_or_default(),
            rank,
        })
    }
}

fn planned(
    identity: &Identity,
    schema: &Schema,
    tokens: &mut Vec<(usize, Normalization)>,
) -> Result<PlannedIdentity, Error> {
    let mut planned = PlannedIdentity {
        tokens: Vec::new(),
        keys: Vec::new(),
        legacy: identity.legacy_column.is_some(),
    };
    for key in &identity.keys {
        let (place, field) = find(schema, &key.name)?;
        check_key(field)?;
        planned.keys.push(place);
        let token = (place, key.normalize);
        let known = tokens.iter().position(|known| *known == token);
        planned.tokens.push(known.unwrap_or_else(|| {
            tokens.push(token);
            tokens.len() - 1
        }));
    }
    Ok(planned)
}

/// A column that there has to be once.
fn find<'a>(schema: &'a Schema, name: &str) -> Result<(usize, &'a Field), Error> {
    let mut found = schema
        .fields()
        .iter()
        .enumerate()
        .filter(|(_, field)| field.name() == name);
    match (found.next(), found.next()) {
        (Some((place, field)), None) => Ok((place, field)),
        (None, _) => bad(format!("the batch has no column {name:?}, which the table names")),
        (Some(_), Some(_)) => bad(format!(
            "the batch has several columns {name:?}; the table can only name one"
        )),
    }
}

fn ranking(schema: &Schema, name: &str) -> Result<usize, Error> {
    let (place, field) = find(schema, name)?;
    if !field.data_type().is_integer() {
        let kind = field.data_type();
        return bad(format!(
            "the column {name:?} is {kind}; the smallest of integers only can decide what stays"
        ));
    }
    Ok(place)
}
