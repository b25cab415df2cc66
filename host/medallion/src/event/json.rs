//! Reads JSON values that may be of any type without ever failing on the type.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A value of which only some types mean something; of all others it is the default.
pub(super) trait Shape<'de>: Default {
    fn scalar(_: Scalar<'de>) -> Self {
        Self::default()
    }

    fn array<A: SeqAccess<'de>>(mut array: A) -> Result<Self, A::Error> {
        while array.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Self::default())
    }

    fn object<A: MapAccess<'de>>(mut object: A) -> Result<Self, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Self::default())
    }
}

/// A value that is neither an array nor an object.
#[derive(Debug, Default, PartialEq)]
pub(super) enum Scalar<'a> {
    /// Of a type that means nothing here.
    #[default]
    Other,
    Null,
    Text(Cow<'a, str>),
    Unsigned(u64),
    Negative(i64),
    Float(f64),
}

impl<'de> Shape<'de> for Scalar<'de> {
    fn scalar(scalar: Self) -> Self {
        scalar
    }
}

/// Deserializes a [`Shape`].
pub(super) struct Loose<T>(pub(super) T);

impl<'de, T: Shape<'de>> Deserialize<'de> for Loose<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LooseVisitor(PhantomData)).map(Self)
    }
}

struct LooseVisitor<T>(PhantomData<T>);

impl<'de, T: Shape<'de>> Visitor<'de> for LooseVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_i64<E>(self, number: i64) -> Result<T, E> {
        Ok(T::scalar(Scalar::Negative(number)))
    }

    fn visit_u64<E>(self, number: u64) -> Result<T, E> {
        Ok(T::scalar(Scalar::Unsigned(number)))
    }

    fn visit_f64<E>(self, number: f64) -> Result<T, E> {
        Ok(T::scalar(Scalar::Float(number)))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<T, E> {
        Ok(T::scalar(Scalar::Text(Cow::Borrowed(text))))
    }

    fn visit_str<E>(self, text: &str) -> Result<T, E> {
        Ok(T::scalar(Scalar::Text(Cow::Owned(text.to_owned()))))
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::scalar(Scalar::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, array: A) -> Result<T, A::Error> {
        T::array(array)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<T, A::Error> {
        T::object(object)
    }
}

impl<'a> Scalar<'a> {
    pub(super) fn into_text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn to_i64(&self) -> Option<i64> {
        match self {
            Self::Unsigned(number) => i64::try_from(*number).ok(),
            Self::Negative(number) => Some(*number),
            _ => None,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a duration; 2^53 nanoseconds are 104 days")]
    pub(super) fn to_f64(&self) -> Option<f64> {
        match self {
            Self::Unsigned(number) => Some(*number as f64),
            Self::Negative(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            _ => None,
        }
    }
}

/// Whether arrays and objects lie in each other no deeper than this.
pub(super) fn is_within_depth(json: &str, depth_max: usize) -> bool {
    // Nearly every event has fewer brackets than it may be deep.
    brackets(json.as_bytes()) <= depth_max || depth(json.as_bytes()) <= depth_max
}

/// How many brackets open, those in texts too.
fn brackets(json: &[u8]) -> usize {
    // A block's count fits a byte, and without a check for overflow the processor compares many bytes at once.
    let count = |sum: u8, byte: &u8| sum.wrapping_add(u8::from(*byte == b'{' || *byte == b'['));
    let blocks = json.chunks(usize::from(u8::MAX));
    blocks.map(|block| usize::from(block.iter().fold(0, count))).sum()
}

fn depth(json: &[u8]) -> usize {
    let (mut now, mut deepest) = (0_usize, 0);
    let (mut in_text, mut escaped) = (false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_text,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => {
                now += 1;
                deepest = deepest.max(now);
            }
            b'}' | b']' if !in_text => now = now.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// An enum of the member names that mean something, `Other` for all the rest, read without copying a name.
macro_rules! keys {
    (enum $keys:ident { $($key:ident = $name:literal),* $(,)? }) => {
        #[derive(Clone, Copy)]
        pub(super) enum $keys { $($key,)* Other }

        impl<'de> serde::de::Deserialize<'de> for $keys {
            fn deserialize<D: serde::de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Names;

                impl serde::de::Visitor<'_> for Names {
                    type Value = $keys;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("the name of a member")
                    }

                    fn visit_str<E>(self, name: &str) -> Result<$keys, E> {
                        Ok(match name {
                            $($name => $keys::$key,)*
                            _ => $keys::Other,
                        })
                    }
                }

                deserializer.deserialize_identifier(Names)
            }
        }
    };
}

pub(super) use keys;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_texts_are_not_depth() {
        assert_eq!(depth(br#"{"a":[{"b":"[[[[\"[["}],"c":[]}"#), 3);
        assert!(is_within_depth(&"[]".repeat(100), 1));
        assert!(!is_within_depth(&"[".repeat(65), 64));
        assert_eq!(brackets("[a{".repeat(1000).as_bytes()), 2000);
    }
}
