//! JSON Schema (2020-12) of functions, derived from their WIT types; doc comments become descriptions.

use serde_json::{Map, Value, json};

use crate::interface::{Function, Named, Part, WitType};

/// The largest integer every JSON reader keeps exactly; beyond it 64-bit integers are written as decimal strings.
pub(crate) const SAFE_INTEGER_MAX: u64 = (1 << 53) - 1;

impl Function {
    /// The schema of the arguments: a closed object with one member per parameter; options may be left out.
    pub fn input_schema(&self) -> Value {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for (name, ty) in &self.params {
            properties.insert(name.clone(), schema(ty));
            if !matches!(ty, WitType::Option(_)) {
                required.push(name.clone());
            }
        }
        let mut object =
            json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false });
        describe(&mut object, None, self.docs.as_deref());
        object
    }

    /// The schema of the answer. For `result<T, E>` it is T's; an error is told apart by the envelope.
    pub fn output_schema(&self) -> Value {
        match &self.result {
            None => json!({ "type": "null" }),
            Some(WitType::Result { ok, .. }) => ok.as_deref().map_or_else(|| json!({ "type": "null" }), schema),
            Some(ty) => schema(ty),
        }
    }

    /// The schema of the error value of a function that returns `result<T, E>`.
    pub fn error_schema(&self) -> Option<Value> {
        match &self.result {
            Some(WitType::Result { err, .. }) => Some(err.as_deref().map_or_else(|| json!({ "type": "null" }), schema)),
            _ => None,
        }
    }
}

fn describe(schema: &mut Value, title: Option<&str>, docs: Option<&str>) {
    if let Some(object) = schema.as_object_mut() {
        if let Some(title) = title {
            object.insert("title".into(), title.into());
        }
        if let Some(docs) = docs {
            object.insert("description".into(), docs.into());
        }
    }
}

fn integer(low: i64, high: u64) -> Value {
    json!({ "type": "integer", "minimum": low, "maximum": high })
}

/// The schema of one value.
pub(crate) fn schema(ty: &WitType) -> Value {
    match ty {
        WitType::Bool => json!({ "type": "boolean" }),
        WitType::U8 => integer(0, u8::MAX.into()),
        WitType::U16 => integer(0, u16::MAX.into()),
        WitType::U32 => integer(0, u32::MAX.into()),
        WitType::S8 => integer(i8::MIN.into(), i8::MAX as u64),
        WitType::S16 => integer(i16::MIN.into(), i16::MAX as u64),
        WitType::S32 => integer(i32::MIN.into(), i32::MAX as u64),
        WitType::U64 => json!({
            "anyOf": [{ "type": "integer", "minimum": 0, "maximum": u64::MAX }, { "type": "string", "pattern": "^[0-9]{1,20}$" }],
            "description": format!("64-bit; above {SAFE_INTEGER_MAX} written as a decimal string")
        }),
        WitType::S64 => json!({
            "anyOf": [{ "type": "integer", "minimum": i64::MIN, "maximum": i64::MAX }, { "type": "string", "pattern": "^-?[0-9]{1,19}$" }],
            "description": format!("64-bit; beyond +-{SAFE_INTEGER_MAX} written as a decimal string")
        }),
        WitType::F32 | WitType::F64 => {
            json!({ "anyOf": [{ "type": "number" }, { "enum": ["NaN", "Infinity", "-Infinity"] }] })
        }
        WitType::Char => json!({ "type": "string", "minLength": 1, "maxLength": 1 }),
        WitType::String => json!({ "type": "string" }),
        WitType::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
        WitType::List(inner) => json!({ "type": "array", "items": schema(inner) }),
        WitType::Option(inner) if inner.nullable() => {
            json!({ "anyOf": [{ "type": "null" }, closed(vec![("some", schema(inner))])] })
        }
        WitType::Option(inner) => json!({ "anyOf": [schema(inner), { "type": "null" }] }),
        WitType::Result { ok, err } => {
            let side = |ty: &Option<Box<WitType>>| ty.as_deref().map_or_else(|| json!({ "type": "null" }), schema);
            json!({ "oneOf": [closed(vec![("ok", side(ok))]), closed(vec![("err", side(err))])] })
        }
        WitType::Tuple(types) => {
            let items: Vec<_> = types.iter().map(schema).collect();
            json!({ "type": "array", "prefixItems": items, "items": false, "minItems": types.len(), "maxItems": types.len() })
        }
        WitType::Record(named) => record(named),
        WitType::Variant(named) => {
            let cases: Vec<_> = named
                .parts
                .iter()
                .map(|part| {
                    let mut case = match &part.ty {
                        None => json!({ "const": part.name }),
                        Some(ty) => closed(vec![(part.name.as_str(), schema(ty))]),
                    };
                    describe(&mut case, None, part.docs.as_deref());
                    case
                })
                .collect();
            let mut variant = json!({ "oneOf": cases });
            describe(&mut variant, Some(&named.name), named.docs.as_deref());
            variant
        }
        WitType::Enum(named) => {
            let mut value = json!({ "type": "string", "enum": names(named) });
            describe(&mut value, Some(&named.name), with_parts(named).as_deref());
            value
        }
        WitType::Flags(named) => {
            let mut value =
                json!({ "type": "array", "uniqueItems": true, "items": { "type": "string", "enum": names(named) } });
            describe(&mut value, Some(&named.name), with_parts(named).as_deref());
            value
        }
    }
}

fn names(named: &Named<()>) -> Vec<&str> {
    named.parts.iter().map(|part| part.name.as_str()).collect()
}

/// An enum has no place of its own for each case's doc comment, so they follow the type's.
fn with_parts(named: &Named<()>) -> Option<String> {
    let line = |part: &Part<()>| part.docs.as_ref().map(|docs| format!("{}: {docs}", part.name));
    let lines: Vec<_> = named
        .docs
        .clone()
        .into_iter()
        .chain(named.parts.iter().filter_map(line))
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn closed(members: Vec<(&str, Value)>) -> Value {
    let required: Vec<_> = members.iter().map(|(name, _)| (*name).to_string()).collect();
    let properties: Map<_, _> = members
        .into_iter()
        .map(|(name, schema)| (name.to_string(), schema))
        .collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn record(named: &Named<WitType>) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for part in &named.parts {
        let mut field = schema(&part.ty);
        describe(&mut field, None, part.docs.as_deref());
        properties.insert(part.name.clone(), field);
        if !matches!(part.ty, WitType::Option(_)) {
            required.push(part.name.clone());
        }
    }
    let mut object =
        json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false });
    describe(&mut object, Some(&named.name), named.docs.as_deref());
    object
}
