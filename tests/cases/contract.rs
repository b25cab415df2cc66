//! The WIT packages parse, and no item of ours lacks a description: descriptions are what people and models read.

use std::path::Path;

use kinetic_testkit::guests::root;
use wit_parser::{Docs, Resolve, TypeDefKind, WorldItem};

fn undocumented(folder: &Path) -> Vec<String> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve
        .push_dir(folder)
        .unwrap_or_else(|e| panic!("{}: {e:#}", folder.display()));
    let mut missing = Vec::new();
    let mut check = |what: &str, docs: &Docs| {
        if docs.contents.as_deref().is_none_or(|text| text.trim().is_empty()) {
            missing.push(what.to_string());
        }
    };
    for (name, id) in &resolve.packages[package].interfaces {
        let interface = &resolve.interfaces[*id];
        check(name, &interface.docs);
        interface
            .functions
            .iter()
            .for_each(|(name, function)| check(name, &function.docs));
    }
    for (name, id) in &resolve.packages[package].worlds {
        check(name, &resolve.worlds[*id].docs);
        for item in resolve.worlds[*id].exports.values() {
            if let WorldItem::Function(function) = item {
                check(&function.name, &function.docs);
            }
        }
    }
    let ours = |owner: &wit_parser::TypeOwner| match owner {
        wit_parser::TypeOwner::World(id) => resolve.worlds[*id].package == Some(package),
        wit_parser::TypeOwner::Interface(id) => resolve.interfaces[*id].package == Some(package),
        wit_parser::TypeOwner::None => false,
    };
    for (_, ty) in resolve.types.iter().filter(|(_, ty)| ours(&ty.owner)) {
        let name = ty.name.clone().unwrap_or_default();
        match &ty.kind {
            TypeDefKind::Type(_) => continue,
            TypeDefKind::Record(r) => r
                .fields
                .iter()
                .for_each(|f| check(&format!("{name}.{}", f.name), &f.docs)),
            TypeDefKind::Variant(v) => v
                .cases
                .iter()
                .for_each(|c| check(&format!("{name}.{}", c.name), &c.docs)),
            TypeDefKind::Enum(e) => e
                .cases
                .iter()
                .for_each(|c| check(&format!("{name}.{}", c.name), &c.docs)),
            TypeDefKind::Flags(f) => f
                .flags
                .iter()
                .for_each(|f| check(&format!("{name}.{}", f.name), &f.docs)),
            _ => {}
        }
        if !name.is_empty() {
            check(&name, &ty.docs);
        }
    }
    missing
}

#[test]
fn every_item_of_every_package_of_ours_has_a_description() {
    let examples = ["redact", "chunk", "profile", "fetch"].map(|name| format!("components/examples/{name}/wit"));
    for folder in std::iter::once("wit/kinetic-capsule".to_string()).chain(examples) {
        assert_eq!(undocumented(&root().join(&folder)), Vec::<String>::new(), "{folder}");
    }
}
