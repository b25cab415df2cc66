//! Reads a component's interface out of its bytes, and its doc comments out of the `package-docs` section when there is one.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use wasmparser::BinaryReader;
use wit_component::DecodedWasm;
use wit_parser::{Resolve, Type, TypeDefKind, TypeId, TypeOwner, WorldItem, WorldKey};

use crate::interface::{Function, Interface, Named, Part, WitType};
use crate::{EngineError, lifecycle};

/// How deep types may nest; beyond it a hostile component would cost stack.
const TYPE_DEPTH_MAX: usize = 64;
/// How many functions, and type nodes over all signatures, one component may have.
const FUNCTIONS_MAX: usize = 512;
const TYPE_NODES_MAX: usize = 100_000;
/// The custom section that carries doc comments.
const DOCS_SECTION: &str = "package-docs";
/// The largest docs section read, in bytes.
const DOCS_BYTES_MAX: usize = 4 << 20;

/// The bytes without the top level's docs sections. What does not parse is left to the decoder's own words.
fn without_docs(bytes: &[u8]) -> Cow<'_, [u8]> {
    let sections = || {
        let mut kept = bytes.get(..8)?.to_vec();
        let mut rest = bytes.get(8..)?;
        while !rest.is_empty() {
            let mut reader = BinaryReader::new(rest, 0);
            let id = reader.read_u8().ok()?;
            let size = reader.read_var_u32().ok()? as usize;
            let header = reader.original_position();
            let (section, after) = rest.split_at_checked(header.checked_add(size)?)?;
            let name = BinaryReader::new(section.get(header..)?, 0).read_string().ok();
            if id != 0 || name != Some(DOCS_SECTION) {
                kept.extend_from_slice(section);
            }
            rest = after;
        }
        Some(kept)
    };
    sections().map_or(Cow::Borrowed(bytes), Cow::Owned)
}

/// The interface of a component, read from its bytes alone. Nothing is compiled.
///
/// # Errors
/// `NotAComponent` or `Invalid`.
pub fn describe(bytes: &[u8]) -> Result<Interface, EngineError> {
    if !wasmparser::Parser::is_component(bytes) {
        return Err(if wasmparser::Parser::is_core_wasm(bytes) {
            EngineError::NotAComponent {}
        } else {
            EngineError::Invalid {
                why: "it does not start like a WebAssembly component".into(),
            }
        });
    }
    let invalid = |e: &dyn std::fmt::Display| EngineError::Invalid { why: format!("{e:#}") };
    let docs = Docs::read(bytes).unwrap_or_default();
    // The decoder would apply the comments itself, and refuse the component when they name what its types do not hold.
    let (resolve, world) = match wit_component::decode(&without_docs(bytes)).map_err(|e| invalid(&format!("{e:#}")))? {
        DecodedWasm::Component(resolve, world) => (resolve, world),
        DecodedWasm::WitPackage(..) => return Err(invalid(&"it is a WIT package without code")),
    };
    let mut walk = Walk {
        resolve: &resolve,
        docs: &docs,
        nodes: 0,
    };
    let mut interface = Interface::default();
    let Some(world) = resolve.worlds.get(world) else {
        return Err(invalid(&"it has no world"));
    };
    for (key, item) in &world.imports {
        if needs_somebody(&resolve, item) {
            let name = resolve.name_world_key(key);
            walk.import(&mut interface, &name, item)?;
            interface.imports.push(name);
        }
    }
    for (key, item) in &world.exports {
        let name = resolve.name_world_key(key);
        match item {
            WorldItem::Function(function) => walk.add(&mut interface, None, function)?,
            WorldItem::Interface { id, .. } => {
                interface.exports.push(name.clone());
                if lifecycle::is_name(&name) {
                    interface.has_lifecycle = true;
                    continue;
                }
                let Some(exported) = resolve.interfaces.get(*id) else {
                    continue;
                };
                for function in exported.functions.values() {
                    walk.add(&mut interface, Some(&name), function)?;
                }
            }
            WorldItem::Type { .. } => {}
        }
        let _: &WorldKey = key;
    }
    qualify_shared_names(&mut interface.functions);
    Ok(interface)
}

/// Whether somebody must provide this import. An interface of plain types only gives them names: there is nothing to call.
fn needs_somebody(resolve: &Resolve, item: &WorldItem) -> bool {
    match item {
        WorldItem::Type { .. } => false,
        WorldItem::Function(_) => true,
        WorldItem::Interface { id, .. } => resolve.interfaces.get(*id).is_none_or(|interface| {
            let is_resource = |id: &TypeId| {
                let kind = resolve.types.get(*id).map(|definition| &definition.kind);
                matches!(kind, None | Some(TypeDefKind::Resource))
            };
            let only_types = interface.functions.is_empty() && !interface.types.is_empty();
            !only_types || interface.types.values().any(is_resource)
        }),
    }
}

/// Two exported interfaces may share a function's name; those get their interface's name in front.
fn qualify_shared_names(functions: &mut [Function]) {
    let mut count = HashMap::new();
    for function in functions.iter() {
        *count.entry(function.name.clone()).or_insert(0) += 1;
    }
    for function in functions
        .iter_mut()
        .filter(|function| count.get(&function.name).is_some_and(|n| *n > 1))
    {
        if let Some(instance) = &function.instance {
            function.name = format!("{}.{}", short_name(instance), function.export);
        }
    }
}

/// `kinetic:redact/scrubber@1.0.0` is `scrubber`.
fn short_name(instance: &str) -> &str {
    let unversioned = instance.split('@').next().unwrap_or(instance);
    unversioned.rsplit('/').next().unwrap_or(unversioned)
}

struct Walk<'a> {
    resolve: &'a Resolve,
    docs: &'a Docs,
    nodes: usize,
}

impl Walk<'_> {
    fn add(
        &mut self,
        interface: &mut Interface,
        instance: Option<&str>,
        function: &wit_parser::Function,
    ) -> Result<(), EngineError> {
        if interface.functions.len() >= FUNCTIONS_MAX {
            return Err(EngineError::Invalid {
                why: format!("it exports more than {FUNCTIONS_MAX} functions"),
            });
        }
        match self.function(instance, function) {
            Ok(function) => interface.functions.push(function),
            Err(why) => {
                let place = instance.map(|instance| format!("{instance}#")).unwrap_or_default();
                interface.unsupported.push((format!("{place}{}", function.name), why));
            }
        }
        Ok(())
    }

    /// What another capsule would have to answer. WASI is the host's own.
    fn import(&mut self, interface: &mut Interface, name: &str, item: &WorldItem) -> Result<(), EngineError> {
        let WorldItem::Interface { id, .. } = item else {
            return Ok(());
        };
        let Some(imported) = self.resolve.interfaces.get(*id).filter(|_| !name.starts_with("wasi:")) else {
            return Ok(());
        };
        for function in imported.functions.values() {
            if interface.imported.len() + interface.not_injectable.len() >= FUNCTIONS_MAX {
                return Err(EngineError::Invalid {
                    why: format!("it imports more than {FUNCTIONS_MAX} functions"),
                });
            }
            match self.function(Some(name), function) {
                Ok(function) => interface.imported.push(function),
                Err(why) => {
                    let place = format!("{name}#{}", function.name);
                    interface.not_injectable.push((place, why));
                }
            }
        }
        Ok(())
    }

    fn function(&mut self, instance: Option<&str>, function: &wit_parser::Function) -> Result<Function, String> {
        if function.kind.resource().is_some() {
            return Err("it belongs to a resource, which cannot cross as a value".into());
        }
        if function.kind.is_async() {
            return Err("it is an async function; WASI 0.3 components are not called yet".into());
        }
        let mut params = Vec::new();
        for param in &function.params {
            params.push((param.name.clone(), self.ty(&param.ty, 0)?));
        }
        let result = function.result.as_ref().map(|ty| self.ty(ty, 0)).transpose()?;
        let docs = function
            .docs
            .contents
            .clone()
            .or_else(|| self.docs.function(instance, &function.name));
        Ok(Function {
            name: function.name.clone(),
            instance: instance.map(ToString::to_string),
            export: function.name.clone(),
            docs: docs.map(|docs| docs.trim().to_string()),
            params,
            result,
        })
    }

    fn ty(&mut self, ty: &Type, depth: usize) -> Result<WitType, String> {
        self.nodes += 1;
        if depth > TYPE_DEPTH_MAX || self.nodes > TYPE_NODES_MAX {
            return Err("its types nest too deep or are too many".into());
        }
        Ok(match ty {
            Type::Bool => WitType::Bool,
            Type::U8 => WitType::U8,
            Type::U16 => WitType::U16,
            Type::U32 => WitType::U32,
            Type::U64 => WitType::U64,
            Type::S8 => WitType::S8,
            Type::S16 => WitType::S16,
            Type::S32 => WitType::S32,
            Type::S64 => WitType::S64,
            Type::F32 => WitType::F32,
            Type::F64 => WitType::F64,
            Type::Char => WitType::Char,
            Type::String => WitType::String,
            Type::ErrorContext => return Err("it uses error-context, which is not a value".into()),
            Type::Id(id) => self.defined(*id, depth + 1)?,
        })
    }

    fn defined(&mut self, id: TypeId, depth: usize) -> Result<WitType, String> {
        let Some(def) = self.resolve.types.get(id) else {
            return Err("it names a type that does not exist".into());
        };
        let name = def.name.clone().unwrap_or_default();
        let type_docs = self.docs.ty(self.interface_of(def.owner).as_deref(), &name);
        let docs = def
            .docs
            .contents
            .clone()
            .or_else(|| type_docs.and_then(|entry| entry.docs.clone()));
        let part_docs = |own: &wit_parser::Docs, part: &str| {
            own.contents
                .clone()
                .or_else(|| type_docs.and_then(|entry| entry.items.get(part).cloned()))
        };
        Ok(match &def.kind {
            TypeDefKind::Type(inner) => self.ty(inner, depth)?,
            TypeDefKind::List(Type::U8) => WitType::Bytes,
            TypeDefKind::List(inner) => match self.ty(inner, depth)? {
                WitType::U8 => WitType::Bytes,
                inner => WitType::List(Box::new(inner)),
            },
            TypeDefKind::Option(inner) => WitType::Option(Box::new(self.ty(inner, depth)?)),
            TypeDefKind::Result(result) => {
                let mut side = |ty: &Option<Type>| ty.as_ref().map(|ty| self.ty(ty, depth).map(Box::new)).transpose();
                WitType::Result {
                    ok: side(&result.ok)?,
                    err: side(&result.err)?,
                }
            }
            TypeDefKind::Tuple(tuple) => WitType::Tuple(
                tuple
                    .types
                    .iter()
                    .map(|ty| self.ty(ty, depth))
                    .collect::<Result<_, _>>()?,
            ),
            TypeDefKind::Record(record) => {
                let mut parts = Vec::new();
                for field in &record.fields {
                    let docs = part_docs(&field.docs, &field.name);
                    parts.push(Part {
                        name: field.name.clone(),
                        docs,
                        ty: self.ty(&field.ty, depth)?,
                    });
                }
                WitType::Record(Named { name, docs, parts })
            }
            TypeDefKind::Variant(variant) => {
                let mut parts = Vec::new();
                for case in &variant.cases {
                    let ty = case.ty.as_ref().map(|ty| self.ty(ty, depth)).transpose()?;
                    parts.push(Part {
                        name: case.name.clone(),
                        docs: part_docs(&case.docs, &case.name),
                        ty,
                    });
                }
                WitType::Variant(Named { name, docs, parts })
            }
            TypeDefKind::Enum(cases) => {
                let part = |case: &wit_parser::EnumCase| (case.name.clone(), part_docs(&case.docs, &case.name));
                WitType::Enum(named(name, docs, cases.cases.iter().map(part)))
            }
            TypeDefKind::Flags(flags) => {
                let part = |flag: &wit_parser::Flag| (flag.name.clone(), part_docs(&flag.docs, &flag.name));
                WitType::Flags(named(name, docs, flags.flags.iter().map(part)))
            }
            TypeDefKind::Resource | TypeDefKind::Handle(_) => {
                return Err("it uses a resource, which is not a value".into());
            }
            TypeDefKind::Future(_) | TypeDefKind::Stream(_) => {
                return Err("it uses a stream or future; WASI 0.3 components are not called yet".into());
            }
            _ => return Err("it uses a type this host does not carry".into()),
        })
    }

    fn interface_of(&self, owner: TypeOwner) -> Option<String> {
        match owner {
            TypeOwner::Interface(id) => self.resolve.id_of(id),
            _ => None,
        }
    }
}

fn named(name: String, docs: Option<String>, parts: impl Iterator<Item = (String, Option<String>)>) -> Named<()> {
    let parts = parts.map(|(name, docs)| Part { name, docs, ty: () }).collect();
    Named { name, docs, parts }
}

/// The doc comments of a WIT package, in the form `wit-parser` defines for its `package-docs` custom section.
#[derive(Debug, Default, Deserialize)]
struct Docs {
    #[serde(default)]
    worlds: BTreeMap<String, WorldDocs>,
    #[serde(default)]
    interfaces: BTreeMap<String, InterfaceDocs>,
}

#[derive(Debug, Default, Deserialize)]
struct WorldDocs {
    #[serde(default)]
    funcs: BTreeMap<String, ItemDocs>,
    #[serde(default)]
    func_exports: BTreeMap<String, ItemDocs>,
    #[serde(default, alias = "interface_imports_or_exports")]
    interfaces: BTreeMap<String, InterfaceDocs>,
    #[serde(default)]
    interface_exports: BTreeMap<String, InterfaceDocs>,
    #[serde(default)]
    types: BTreeMap<String, TypeDocs>,
}

#[derive(Debug, Default, Deserialize)]
struct InterfaceDocs {
    #[serde(default)]
    funcs: BTreeMap<String, ItemDocs>,
    #[serde(default)]
    types: BTreeMap<String, TypeDocs>,
}

/// Some writers give a plain string, others an object with `docs`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum ItemDocs {
    Text(String),
    Object {
        #[serde(default)]
        docs: Option<String>,
    },
}

impl ItemDocs {
    fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Object { docs } => docs.clone(),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
struct TypeDocs {
    #[serde(default)]
    docs: Option<String>,
    #[serde(default)]
    items: BTreeMap<String, String>,
}

impl Docs {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut depth = 0_usize;
        for payload in wasmparser::Parser::new(0).parse_all(bytes) {
            match payload.ok()? {
                wasmparser::Payload::ModuleSection { .. } | wasmparser::Payload::ComponentSection { .. } => depth += 1,
                wasmparser::Payload::End(_) => depth = depth.saturating_sub(1),
                wasmparser::Payload::CustomSection(section)
                    if depth == 0 && section.name() == DOCS_SECTION && section.data().len() <= DOCS_BYTES_MAX =>
                {
                    // The first byte is the section's version; the rest is JSON.
                    return serde_json::from_slice(section.data().get(1..)?).ok();
                }
                _ => {}
            }
        }
        None
    }

    fn function(&self, instance: Option<&str>, name: &str) -> Option<String> {
        let Some(instance) = instance else {
            return self
                .worlds
                .values()
                .find_map(|world| world.func_exports.get(name).or_else(|| world.funcs.get(name))?.text());
        };
        let interface = short_name(instance);
        let inline = self.worlds.values().find_map(|world| {
            world
                .interface_exports
                .get(interface)
                .or_else(|| world.interfaces.get(interface))
        });
        self.interfaces.get(interface).or(inline)?.funcs.get(name)?.text()
    }

    fn ty(&self, instance: Option<&str>, name: &str) -> Option<&TypeDocs> {
        if name.is_empty() {
            return None;
        }
        let in_interface = instance.and_then(|instance| self.interfaces.get(short_name(instance))?.types.get(name));
        in_interface
            .or_else(|| self.worlds.values().find_map(|world| world.types.get(name)))
            .or_else(|| self.interfaces.values().find_map(|interface| interface.types.get(name)))
    }
}
