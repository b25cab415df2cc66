//! Whether two functions take and give the same values: callers and callees of different origin must agree.

use crate::interface::{Function, WitType};

impl Function {
    /// Whether parameters, by name and order, and result are the same values, whatever the doc comments and the names of
    /// the types themselves say.
    pub fn takes_and_gives_the_same(&self, other: &Self) -> bool {
        let (a, b) = (self, other);
        let params = a.params.len() == b.params.len()
            && a.params
                .iter()
                .zip(&b.params)
                .all(|((a_name, a_type), (b_name, b_type))| a_name == b_name && same_type(a_type, b_type));
        params && same_option(a.result.as_ref(), b.result.as_ref())
    }
}

fn same_option(a: Option<&WitType>, b: Option<&WitType>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => same_type(a, b),
        (None, None) => true,
        _ => false,
    }
}

/// The same values, whatever the doc comments and the names of the types themselves say.
fn same_type(a: &WitType, b: &WitType) -> bool {
    use WitType::{Enum, Flags, List, Option as Opt, Record, Result as Res, Tuple, Variant};
    match (a, b) {
        (List(a), List(b)) | (Opt(a), Opt(b)) => same_type(a, b),
        (Res { ok: a_ok, err: a_err }, Res { ok: b_ok, err: b_err }) => {
            same_option(a_ok.as_deref(), b_ok.as_deref()) && same_option(a_err.as_deref(), b_err.as_deref())
        }
        (Tuple(a), Tuple(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_type(a, b)),
        (Record(a), Record(b)) => {
            a.parts.len() == b.parts.len()
                && a.parts
                    .iter()
                    .zip(&b.parts)
                    .all(|(a, b)| a.name == b.name && same_type(&a.ty, &b.ty))
        }
        (Variant(a), Variant(b)) => {
            a.parts.len() == b.parts.len()
                && a.parts
                    .iter()
                    .zip(&b.parts)
                    .all(|(a, b)| a.name == b.name && same_option(a.ty.as_ref(), b.ty.as_ref()))
        }
        (Enum(a), Enum(b)) | (Flags(a), Flags(b)) => {
            a.parts.len() == b.parts.len() && a.parts.iter().zip(&b.parts).all(|(a, b)| a.name == b.name)
        }
        (a, b) => a == b,
    }
}
