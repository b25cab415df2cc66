//! The fast path the other way: imported functions of strings, byte lists and a few numbers, defined with static types, so
//! that bytes on their way to another capsule are copied and never become values one by one.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value};
use wasmtime::component::{ComponentNamedList, Lift, LinkerInstance, Lower, Val};

use crate::capability::{Answer, Input, Output};
use crate::fast::{Argument, Param, Ret, Shape};
use crate::interface::{Function, WitType};
use crate::peer::Forward;
use crate::state::CallState;
use crate::values_out::json;

/// Parameters as wasmtime lifts them.
trait Passed: ComponentNamedList + Lift + Send + Sync + 'static {
    fn arguments(self) -> Vec<Argument>;
}

/// Results as wasmtime lowers them.
trait Given: ComponentNamedList + Lower + Send + Sync + Sized + 'static {
    /// The answer, if it is of this type.
    fn of(answer: Answer) -> Option<Self>;
}

impl From<String> for Argument {
    fn from(text: String) -> Self {
        Self::Raw(text.into())
    }
}

impl From<Vec<u8>> for Argument {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Raw(bytes.into())
    }
}

impl From<u32> for Argument {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<u64> for Argument {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

macro_rules! passed {
    ($(($($name:ident: $ty:ty),*)),* $(,)?) => { $(
        impl Passed for ($($ty,)*) {
            fn arguments(self) -> Vec<Argument> {
                let ($($name,)*) = self;
                vec![$($name.into()),*]
            }
        }
    )* };
}

passed! {
    (),
    (a: String),
    (a: Vec<u8>),
    (a: u32),
    (a: u64),
    (a: String, b: String),
    (a: String, b: Vec<u8>),
    (a: Vec<u8>, b: String),
    (a: Vec<u8>, b: Vec<u8>),
    (a: String, b: u32),
    (a: Vec<u8>, b: u32),
    (a: Vec<u8>, b: u32, c: u32),
}

fn text(output: Output) -> Option<String> {
    match output {
        Output::Json(Value::String(text)) => Some(text),
        _ => None,
    }
}

fn bytes(output: Output) -> Option<Vec<u8>> {
    match output {
        Output::Bytes(bytes) => Some(bytes),
        Output::Json(_) => None,
    }
}

fn only_ok(answer: Answer) -> Option<Output> {
    match answer {
        Answer::Ok(output) => Some(output),
        Answer::Err(_) => None,
    }
}

impl Given for () {
    fn of(answer: Answer) -> Option<Self> {
        only_ok(answer).map(|_| ())
    }
}

impl Given for (String,) {
    fn of(answer: Answer) -> Option<Self> {
        Some((text(only_ok(answer)?)?,))
    }
}

impl Given for (Vec<u8>,) {
    fn of(answer: Answer) -> Option<Self> {
        Some((bytes(only_ok(answer)?)?,))
    }
}

impl Given for (u64,) {
    fn of(answer: Answer) -> Option<Self> {
        let number = match only_ok(answer)? {
            Output::Json(Value::Number(number)) => number.as_u64(),
            // Above what a double holds exactly a number is written as text.
            Output::Json(Value::String(number)) => number.parse().ok(),
            _ => None,
        };
        Some((number?,))
    }
}

impl Given for (Result<Vec<u8>, String>,) {
    fn of(answer: Answer) -> Option<Self> {
        Some((match answer {
            Answer::Ok(output) => Ok(bytes(output)?),
            Answer::Err(output) => Err(text(output)?),
        },))
    }
}

impl Given for (Result<String, String>,) {
    fn of(answer: Answer) -> Option<Self> {
        Some((match answer {
            Answer::Ok(output) => Ok(text(output)?),
            Answer::Err(output) => Err(text(output)?),
        },))
    }
}

impl Given for (Result<Vec<u8>, ()>,) {
    fn of(answer: Answer) -> Option<Self> {
        Some((match answer {
            Answer::Ok(output) => Ok(bytes(output)?),
            Answer::Err(_) => Err(()),
        },))
    }
}

/// Defines an imported function of this shape.
pub(crate) fn define(
    shape: Shape,
    instance: &mut LinkerInstance<'_, CallState>,
    forward: Arc<Forward>,
) -> wasmtime::Result<()> {
    use Param::{Bytes as B, Text as T, U32, U64};
    type Bytes = Vec<u8>;
    let ret = shape.ret;
    match shape.params {
        [] => returning::<()>(ret, instance, forward),
        [T] => returning::<(String,)>(ret, instance, forward),
        [B] => returning::<(Bytes,)>(ret, instance, forward),
        [U32] => returning::<(u32,)>(ret, instance, forward),
        [U64] => returning::<(u64,)>(ret, instance, forward),
        [T, T] => returning::<(String, String)>(ret, instance, forward),
        [T, B] => returning::<(String, Bytes)>(ret, instance, forward),
        [B, T] => returning::<(Bytes, String)>(ret, instance, forward),
        [B, B] => returning::<(Bytes, Bytes)>(ret, instance, forward),
        [T, U32] => returning::<(String, u32)>(ret, instance, forward),
        [B, U32] => returning::<(Bytes, u32)>(ret, instance, forward),
        [B, U32, U32] => returning::<(Bytes, u32, u32)>(ret, instance, forward),
        _ => Err(wasmtime::format_err!("a shape without a static type")),
    }
}

fn returning<P: Passed>(
    ret: Ret,
    instance: &mut LinkerInstance<'_, CallState>,
    forward: Arc<Forward>,
) -> wasmtime::Result<()> {
    match ret {
        Ret::Nothing => typed::<P, ()>(instance, forward),
        Ret::Text => typed::<P, (String,)>(instance, forward),
        Ret::Bytes => typed::<P, (Vec<u8>,)>(instance, forward),
        Ret::U64 => typed::<P, (u64,)>(instance, forward),
        Ret::BytesOrText => typed::<P, (Result<Vec<u8>, String>,)>(instance, forward),
        Ret::TextOrText => typed::<P, (Result<String, String>,)>(instance, forward),
        Ret::BytesOrNothing => typed::<P, (Result<Vec<u8>, ()>,)>(instance, forward),
    }
}

fn typed<P: Passed, R: Given>(
    instance: &mut LinkerInstance<'_, CallState>,
    forward: Arc<Forward>,
) -> wasmtime::Result<()> {
    let name = forward.function().export.clone();
    instance.func_wrap_async(&name, move |mut store, params: P| {
        let forward = forward.clone();
        Box::new(async move {
            let input = input(forward.function(), params.arguments());
            let answer = forward.ask(store.data_mut(), input).await?;
            R::of(answer).ok_or_else(|| wasmtime::format_err!("the answer is not of its type"))
        })
    })
}

/// The arguments as any caller gives them: the bytes beside the JSON, or the text when there are no bytes.
fn input(function: &Function, arguments: Vec<Argument>) -> Input {
    let is = |wanted: &WitType| function.params.iter().position(|(_, ty)| ty == wanted);
    let fed_at = is(&WitType::Bytes).or_else(|| is(&WitType::String));
    let (mut rest, mut fed) = (Map::new(), None);
    for (at, ((name, ty), argument)) in function.params.iter().zip(arguments).enumerate() {
        let value = match (ty, argument) {
            (_, Argument::Raw(raw)) if fed_at == Some(at) => {
                fed = Some(raw);
                continue;
            }
            (WitType::Bytes, Argument::Raw(raw)) => BASE64.encode(&raw).into(),
            (_, Argument::Raw(raw)) => String::from_utf8_lossy(&raw).into_owned().into(),
            (WitType::U32, Argument::Number(number)) => number.into(),
            (_, Argument::Number(number)) => json(&WitType::U64, Val::U64(number), &mut 0).unwrap_or_default(),
        };
        rest.insert(name.clone(), value);
    }
    match fed {
        Some(bytes) => Input::Bytes { bytes, rest },
        None => Input::Json(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(params: &[(&str, WitType)]) -> Function {
        Function {
            name: "f".into(),
            instance: None,
            export: "f".into(),
            docs: None,
            params: params.iter().map(|(name, ty)| ((*name).into(), ty.clone())).collect(),
            result: None,
        }
    }

    #[test]
    fn bytes_go_beside_the_json_and_text_does_where_there_are_none() {
        let both = function(&[("name", WitType::String), ("body", WitType::Bytes)]);
        let Input::Bytes { bytes, rest } = input(&both, vec!["n".to_string().into(), vec![0_u8, 255].into()]) else {
            panic!("no bytes")
        };
        assert_eq!(&bytes[..], [0, 255]);
        assert_eq!(rest["name"], "n");
        let text = function(&[("name", WitType::String), ("count", WitType::U32)]);
        let Input::Bytes { bytes, rest } = input(&text, vec!["n".to_string().into(), 7_u32.into()]) else {
            panic!("no text")
        };
        assert_eq!((&bytes[..], &rest["count"]), (&b"n"[..], &7.into()));
    }

    #[test]
    fn an_answer_of_another_type_is_none() {
        assert_eq!(
            <(u64,)>::of(Answer::Ok(Output::Json("18446744073709551615".into()))),
            Some((u64::MAX,))
        );
        assert_eq!(<(String,)>::of(Answer::Err(Output::Json("x".into()))), None);
        assert_eq!(<(Vec<u8>,)>::of(Answer::Ok(Output::Json("x".into()))), None);
    }
}
