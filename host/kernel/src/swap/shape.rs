//! Whether a version offers all that the one before it offers: callers must not notice the change.

use kinetic_engine::Interface;

/// What of `before` is missing or otherwise in `after`; none when every call of `before` is one of `after`, too.
pub(crate) fn broken(before: &Interface, after: &Interface) -> Option<String> {
    before.functions.iter().find_map(|function| {
        let Some(other) = after.function(&function.name) else {
            return Some(format!("{} is gone", function.signature()));
        };
        (!function.takes_and_gives_the_same(other))
            .then(|| format!("{} became {}", function.signature(), other.signature()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinetic_engine::{Function, WitType};

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
