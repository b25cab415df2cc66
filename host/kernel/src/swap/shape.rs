//! Whether a version offers all that the one before it offers: callers must not notice the change.

use kinetic_engine::{Function, Interface, WitType};

/// What of `before` is missing or otherwise in `after`; none when every call of `before` is one of `after`, too.
pub(crate) fn broken(before: &Interface, after: &Interface) -> Option<String> {
    before.functions.iter().find_map(|function| {
        let Some(other) = after.function(&function.name) else {
            return Some(format!("{} is gone", function.signature()));
        };
        (!same(function, other)).then(|| format!("{} became {}", function.signature(), other.signature()))
    })
}

fn same(a: &Function, b: &Function) -> bool {
    let params = a.params.len() == b.params.len()
        && a.params
            .iter()
            .zip(&b.params)
            .all(|((a_name, a_type), (b_name, b_type))| a_name == b_name && same_type(a_type, b_type));
    params && same_option(a.result.as_ref(), b.result.as_ref())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn function(name: &str, param: WitType) -> Function {
        Function {
            name: name.into(),
            instance: None,
            export: name.into(),
            docs: Some("words".into()),
            params: vec![("x".into(), param)],
            result: Some(WitType::U32),
        }
    }

    fn interface(functions: Vec<Function>) -> Interface {
        Interface {
            functions,
            ..Interface::default()
        }
    }

    #[test]
    fn more_functions_and_other_words_break_nothing() {
        let before = interface(vec![function("a", WitType::Bytes)]);
        let mut other = function("a", WitType::Bytes);
        other.docs = None;
        let after = interface(vec![other, function("b", WitType::U8)]);
        assert_eq!(broken(&before, &after), None);
        assert!(broken(&after, &before).unwrap().contains("is gone"));
    }

    #[test]
    fn another_type_deep_inside_breaks_it() {
        let list = |inner: WitType| WitType::List(Box::new(WitType::Option(Box::new(inner))));
        let before = interface(vec![function("a", list(WitType::U8))]);
        let after = interface(vec![function("a", list(WitType::U16))]);
        assert!(broken(&before, &after).unwrap().contains("became"));
    }
}
