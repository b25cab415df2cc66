//! From what a caller gives to what a function takes.

use kinetic_model::{Limits, Usage};
use serde_json::{Map, Value};

use crate::EngineError;
use crate::capability::{Arguments, Export, Input};
use crate::interface::{Function, WitType};
use crate::values::Converter;

/// The arguments of a call in the form its function takes them, counted.
pub(crate) fn arguments(
    export: &Export,
    input: Input,
    limits: &Limits,
    usage: &mut Usage,
) -> Result<Arguments, EngineError> {
    let mut converter = Converter::new(limits.input_bytes);
    let arguments = match (export.shape, input) {
        (Some(shape), input) => {
            Arguments::Fast(shape, crate::fast::arguments(&export.function, input, &mut converter)?)
        }
        (None, Input::Json(given)) => Arguments::Vals(converter.arguments(&export.function, given, None)?),
        (None, Input::Bytes { bytes, rest }) => {
            let (name, ty) = bytes_parameter(&export.function, &rest)?;
            let fed = converter.fed(ty, &bytes)?;
            Arguments::Vals(converter.arguments(&export.function, rest, Some((name, fed)))?)
        }
    };
    usage.input_bytes = converter.bytes();
    Ok(arguments)
}

/// The one string or `list<u8>` parameter not given by name; an optional one counts only when no plain one is left.
pub(crate) fn bytes_parameter<'a>(
    function: &'a Function,
    rest: &Map<String, Value>,
) -> Result<(&'a str, &'a WitType), EngineError> {
    let open = || function.params.iter().filter(|(name, _)| !rest.contains_key(name));
    let mut plain = open().filter(|(_, ty)| matches!(ty, WitType::String | WitType::Bytes));
    match (plain.next(), plain.next()) {
        (Some((name, ty)), None) => Ok((name, ty)),
        // Of several, bytes go to the one list<u8>.
        _ => {
            let mut bytes = open().filter(|(_, ty)| matches!(ty, WitType::Bytes));
            match (bytes.next(), bytes.next()) {
                (Some((name, ty)), None) => Ok((name, ty)),
                _ => Err(EngineError::NoBytesParameter {
                    function: function.name.clone(),
                }),
            }
        }
    }
}

pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, EngineError> {
    std::str::from_utf8(bytes).map_err(|e| EngineError::NotUtf8 {
        at_byte: e.valid_up_to() as u64,
    })
}
