//! Errors with stable codes: one definition gives the variant, its code, its sentence and its fix.

use std::fmt;

/// What went wrong, coarsely: decides the HTTP status and the class name users of older runtimes know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request itself is malformed (400).
    Invalid,
    /// No credentials, or wrong ones (401).
    Unauthenticated,
    /// Not allowed: a grant, a signature or a policy says no (403).
    Security,
    /// Nothing by that name (404).
    NotFound,
    /// It exists already, or the state does not allow it (409).
    Conflict,
    /// Larger than a limit on bytes (413).
    TooLarge,
    /// The component or its manifest breaks its contract (422).
    Conformance,
    /// A budget (fuel, memory, time, handles) is used up (422).
    Budget,
    /// Bytes do not match their digest, signature or MAC (422).
    Integrity,
    /// Too many at once; try again (503).
    Busy,
    /// Something the host needs is not reachable (502).
    Unavailable,
    /// A deadline passed (504).
    Timeout,
    /// A fault of the host itself (500).
    Internal,
}

impl ErrorKind {
    /// The HTTP status code.
    pub const fn status(self) -> u16 {
        match self {
            Self::Invalid => 400,
            Self::Unauthenticated => 401,
            Self::Security => 403,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::Conformance | Self::Budget | Self::Integrity => 422,
            Self::Internal => 500,
            Self::Unavailable => 502,
            Self::Busy => 503,
            Self::Timeout => 504,
        }
    }

    /// The class name, used as the `title` of a problem document.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Invalid => "InvalidRequestError",
            Self::Unauthenticated => "AuthenticationError",
            Self::Security => "SecurityViolationError",
            Self::NotFound => "NotFoundError",
            Self::Conflict => "ConflictError",
            Self::TooLarge => "PayloadTooLargeError",
            Self::Conformance => "ManifestConformanceError",
            Self::Budget => "BudgetExhaustionError",
            Self::Integrity => "IntegrityViolationError",
            Self::Busy => "BusyError",
            Self::Unavailable => "UnavailableError",
            Self::Timeout => "TimeoutError",
            Self::Internal => "InternalError",
        }
    }
}

/// One row of the error reference.
#[derive(Clone, Copy, Debug)]
pub struct CodeInfo {
    /// The stable code, `KIN-ENG-0007`.
    pub code: &'static str,
    /// The variant's name.
    pub name: &'static str,
    /// What kind of failure it is.
    pub kind: ErrorKind,
    /// The sentence that says what was wrong, with its fields in braces.
    pub message: &'static str,
    /// The sentence that says what to do.
    pub fix: &'static str,
}

/// An error a user can act on: it has a stable code, a kind and a fix.
pub trait Coded: std::error::Error + Send + Sync + 'static {
    /// The stable code, `KIN-ENG-0007`; it never changes its meaning.
    fn code(&self) -> &'static str;
    /// What kind of failure it is.
    fn kind(&self) -> ErrorKind;
    /// What to do about it.
    fn fix(&self) -> String;
}

/// An error of any crate, flattened to what a user sees. The form that crosses crate borders upwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The stable code.
    pub code: &'static str,
    /// What kind of failure it is.
    pub kind: ErrorKind,
    /// What was wrong.
    pub message: String,
    /// What to do.
    pub fix: String,
}

impl<E: Coded> From<&E> for Fault {
    fn from(error: &E) -> Self {
        Self {
            code: error.code(),
            kind: error.kind(),
            message: error.to_string(),
            fix: error.fix(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.code, self.message, self.fix)
    }
}

impl std::error::Error for Fault {}

/// Defines a crate's error enum: each variant has a number, fields, a kind, a sentence and a fix, all in one place.
///
/// ```
/// kinetic_model::coded_errors! {
///     /// Errors of the example.
///     pub enum ExampleError ("EXA") {
///         /// The box is full.
///         "0001" Full { items: usize } => Busy, "the box already holds {items} items.", "Take one out.";
///     }
/// }
/// use kinetic_model::Coded;
/// let error = ExampleError::Full { items: 3 };
/// assert_eq!(error.code(), "KIN-EXA-0001");
/// assert_eq!(error.to_string(), "the box already holds 3 items.");
/// assert_eq!(error.fix(), "Take one out.");
/// ```
#[macro_export]
macro_rules! coded_errors {
    (
        $(#[$meta:meta])*
        $vis:vis enum $name:ident ($area:literal) {
            $(
                $(#[$vmeta:meta])*
                $number:literal $variant:ident { $($field:ident : $ty:ty),* $(,)? } => $kind:ident, $message:literal, $fix:literal;
            )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[allow(missing_docs)]
        $vis enum $name {
            $( $(#[$vmeta])* $variant { $($field: $ty),* }, )*
        }

        impl $name {
            /// Every code of this enum, for the error reference.
            pub const TABLE: &'static [$crate::CodeInfo] = &[
                $( $crate::CodeInfo {
                    code: concat!("KIN-", $area, "-", $number),
                    name: stringify!($variant),
                    kind: $crate::ErrorKind::$kind,
                    message: $message,
                    fix: $fix,
                }, )*
            ];
        }

        impl ::std::fmt::Display for $name {
            #[allow(unused_variables)]
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                match self {
                    $( Self::$variant { $($field),* } => write!(f, $message), )*
                }
            }
        }

        impl ::std::error::Error for $name {}

        impl $crate::Coded for $name {
            fn code(&self) -> &'static str {
                match self {
                    $( Self::$variant { .. } => concat!("KIN-", $area, "-", $number), )*
                }
            }
            fn kind(&self) -> $crate::ErrorKind {
                match self {
                    $( Self::$variant { .. } => $crate::ErrorKind::$kind, )*
                }
            }
            #[allow(unused_variables)]
            fn fix(&self) -> String {
                match self {
                    $( Self::$variant { $($field),* } => format!($fix), )*
                }
            }
        }

        impl From<$name> for $crate::Fault {
            fn from(error: $name) -> Self {
                Self::from(&error)
            }
        }
    };
}
