//! One error that every standard error turns into with `?`, and that turns into the error of a WIT result.

use std::fmt;
use std::io;
use std::num::{ParseFloatError, ParseIntError, TryFromIntError};
use std::str::{ParseBoolError, Utf8Error};
use std::string::FromUtf8Error;

/// What went wrong, coarsely: the cases an error variant in WIT usually has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The caller's input does not make sense.
    InvalidInput,
    /// What was asked for is not there.
    NotFound,
    /// The host does not grant it.
    Denied,
    /// Something outside does not answer.
    Unavailable,
    /// Anything else.
    Other,
}

/// An error with its kind and its message.
///
/// With `result<T, string>` in WIT, work in a function that returns `Result<T, kinetic_sdk::Error>`, use `?` on
/// anything, and end the export with `.map_err(String::from)`. With a variant, match on [`Error::kind`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: Kind,
    message: String,
}

impl Error {
    /// An error of that kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// The caller's input does not make sense.
    pub fn invalid_input(message: impl Into<String>) -> Self {
        Self::new(Kind::InvalidInput, message)
    }

    /// What went wrong, coarsely.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// What went wrong, for people.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

// No `std::error::Error` for our own type: the conversion below could then not exist beside the one of `T` to `T`.
impl<E: std::error::Error + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        Self {
            kind: kind_of(&error),
            message: error.to_string(),
        }
    }
}

impl From<Error> for String {
    fn from(error: Error) -> Self {
        error.message
    }
}

fn kind_of(error: &(dyn std::error::Error + 'static)) -> Kind {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return match error.kind() {
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                Kind::InvalidInput
            }
            io::ErrorKind::NotFound => Kind::NotFound,
            io::ErrorKind::PermissionDenied => Kind::Denied,
            io::ErrorKind::TimedOut | io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => {
                Kind::Unavailable
            }
            _ => Kind::Other,
        };
    }
    let parsing = error.is::<Utf8Error>()
        || error.is::<FromUtf8Error>()
        || error.is::<ParseIntError>()
        || error.is::<ParseFloatError>()
        || error.is::<ParseBoolError>()
        || error.is::<TryFromIntError>();
    if parsing { Kind::InvalidInput } else { Kind::Other }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &[u8]) -> Result<u32, Error> {
        Ok(std::str::from_utf8(text)?.parse::<u32>()?)
    }

    #[test]
    fn standard_errors_become_ours_with_a_question_mark() {
        assert_eq!(parse(b"12"), Ok(12));
        assert_eq!(parse(b"\xff").unwrap_err().kind(), Kind::InvalidInput);
        assert_eq!(String::from(parse(b"x").unwrap_err()), "invalid digit found in string");
        assert_eq!(
            Error::from(io::Error::from(io::ErrorKind::NotFound)).kind(),
            Kind::NotFound
        );
        assert_eq!(Error::from(fmt::Error).kind(), Kind::Other);
    }
}
