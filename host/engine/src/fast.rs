//! The fast path for bytes: functions whose parameters are strings and byte lists are called with static types,
//! because wasmtime's dynamic values cost 70 to 80 ns for every single byte of a `list<u8>`.

use bytes::Bytes;
use serde_json::Value;
use wasmtime::Store;
use wasmtime::component::{ComponentNamedList, Instance, Lift, Lower};

use crate::EngineError;
use crate::capability::{Answer, Export, Input, Output, bytes_parameter, utf8};
use crate::interface::{Function, WitType};
use crate::state::CallState;
use crate::values::Converter;

/// A parameter the fast path carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Param {
    Text,
    Bytes,
}

/// A result the fast path carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ret {
    Nothing,
    Text,
    Bytes,
    U64,
    BytesOrText,
    TextOrText,
    BytesOrNothing,
}

/// The static type a function is called with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    first: Param,
    second: Option<Param>,
    ret: Ret,
}

/// Up to two arguments.
pub(crate) struct FastArguments {
    first: Bytes,
    second: Bytes,
}

fn param(ty: &WitType) -> Option<Param> {
    match ty {
        WitType::String => Some(Param::Text),
        WitType::Bytes => Some(Param::Bytes),
        _ => None,
    }
}

impl Shape {
    /// The shape of a function, if the fast path has it.
    pub(crate) fn of(function: &Function) -> Option<Self> {
        let (first, second) = match function.params.as_slice() {
            [(_, first)] => (param(first)?, None),
            [(_, first), (_, second)] => (param(first)?, Some(param(second)?)),
            _ => return None,
        };
        let ret = match &function.result {
            None => Ret::Nothing,
            Some(WitType::String) => Ret::Text,
            Some(WitType::Bytes) => Ret::Bytes,
            Some(WitType::U64) => Ret::U64,
            Some(WitType::Result { ok, err }) => match (ok.as_deref(), err.as_deref()) {
                (Some(WitType::Bytes), Some(WitType::String)) => Ret::BytesOrText,
                (Some(WitType::String), Some(WitType::String)) => Ret::TextOrText,
                (Some(WitType::Bytes), None) => Ret::BytesOrNothing,
                _ => return None,
            },
            _ => return None,
        };
        Some(Self { first, second, ret })
    }
}

/// The arguments, checked and counted. Text stays text, so that no JSON writer's bytes reach a `string` unchecked.
pub(crate) fn arguments(function: &Function, input: Input, converter: &mut Converter) -> Result<FastArguments, EngineError> {
    let (mut given, mut raw) = match input {
        Input::Json(given) => (given, None),
        Input::Bytes { bytes, rest } => {
            let (name, ty) = bytes_parameter(function, &rest)?;
            if matches!(ty, WitType::String) {
                utf8(&bytes)?;
            }
            converter.spend(bytes.len() as u64)?;
            (rest, Some((name, bytes)))
        }
    };
    let signature = || function.signature();
    let bad = |path: &str, why: String| EngineError::BadArgument { path: path.to_string(), why };
    let mut values = Vec::with_capacity(2);
    for (name, ty) in &function.params {
        if raw.as_ref().is_some_and(|(fed, _)| fed == name) {
            values.extend(raw.take().map(|(_, bytes)| bytes));
            continue;
        }
        values.push(match (ty, given.remove(name)) {
            (WitType::String, Some(Value::String(text))) => {
                converter.spend(text.len() as u64)?;
                Bytes::from(text)
            }
            (WitType::Bytes, Some(value)) => Bytes::from(converter.bytes_of(&value).map_err(|e| match e {
                EngineError::BadArgument { why, .. } => bad(name, why),
                other => other,
            })?),
            (_, Some(_)) => return Err(bad(name, "expected a string".into())),
            (_, None) => return Err(bad(name, format!("it is missing; the function takes {}", signature()))),
        });
    }
    if let Some(unknown) = given.keys().next() {
        return Err(bad(unknown, format!("there is no such parameter; the function takes {}", signature())));
    }
    let mut values = values.into_iter();
    Ok(FastArguments { first: values.next().unwrap_or_default(), second: values.next().unwrap_or_default() })
}

fn text(bytes: &Bytes) -> wasmtime::Result<&str> {
    std::str::from_utf8(bytes).map_err(Into::into)
}

/// Calls a function of this shape.
pub(crate) async fn call(
    shape: Shape,
    store: &mut Store<CallState>,
    instance: &Instance,
    export: &Export,
    arguments: FastArguments,
    output_bytes: &mut u64,
) -> wasmtime::Result<Answer> {
    let FastArguments { first, second } = &arguments;
    let ret = shape.ret;
    match (shape.first, shape.second) {
        (Param::Text, None) => returning(ret, store, instance, export, (text(first)?,), output_bytes).await,
        (Param::Bytes, None) => returning(ret, store, instance, export, (&first[..],), output_bytes).await,
        (Param::Text, Some(Param::Text)) => {
            returning(ret, store, instance, export, (text(first)?, text(second)?), output_bytes).await
        }
        (Param::Text, Some(Param::Bytes)) => {
            returning(ret, store, instance, export, (text(first)?, &second[..]), output_bytes).await
        }
        (Param::Bytes, Some(Param::Text)) => {
            returning(ret, store, instance, export, (&first[..], text(second)?), output_bytes).await
        }
        (Param::Bytes, Some(Param::Bytes)) => {
            returning(ret, store, instance, export, (&first[..], &second[..]), output_bytes).await
        }
    }
}

async fn returning<P>(
    ret: Ret,
    store: &mut Store<CallState>,
    instance: &Instance,
    export: &Export,
    params: P,
    output_bytes: &mut u64,
) -> wasmtime::Result<Answer>
where
    P: ComponentNamedList + Lower + Send + Sync,
{
    let mut text = |text: String| {
        *output_bytes += text.len() as u64;
        Output::Json(text.into())
    };
    Ok(match ret {
        Ret::Nothing => {
            typed::<P, ()>(store, instance, export, params).await?;
            Answer::Ok(Output::Json(Value::Null))
        }
        Ret::Text => Answer::Ok(text(typed::<P, (String,)>(store, instance, export, params).await?.0)),
        Ret::TextOrText => match typed::<P, (Result<String, String>,)>(store, instance, export, params).await?.0 {
            Ok(ok) => Answer::Ok(text(ok)),
            Err(err) => Answer::Err(text(err)),
        },
        Ret::U64 => {
            let number = typed::<P, (u64,)>(store, instance, export, params).await?.0;
            let value = crate::values::json(&WitType::U64, wasmtime::component::Val::U64(number), output_bytes);
            Answer::Ok(Output::Json(value.unwrap_or_default()))
        }
        Ret::Bytes => {
            let bytes = typed::<P, (Vec<u8>,)>(store, instance, export, params).await?.0;
            *output_bytes += bytes.len() as u64;
            Answer::Ok(Output::Bytes(bytes))
        }
        Ret::BytesOrText => match typed::<P, (Result<Vec<u8>, String>,)>(store, instance, export, params).await?.0 {
            Ok(bytes) => {
                *output_bytes += bytes.len() as u64;
                Answer::Ok(Output::Bytes(bytes))
            }
            Err(err) => Answer::Err(text(err)),
        },
        Ret::BytesOrNothing => match typed::<P, (Result<Vec<u8>, ()>,)>(store, instance, export, params).await?.0 {
            Ok(bytes) => {
                *output_bytes += bytes.len() as u64;
                Answer::Ok(Output::Bytes(bytes))
            }
            Err(()) => Answer::Err(Output::Json(Value::Null)),
        },
    })
}

async fn typed<P, R>(store: &mut Store<CallState>, instance: &Instance, export: &Export, params: P) -> wasmtime::Result<R>
where
    P: ComponentNamedList + Lower + Send + Sync,
    R: ComponentNamedList + Lift + Send + Sync + 'static,
{
    instance.get_typed_func::<P, R>(&mut *store, export.index)?.call_async(&mut *store, params).await
}
