//! WIT values to JSON, by the component's own types; what they take is counted on the way.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Number, Value};
use wasmtime::component::Val;

use crate::interface::WitType;
use crate::schema::SAFE_INTEGER_MAX;

/// JSON from a value the component returned, and its size in bytes as it lay in the guest.
///
/// Returns nothing where the value is not of the type, which the engine has already checked.
pub(crate) fn json(ty: &WitType, val: Val, bytes: &mut u64) -> Option<Value> {
    let mut sized = |value: Value, size: u64| {
        *bytes += size;
        Some(value)
    };
    match (ty, val) {
        (WitType::Bool, Val::Bool(v)) => sized(v.into(), 1),
        (WitType::U8, Val::U8(v)) => sized(v.into(), 1),
        (WitType::U16, Val::U16(v)) => sized(v.into(), 2),
        (WitType::U32, Val::U32(v)) => sized(v.into(), 4),
        (WitType::U64, Val::U64(v)) => sized(
            if v > SAFE_INTEGER_MAX {
                v.to_string().into()
            } else {
                v.into()
            },
            8,
        ),
        (WitType::S8, Val::S8(v)) => sized(v.into(), 1),
        (WitType::S16, Val::S16(v)) => sized(v.into(), 2),
        (WitType::S32, Val::S32(v)) => sized(v.into(), 4),
        (WitType::S64, Val::S64(v)) => sized(
            if v.unsigned_abs() > SAFE_INTEGER_MAX {
                v.to_string().into()
            } else {
                v.into()
            },
            8,
        ),
        (WitType::F32, Val::Float32(v)) => sized(json_f32(v), 4),
        (WitType::F64, Val::Float64(v)) => sized(json_float(v), 8),
        (WitType::Char, Val::Char(v)) => sized(v.to_string().into(), 4),
        (WitType::String, Val::String(v)) => {
            let size = v.len() as u64;
            sized(v.into(), size)
        }
        (WitType::Bytes, Val::List(items)) => {
            let raw: Option<Vec<u8>> = items
                .into_iter()
                .map(|item| if let Val::U8(byte) = item { Some(byte) } else { None })
                .collect();
            let raw = raw?;
            sized(BASE64.encode(&raw).into(), raw.len() as u64)
        }
        (WitType::List(inner), Val::List(items)) => Some(Value::Array(
            items
                .into_iter()
                .map(|item| json(inner, item, bytes))
                .collect::<Option<_>>()?,
        )),
        (WitType::Option(_), Val::Option(None)) => sized(Value::Null, 1),
        (WitType::Option(inner), Val::Option(Some(val))) => {
            let value = json(inner, *val, bytes)?;
            Some(if inner.nullable() { member("some", value) } else { value })
        }
        (WitType::Result { ok, .. }, Val::Result(Ok(val))) => {
            Some(member("ok", json_payload(ok.as_deref(), val, bytes)?))
        }
        (WitType::Result { err, .. }, Val::Result(Err(val))) => {
            Some(member("err", json_payload(err.as_deref(), val, bytes)?))
        }
        (WitType::Tuple(types), Val::Tuple(vals)) => Some(Value::Array(
            types
                .iter()
                .zip(vals)
                .map(|(ty, val)| json(ty, val, bytes))
                .collect::<Option<_>>()?,
        )),
        (WitType::Record(named), Val::Record(fields)) => {
            let mut members = Map::new();
            for (part, (name, val)) in named.parts.iter().zip(fields) {
                members.insert(name, json(&part.ty, val, bytes)?);
            }
            Some(Value::Object(members))
        }
        (WitType::Variant(named), Val::Variant(case, val)) => {
            let ty = named.part(&case)?.ty.as_ref();
            match ty {
                None => sized(case.into(), 1),
                Some(_) => Some(member(&case, json_payload(ty, val, bytes)?)),
            }
        }
        (WitType::Enum(_), Val::Enum(case)) => sized(case.into(), 1),
        (WitType::Flags(_), Val::Flags(set)) => sized(set.into(), 4),
        _ => None,
    }
}

/// The payload of one side of a result or of a case.
pub(crate) fn json_payload(ty: Option<&WitType>, val: Option<Box<Val>>, bytes: &mut u64) -> Option<Value> {
    match (ty, val) {
        (None, None) => Some(Value::Null),
        (Some(ty), Some(val)) => json(ty, *val, bytes),
        _ => None,
    }
}

fn member(name: &str, value: Value) -> Value {
    Value::Object(Map::from_iter([(name.to_string(), value)]))
}

fn json_float(float: f64) -> Value {
    Number::from_f64(float).map_or_else(
        || {
            if float.is_nan() {
                "NaN".into()
            } else if float > 0.0 {
                "Infinity".into()
            } else {
                "-Infinity".into()
            }
        },
        Value::Number,
    )
}

/// An f32 prints as the shortest decimal that is that f32, not as the f64 it widens to.
fn json_f32(float: f32) -> Value {
    let short = float.to_string().parse::<f64>().ok().filter(|short| short.is_finite());
    json_float(short.unwrap_or_else(|| f64::from(float)))
}
