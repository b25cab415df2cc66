//! What a component offers, in our own words: functions, WIT types, docs. Serialised beside its compiled code.

use serde::{Deserialize, Serialize};

/// The callable surface of a component, and what it imports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// The functions that can be called with values.
    pub functions: Vec<Function>,
    /// Exports that cannot be called with values, and why: (export, reason).
    pub unsupported: Vec<(String, String)>,
    /// Interfaces and functions imported, with versions: `wasi:http/outgoing-handler@0.2.6`.
    pub imports: Vec<String>,
    /// The functions of imported interfaces beyond WASI; `instance` is the import's name.
    #[serde(default)]
    pub imported: Vec<Function>,
    /// Imported functions that no other capsule can answer, as not all they take and give is a value: (function, reason).
    #[serde(default)]
    pub not_injectable: Vec<(String, String)>,
    /// Interfaces exported, with versions.
    pub exports: Vec<String>,
    /// Whether it has a lifecycle. Its functions are the host's to call, so they are in none of the lists above.
    #[serde(default)]
    pub has_lifecycle: bool,
}

impl Interface {
    /// The function of that name.
    pub fn function(&self, name: &str) -> Option<&Function> {
        self.functions.iter().find(|function| function.name == name)
    }

    /// The only function, when there is just one.
    pub fn only(&self) -> Option<&Function> {
        match self.functions.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }

    /// Every function's name, for messages.
    pub fn names(&self) -> String {
        self.functions
            .iter()
            .map(|function| function.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// One callable function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// Its WIT name; `interface.name` when two exported interfaces share it.
    pub name: String,
    /// The exported instance it lives in; none when the world exports it itself.
    pub instance: Option<String>,
    /// The name inside the instance.
    pub export: String,
    /// Its doc comment.
    pub docs: Option<String>,
    /// Parameters in order.
    pub params: Vec<(String, WitType)>,
    /// The result.
    pub result: Option<WitType>,
}

/// A WIT value type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum WitType {
    Bool,
    U8,
    U16,
    U32,
    U64,
    S8,
    S16,
    S32,
    S64,
    F32,
    F64,
    Char,
    String,
    /// `list<u8>`: base64 in JSON, raw bytes elsewhere.
    Bytes,
    List(Box<Self>),
    Option(Box<Self>),
    Result {
        ok: Option<Box<Self>>,
        err: Option<Box<Self>>,
    },
    Tuple(Vec<Self>),
    Record(Named<Self>),
    Variant(Named<Option<Self>>),
    Enum(Named<()>),
    Flags(Named<()>),
}

/// A named type with named parts: fields, cases or flags.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named<T> {
    /// The type's WIT name.
    pub name: String,
    /// Its doc comment.
    pub docs: Option<String>,
    /// Its parts in order.
    pub parts: Vec<Part<T>>,
}

/// A field, case or flag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part<T> {
    /// Its WIT name.
    pub name: String,
    /// Its doc comment.
    pub docs: Option<String>,
    /// What it carries.
    pub ty: T,
}

impl<T> Named<T> {
    /// The part of that name and its place.
    pub fn part(&self, name: &str) -> Option<&Part<T>> {
        self.parts.iter().find(|part| part.name == name)
    }

    /// The names, for messages.
    pub fn names(&self) -> String {
        self.parts
            .iter()
            .map(|part| part.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    }
}

impl WitType {
    /// Whether JSON `null` already means something in this type, so that an option around it needs a wrapper.
    pub(crate) fn nullable(&self) -> bool {
        matches!(self, Self::Option(_))
    }
}

impl std::fmt::Display for WitType {
    /// WIT text; named types by their name.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bool => f.write_str("bool"),
            Self::U8 => f.write_str("u8"),
            Self::U16 => f.write_str("u16"),
            Self::U32 => f.write_str("u32"),
            Self::U64 => f.write_str("u64"),
            Self::S8 => f.write_str("s8"),
            Self::S16 => f.write_str("s16"),
            Self::S32 => f.write_str("s32"),
            Self::S64 => f.write_str("s64"),
            Self::F32 => f.write_str("f32"),
            Self::F64 => f.write_str("f64"),
            Self::Char => f.write_str("char"),
            Self::String => f.write_str("string"),
            Self::Bytes => f.write_str("list<u8>"),
            Self::List(inner) => write!(f, "list<{inner}>"),
            Self::Option(inner) => write!(f, "option<{inner}>"),
            Self::Result { ok: None, err: None } => f.write_str("result"),
            Self::Result {
                ok: Some(ok),
                err: None,
            } => write!(f, "result<{ok}>"),
            Self::Result {
                ok: None,
                err: Some(err),
            } => write!(f, "result<_, {err}>"),
            Self::Result {
                ok: Some(ok),
                err: Some(err),
            } => write!(f, "result<{ok}, {err}>"),
            Self::Tuple(types) => {
                let types: Vec<_> = types.iter().map(ToString::to_string).collect();
                write!(f, "tuple<{}>", types.join(", "))
            }
            Self::Record(named) => f.write_str(&named.name),
            Self::Variant(named) => f.write_str(&named.name),
            Self::Enum(named) | Self::Flags(named) => f.write_str(&named.name),
        }
    }
}

impl Function {
    /// The signature as WIT text: `scrub: func(text: string) -> redaction`.
    pub fn signature(&self) -> String {
        let params: Vec<_> = self.params.iter().map(|(name, ty)| format!("{name}: {ty}")).collect();
        let result = self.result.as_ref().map(|ty| format!(" -> {ty}")).unwrap_or_default();
        format!("{}: func({}){result}", self.name, params.join(", "))
    }
}
