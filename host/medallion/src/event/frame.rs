//! What an OpenAI-style frame says: its first choice, its usage and its error.

use std::borrow::Cow;

use serde::de::{IgnoredAny, MapAccess, SeqAccess};
use serde_json::value::RawValue;

use super::ERROR_BYTES_MAX;
use super::json::{Loose, Scalar, Shape, keys};

/// Which of the two interfaces a frame is of.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Interface {
    /// It does not say.
    #[default]
    Unknown,
    Chat,
    Text,
}

/// `object`, of which the interface is read.
impl<'de> Shape<'de> for Interface {
    fn scalar(scalar: Scalar<'de>) -> Self {
        match scalar {
            Scalar::Text(name) if name.starts_with("chat.completion") => Self::Chat,
            Scalar::Text(name) if name == "text_completion" => Self::Text,
            _ => Self::Unknown,
        }
    }
}

/// `choices`: the first of them.
#[derive(Debug, Default)]
pub(super) struct Choices<'a> {
    pub(super) interface: Interface,
    pub(super) token: Option<Cow<'a, str>>,
    pub(super) finish_reason: Option<Cow<'a, str>>,
    pub(super) is_array: bool,
}

impl<'de> Shape<'de> for Choices<'de> {
    fn array<A: SeqAccess<'de>>(mut array: A) -> Result<Self, A::Error> {
        let first = array.next_element::<Loose<Choice<'de>>>()?;
        while array.next_element::<IgnoredAny>()?.is_some() {}
        let choice = first.map(|choice| choice.0).unwrap_or_default();
        Ok(Self {
            interface: choice.interface,
            token: choice.token,
            finish_reason: choice.finish_reason,
            is_array: true,
        })
    }
}

#[derive(Default)]
struct Choice<'a> {
    interface: Interface,
    token: Option<Cow<'a, str>>,
    finish_reason: Option<Cow<'a, str>>,
}

keys! { enum ChoiceKey { Delta = "delta", Message = "message", Text = "text", FinishReason = "finish_reason" } }

impl<'de> Shape<'de> for Choice<'de> {
    fn object<A: MapAccess<'de>>(mut object: A) -> Result<Self, A::Error> {
        let mut choice = Self::default();
        while let Some(key) = object.next_key()? {
            match key {
                ChoiceKey::Delta => {
                    choice.interface = Interface::Chat;
                    choice.token = object.next_value::<Loose<Delta<'de>>>()?.0.0;
                }
                ChoiceKey::Message => {
                    choice.interface = Interface::Chat;
                    object.next_value::<IgnoredAny>()?;
                }
                ChoiceKey::Text => {
                    choice.interface = Interface::Text;
                    choice.token = text(&mut object)?;
                }
                ChoiceKey::FinishReason => choice.finish_reason = text(&mut object)?,
                ChoiceKey::Other => {
                    object.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(choice)
    }
}

#[derive(Default)]
struct Delta<'a>(Option<Cow<'a, str>>);

keys! { enum DeltaKey { Content = "content" } }

impl<'de> Shape<'de> for Delta<'de> {
    fn object<A: MapAccess<'de>>(mut object: A) -> Result<Self, A::Error> {
        let mut delta = Self::default();
        while let Some(key) = object.next_key()? {
            match key {
                DeltaKey::Content => delta.0 = text(&mut object)?,
                DeltaKey::Other => {
                    object.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(delta)
    }
}

/// `usage`, when it is an object.
#[derive(Debug, Default)]
pub(super) struct Usage(pub(super) Option<Tokens>);

/// How many tokens a completion took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tokens {
    pub(super) prompt: Option<i64>,
    pub(super) completion: Option<i64>,
    pub(super) cached: Option<i64>,
}

keys! { enum UsageKey { Prompt = "prompt_tokens", Completion = "completion_tokens", Details = "prompt_tokens_details" } }

impl<'de> Shape<'de> for Usage {
    fn object<A: MapAccess<'de>>(mut object: A) -> Result<Self, A::Error> {
        let mut tokens = Tokens::default();
        while let Some(key) = object.next_key()? {
            match key {
                UsageKey::Prompt => tokens.prompt = whole(&mut object)?,
                UsageKey::Completion => tokens.completion = whole(&mut object)?,
                UsageKey::Details => tokens.cached = object.next_value::<Loose<Details>>()?.0.0,
                UsageKey::Other => {
                    object.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Self(Some(tokens)))
    }
}

#[derive(Default)]
struct Details(Option<i64>);

keys! { enum DetailsKey { Cached = "cached_tokens" } }

impl<'de> Shape<'de> for Details {
    fn object<A: MapAccess<'de>>(mut object: A) -> Result<Self, A::Error> {
        let mut details = Self::default();
        while let Some(key) = object.next_key()? {
            match key {
                DetailsKey::Cached => details.0 = whole(&mut object)?,
                DetailsKey::Other => {
                    object.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(details)
    }
}

/// A value that is text, or none.
pub(super) fn text<'de, A: MapAccess<'de>>(object: &mut A) -> Result<Option<Cow<'de, str>>, A::Error> {
    Ok(object.next_value::<Loose<Scalar<'de>>>()?.0.into_text())
}

fn whole<'de, A: MapAccess<'de>>(object: &mut A) -> Result<Option<i64>, A::Error> {
    Ok(object.next_value::<Loose<Scalar<'de>>>()?.0.to_i64())
}

/// The short text of an `error`: its message, itself when it is text, or its JSON; none when there is no error.
pub(super) fn error(raw: &RawValue) -> Option<Cow<'_, str>> {
    #[derive(serde::Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        message: Cow<'a, str>,
    }

    #[derive(serde::Deserialize)]
    struct Word<'a>(#[serde(borrow)] Cow<'a, str>);

    let json = raw.get();
    let text = match json.bytes().next() {
        Some(b'n' | b'f') => return None,
        Some(b'"') => serde_json::from_str::<Word<'_>>(json).map(|word| word.0).ok(),
        Some(b'{') => serde_json::from_str::<Body<'_>>(json).map(|body| body.message).ok(),
        _ => None,
    };
    Some(shorten(text.unwrap_or(Cow::Borrowed(json)), ERROR_BYTES_MAX))
}

fn shorten(text: Cow<'_, str>, bytes_max: usize) -> Cow<'_, str> {
    let end = text.floor_char_boundary(bytes_max);
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(..end).unwrap_or(text)),
        Cow::Owned(mut text) => {
            text.truncate(end);
            Cow::Owned(text)
        }
    }
}
