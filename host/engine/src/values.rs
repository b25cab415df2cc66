//! JSON to WIT values and back, by the component's own types. Every value is counted before it is made.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Number, Value};
use wasmtime::component::Val;

use crate::EngineError;
use crate::interface::{Function, Named, WitType};
use crate::schema::SAFE_INTEGER_MAX;

/// How many separate values one call may pass; each takes 40 bytes in the host, so this bounds them to 80 MB.
const VALUES_MAX: u64 = 2_000_000;
/// How deep values may nest.
const DEPTH_MAX: usize = 128;

/// Counts what is converted against `limits.input_bytes`.
pub(crate) struct Converter {
    bytes: u64,
    bytes_max: u64,
    values: u64,
}

type Converted<T> = Result<T, EngineError>;

/// A value that does not fit. The path starts empty and grows on the way out, so that success builds no paths.
fn bad(why: impl Into<String>) -> EngineError {
    EngineError::BadArgument {
        path: String::new(),
        why: why.into(),
    }
}

/// Puts the place a bad value was found in front of its path.
pub(crate) fn within(error: EngineError, place: &str) -> EngineError {
    match error {
        EngineError::BadArgument { path, why } if path.is_empty() || path.starts_with('[') => {
            EngineError::BadArgument {
                path: format!("{place}{path}"),
                why,
            }
        }
        EngineError::BadArgument { path, why } => EngineError::BadArgument {
            path: format!("{place}.{path}"),
            why,
        },
        other => other,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// A parameter that was not given.
pub(crate) fn missing(function: &Function, name: &str) -> EngineError {
    within(
        bad(format!("it is missing; the function takes {}", function.signature())),
        name,
    )
}

/// Refuses what is left over when every parameter has its argument.
pub(crate) fn no_unknown(function: &Function, left: &Map<String, Value>) -> Converted<()> {
    let Some(unknown) = left.keys().next() else {
        return Ok(());
    };
    let why = format!(
        "there is no such parameter; the function takes {}",
        function.signature()
    );
    Err(within(bad(why), &unknown.chars().take(100).collect::<String>()))
}

impl Converter {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self {
            bytes: 0,
            bytes_max,
            values: 0,
        }
    }

    /// Bytes converted so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn spend(&mut self, bytes: u64) -> Converted<()> {
        self.bytes += bytes;
        if self.bytes > self.bytes_max {
            return Err(EngineError::InputTooLarge {
                bytes: self.bytes,
                bytes_max: self.bytes_max,
            });
        }
        Ok(())
    }

    fn count(&mut self, bytes: u64) -> Converted<()> {
        self.values += 1;
        if self.values > VALUES_MAX {
            return Err(EngineError::TooManyValues { values_max: VALUES_MAX });
        }
        self.spend(bytes)
    }

    /// The arguments of a function, in order; `fed` is one that came as bytes. Unknown and missing names are errors; a
    /// missing option is `none`.
    pub(crate) fn arguments(
        &mut self,
        function: &Function,
        mut given: Map<String, Value>,
        mut fed: Option<(&str, Val)>,
    ) -> Converted<Vec<Val>> {
        let mut vals = Vec::with_capacity(function.params.len());
        for (name, ty) in &function.params {
            if fed.as_ref().is_some_and(|(fed, _)| fed == name) {
                vals.extend(fed.take().map(|(_, val)| val));
                continue;
            }
            vals.push(match given.remove(name) {
                Some(value) => self.val(ty, value, 0).map_err(|e| within(e, name))?,
                None if matches!(ty, WitType::Option(_)) => Val::Option(None),
                None => return Err(missing(function, name)),
            });
        }
        no_unknown(function, &given)?;
        Ok(vals)
    }

    /// Bytes that came beside the JSON, for a parameter without a fast path: counted before a value is made of each.
    pub(crate) fn fed(&mut self, ty: &WitType, bytes: &[u8]) -> Converted<Val> {
        self.spend(bytes.len() as u64)?;
        if matches!(ty, WitType::String) {
            return Ok(Val::String(crate::arguments::utf8(bytes)?.to_string()));
        }
        self.values = self.values.saturating_add(bytes.len() as u64);
        if self.values > VALUES_MAX {
            return Err(EngineError::TooManyValues { values_max: VALUES_MAX });
        }
        Ok(Val::List(bytes.iter().map(|byte| Val::U8(*byte)).collect()))
    }

    /// One value of a WIT type from JSON.
    // One arm for each WIT type; cutting it up would hide that none is missing.
    #[allow(clippy::too_many_lines)]
    pub(crate) fn val(&mut self, ty: &WitType, value: Value, depth: usize) -> Converted<Val> {
        if depth > DEPTH_MAX {
            return Err(bad(format!("values nest deeper than {DEPTH_MAX}")));
        }
        let expected = |value: &Value| bad(format!("expected {ty}, got {}", kind(value)));
        Ok(match ty {
            WitType::Bool => {
                self.count(1)?;
                Val::Bool(value.as_bool().ok_or_else(|| expected(&value))?)
            }
            WitType::U8 => Val::U8(self.integer(ty, &value, 1)?),
            WitType::U16 => Val::U16(self.integer(ty, &value, 2)?),
            WitType::U32 => Val::U32(self.integer(ty, &value, 4)?),
            WitType::U64 => Val::U64(self.integer(ty, &value, 8)?),
            WitType::S8 => Val::S8(self.integer(ty, &value, 1)?),
            WitType::S16 => Val::S16(self.integer(ty, &value, 2)?),
            WitType::S32 => Val::S32(self.integer(ty, &value, 4)?),
            WitType::S64 => Val::S64(self.integer(ty, &value, 8)?),
            #[allow(clippy::cast_possible_truncation)]
            WitType::F32 => {
                self.count(4)?;
                Val::Float32(float(&value).ok_or_else(|| expected(&value))? as f32)
            }
            WitType::F64 => {
                self.count(8)?;
                Val::Float64(float(&value).ok_or_else(|| expected(&value))?)
            }
            WitType::Char => {
                self.count(4)?;
                let mut chars = value.as_str().ok_or_else(|| expected(&value))?.chars();
                match (chars.next(), chars.next()) {
                    (Some(only), None) => Val::Char(only),
                    _ => return Err(bad("expected exactly one character")),
                }
            }
            WitType::String => match value {
                Value::String(text) => {
                    self.count(text.len() as u64)?;
                    Val::String(text)
                }
                other => return Err(expected(&other)),
            },
            WitType::Bytes => {
                let bytes = self.bytes_of(&value)?;
                let mut list = Vec::with_capacity(bytes.len());
                for byte in bytes {
                    self.values += 1;
                    list.push(Val::U8(byte));
                }
                if self.values > VALUES_MAX {
                    return Err(EngineError::TooManyValues { values_max: VALUES_MAX });
                }
                Val::List(list)
            }
            WitType::List(inner) => match value {
                Value::Array(items) => {
                    self.count(8)?;
                    let mut list = Vec::with_capacity(items.len().min(4096));
                    for (index, item) in items.into_iter().enumerate() {
                        list.push(
                            self.val(inner, item, depth + 1)
                                .map_err(|e| within(e, &format!("[{index}]")))?,
                        );
                    }
                    Val::List(list)
                }
                other => return Err(expected(&other)),
            },
            WitType::Option(inner) => {
                self.count(1)?;
                match value {
                    Value::Null => Val::Option(None),
                    value if inner.nullable() => {
                        let some = one_member(value, &["some"])?.1;
                        Val::Option(Some(Box::new(self.val(inner, some, depth + 1)?)))
                    }
                    value => Val::Option(Some(Box::new(self.val(inner, value, depth + 1)?))),
                }
            }
            WitType::Result { ok, err } => {
                self.count(1)?;
                let (side, value) = one_member(value, &["ok", "err"])?;
                let ty = if side == "ok" { ok } else { err };
                let payload = self
                    .payload(ty.as_deref(), value, depth)
                    .map_err(|e| within(e, &side))?;
                Val::Result(if side == "ok" { Ok(payload) } else { Err(payload) })
            }
            WitType::Tuple(types) => match value {
                Value::Array(items) if items.len() == types.len() => {
                    self.count(0)?;
                    let mut vals = Vec::with_capacity(types.len());
                    for (index, (ty, item)) in types.iter().zip(items).enumerate() {
                        vals.push(
                            self.val(ty, item, depth + 1)
                                .map_err(|e| within(e, &format!("[{index}]")))?,
                        );
                    }
                    Val::Tuple(vals)
                }
                Value::Array(items) => {
                    return Err(bad(format!("expected {} items, got {}", types.len(), items.len())));
                }
                other => return Err(expected(&other)),
            },
            WitType::Record(named) => match value {
                Value::Object(members) => Val::Record(self.record(named, members, depth)?),
                other => return Err(expected(&other)),
            },
            WitType::Variant(named) => {
                self.count(1)?;
                let (case, value) = match value {
                    Value::String(case) => (case, Value::Null),
                    Value::Object(members) if members.len() == 1 => {
                        members.into_iter().next().ok_or_else(|| bad("expected one case"))?
                    }
                    other => {
                        let why = format!("expected one of the cases {}, got {}", named.names(), kind(&other));
                        return Err(bad(why));
                    }
                };
                let Some(part) = named.part(&case) else {
                    return Err(bad(format!(
                        "there is no case \"{case}\"; the cases are {}",
                        named.names()
                    )));
                };
                let payload = self
                    .payload(part.ty.as_ref(), value, depth)
                    .map_err(|e| within(e, &case))?;
                Val::Variant(case, payload)
            }
            WitType::Enum(named) => {
                self.count(1)?;
                Val::Enum(one_of(named, value)?)
            }
            WitType::Flags(named) => match value {
                Value::Array(items) => {
                    self.count(4)?;
                    Val::Flags(
                        items
                            .into_iter()
                            .map(|item| one_of(named, item))
                            .collect::<Result<_, _>>()?,
                    )
                }
                other => return Err(expected(&other)),
            },
        })
    }

    fn payload(&mut self, ty: Option<&WitType>, value: Value, depth: usize) -> Converted<Option<Box<Val>>> {
        match (ty, value) {
            (None, Value::Null) => Ok(None),
            (None, _) => Err(bad("it carries no value; give null or leave it out")),
            (Some(ty), value) => Ok(Some(Box::new(self.val(ty, value, depth + 1)?))),
        }
    }

    fn record(
        &mut self,
        named: &Named<WitType>,
        mut members: Map<String, Value>,
        depth: usize,
    ) -> Converted<Vec<(String, Val)>> {
        self.count(0)?;
        let mut fields = Vec::with_capacity(named.parts.len());
        for part in &named.parts {
            let val = match members.remove(&part.name) {
                Some(value) => self
                    .val(&part.ty, value, depth + 1)
                    .map_err(|e| within(e, &part.name))?,
                None if matches!(part.ty, WitType::Option(_)) => Val::Option(None),
                None => {
                    let why = format!("it is missing; {} has the fields {}", named.name, named.names());
                    return Err(within(bad(why), &part.name));
                }
            };
            fields.push((part.name.clone(), val));
        }
        match members.keys().next() {
            Some(unknown) => {
                let why = format!(
                    "there is no such field; {} has the fields {}",
                    named.name,
                    named.names()
                );
                Err(within(bad(why), unknown))
            }
            None => Ok(fields),
        }
    }

    /// Bytes from base64 text or from an array of small integers.
    pub(crate) fn bytes_of(&mut self, value: &Value) -> Converted<Vec<u8>> {
        match value {
            Value::String(text) => {
                self.spend(text.len() as u64 / 4 * 3)?;
                BASE64.decode(text).map_err(|e| bad(format!("expected base64: {e}")))
            }
            Value::Array(items) => {
                self.spend(items.len() as u64)?;
                let byte = |item: &Value| item.as_u64().and_then(|n| u8::try_from(n).ok());
                items
                    .iter()
                    .map(|item| byte(item).ok_or_else(|| bad("expected bytes, 0 to 255")))
                    .collect()
            }
            other => Err(bad(format!("expected base64 text, got {}", kind(other)))),
        }
    }

    fn integer<T: TryFrom<i128>>(&mut self, ty: &WitType, value: &Value, bytes: u64) -> Converted<T> {
        self.count(bytes)?;
        let wide = match value {
            Value::Number(number) => number
                .as_i64()
                .map(i128::from)
                .or_else(|| number.as_u64().map(i128::from))
                .or_else(|| whole(number)),
            // 64-bit integers may come as text, since not every JSON writer keeps them exactly.
            Value::String(text) if bytes == 8 => text.parse().ok(),
            _ => None,
        };
        let narrow = wide.and_then(|wide| T::try_from(wide).ok());
        narrow.ok_or_else(|| bad(format!("expected {ty}, got {}", shown(value))))
    }
}

/// `3.0` is an integer to some JSON writers.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
fn whole(number: &Number) -> Option<i128> {
    let float = number.as_f64()?;
    (float.fract() == 0.0 && float.abs() <= SAFE_INTEGER_MAX as f64).then_some(float as i128)
}

fn shown(value: &Value) -> String {
    match value {
        Value::Number(number) => number.to_string(),
        other => kind(other).to_string(),
    }
}

fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

fn one_member(value: Value, names: &[&str]) -> Converted<(String, Value)> {
    let why = || format!("expected an object with one of: {}", names.join(", "));
    match value {
        Value::Object(members) if members.len() == 1 => {
            let member = members
                .into_iter()
                .next()
                .filter(|(name, _)| names.contains(&name.as_str()));
            member.ok_or_else(|| bad(why()))
        }
        _ => Err(bad(why())),
    }
}

fn one_of(named: &Named<()>, value: Value) -> Converted<String> {
    match value {
        Value::String(text) if named.part(&text).is_some() => Ok(text),
        Value::String(text) => Err(bad(format!("\"{text}\" is none of {}", named.names()))),
        other => Err(bad(format!("expected one of {}, got {}", named.names(), kind(&other)))),
    }
}
