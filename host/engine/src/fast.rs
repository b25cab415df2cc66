//! The fast path for bytes: functions of strings, byte lists and a few numbers are called with static types, because wasmtime's dynamic values cost 70 to 80 ns for every single byte of a `list<u8>`.

use bytes::Bytes;
use serde_json::Value;
use wasmtime::Store;
use wasmtime::component::{ComponentNamedList, Instance, Lift, Lower, Val};

use crate::EngineError;
use crate::arguments::{bytes_parameter, utf8};
use crate::capability::{Answer, Export, Input, Output};
use crate::interface::{Function, WitType};
use crate::state::CallState;
use crate::values::{Converter, missing, no_unknown, within};

/// A parameter the fast path carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Param {
    Text,
    Bytes,
    U32,
    U64,
}

/// A result the fast path carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ret {
    Nothing,
    Text,
    Bytes,
    U64,
    BytesOrText,
    TextOrText,
    BytesOrNothing,
}

/// The parameter lists there are static types for. Each costs seven compiled functions, one a result, so this is a
/// list of what capabilities have, not of what could be.
const PARAMS: &[&[Param]] = &[
    &[],
    &[Param::Text],
    &[Param::Bytes],
    &[Param::U32],
    &[Param::U64],
    &[Param::Text, Param::Text],
    &[Param::Text, Param::Bytes],
    &[Param::Bytes, Param::Text],
    &[Param::Bytes, Param::Bytes],
    &[Param::Text, Param::U32],
    &[Param::Bytes, Param::U32],
    &[Param::Bytes, Param::U32, Param::U32],
];

/// The static type a function is called with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) params: &'static [Param],
    pub(crate) ret: Ret,
}

/// One argument.
pub(crate) enum Argument {
    Raw(Bytes),
    Number(u64),
}

fn param(ty: &WitType) -> Option<Param> {
    match ty {
        WitType::String => Some(Param::Text),
        WitType::Bytes => Some(Param::Bytes),
        WitType::U32 => Some(Param::U32),
        WitType::U64 => Some(Param::U64),
        _ => None,
    }
}

impl Shape {
    /// The shape of a function, if the fast path has it.
    pub(crate) fn of(function: &Function) -> Option<Self> {
        let params = function
            .params
            .iter()
            .map(|(_, ty)| param(ty))
            .collect::<Option<Vec<_>>>()?;
        let params = PARAMS.iter().find(|known| **known == params)?;
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
        Some(Self { params, ret })
    }
}

/// The arguments, checked and counted. Text stays text, so that no JSON writer's bytes reach a `string` unchecked.
pub(crate) fn arguments(
    function: &Function,
    input: Input,
    converter: &mut Converter,
) -> Result<Vec<Argument>, EngineError> {
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
    let mut values = Vec::with_capacity(function.params.len());
    for (name, ty) in &function.params {
        if raw.as_ref().is_some_and(|(fed, _)| fed == name) {
            values.extend(raw.take().map(|(_, bytes)| Argument::Raw(bytes)));
            continue;
        }
        values.push(match (ty, given.remove(name)) {
            (WitType::Bytes, Some(value)) => {
                Argument::Raw(converter.bytes_of(&value).map_err(|e| within(e, name))?.into())
            }
            (_, Some(value)) => match converter.val(ty, value, 0).map_err(|e| within(e, name))? {
                Val::String(text) => Argument::Raw(text.into()),
                Val::U32(number) => Argument::Number(number.into()),
                Val::U64(number) => Argument::Number(number),
                _ => return Err(missing(function, name)),
            },
            (_, None) => return Err(missing(function, name)),
        });
    }
    no_unknown(function, &given)?;
    Ok(values)
}

/// Reads arguments by place, as the shape says they are.
struct Args<'a>(&'a [Argument]);

impl Args<'_> {
    fn bytes(&self, at: usize) -> &[u8] {
        match self.0.get(at) {
            Some(Argument::Raw(bytes)) => bytes,
            _ => &[],
        }
    }

    fn text(&self, at: usize) -> wasmtime::Result<&str> {
        std::str::from_utf8(self.bytes(at)).map_err(Into::into)
    }

    fn u64(&self, at: usize) -> u64 {
        match self.0.get(at) {
            Some(Argument::Number(number)) => *number,
            _ => 0,
        }
    }

    fn u32(&self, at: usize) -> wasmtime::Result<u32> {
        u32::try_from(self.u64(at)).map_err(Into::into)
    }
}

/// Calls a function of this shape.
pub(crate) async fn call(
    shape: Shape,
    store: &mut Store<CallState>,
    instance: &Instance,
    export: &Export,
    arguments: Vec<Argument>,
    out: &mut u64,
) -> wasmtime::Result<Answer> {
    use Param::{Bytes as B, Text as T, U32, U64};
    let (ret, a) = (shape.ret, Args(&arguments));
    match shape.params {
        [] => returning(ret, store, instance, export, (), out).await,
        [T] => returning(ret, store, instance, export, (a.text(0)?,), out).await,
        [B] => returning(ret, store, instance, export, (a.bytes(0),), out).await,
        [U32] => returning(ret, store, instance, export, (a.u32(0)?,), out).await,
        [U64] => returning(ret, store, instance, export, (a.u64(0),), out).await,
        [T, T] => returning(ret, store, instance, export, (a.text(0)?, a.text(1)?), out).await,
        [T, B] => returning(ret, store, instance, export, (a.text(0)?, a.bytes(1)), out).await,
        [B, T] => returning(ret, store, instance, export, (a.bytes(0), a.text(1)?), out).await,
        [B, B] => returning(ret, store, instance, export, (a.bytes(0), a.bytes(1)), out).await,
        [T, U32] => returning(ret, store, instance, export, (a.text(0)?, a.u32(1)?), out).await,
        [B, U32] => returning(ret, store, instance, export, (a.bytes(0), a.u32(1)?), out).await,
        [B, U32, U32] => returning(ret, store, instance, export, (a.bytes(0), a.u32(1)?, a.u32(2)?), out).await,
        _ => Err(wasmtime::format_err!("a shape without a static type")),
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
        Ret::TextOrText => match typed::<P, (Result<String, String>,)>(store, instance, export, params)
            .await?
            .0
        {
            Ok(ok) => Answer::Ok(text(ok)),
            Err(err) => Answer::Err(text(err)),
        },
        Ret::U64 => {
            let number = typed::<P, (u64,)>(store, instance, export, params).await?.0;
            let value = crate::values_out::json(&WitType::U64, wasmtime::component::Val::U64(number), output_bytes);
            Answer::Ok(Output::Json(value.unwrap_or_default()))
        }
        Ret::Bytes => {
            let bytes = typed::<P, (Vec<u8>,)>(store, instance, export, params).await?.0;
            *output_bytes += bytes.len() as u64;
            Answer::Ok(Output::Bytes(bytes))
        }
        Ret::BytesOrText => match typed::<P, (Result<Vec<u8>, String>,)>(store, instance, export, params)
            .await?
            .0
        {
            Ok(bytes) => {
                *output_bytes += bytes.len() as u64;
                Answer::Ok(Output::Bytes(bytes))
            }
            Err(err) => Answer::Err(text(err)),
        },
        Ret::BytesOrNothing => match typed::<P, (Result<Vec<u8>, ()>,)>(store, instance, export, params)
            .await?
            .0
        {
            Ok(bytes) => {
                *output_bytes += bytes.len() as u64;
                Answer::Ok(Output::Bytes(bytes))
            }
            Err(()) => Answer::Err(Output::Json(Value::Null)),
        },
    })
}

async fn typed<P, R>(
    store: &mut Store<CallState>,
    instance: &Instance,
    export: &Export,
    params: P,
) -> wasmtime::Result<R>
where
    P: ComponentNamedList + Lower + Send + Sync,
    R: ComponentNamedList + Lift + Send + Sync + 'static,
{
    instance
        .get_typed_func::<P, R>(&mut *store, export.index()?)?
        .call_async(&mut *store, params)
        .await
}
