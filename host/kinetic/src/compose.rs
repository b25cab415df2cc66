//! Puts components together into one: what the parts export goes where the others import it.

use std::collections::BTreeSet;

use kinetic_kernel::{Interface, KernelError, Manifest};
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions, NodeId, PackageId};

/// A capsule of a composition.
pub struct Part {
    /// Its manifest.
    pub manifest: Manifest,
    /// Its component.
    pub component: Vec<u8>,
}

/// An import that is met inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plug {
    /// Which part imports it: 0 is the dependent, 1 the first of the others.
    pub into: usize,
    /// What it imports, as it names it.
    pub import: String,
    /// Which part exports it.
    pub from: usize,
}

/// Components in one.
#[derive(Debug)]
pub struct Composition {
    /// The component.
    pub component: Vec<u8>,
    /// Every import that is met inside, by part and name.
    pub plugs: Vec<Plug>,
    /// What it still imports, sorted.
    pub imports: Vec<String>,
}

impl Composition {
    /// The interfaces that nobody outside is asked for any more.
    pub fn inside(&self) -> Vec<Interface> {
        let closed = self.plugs.iter().map(|plug| &plug.import);
        let closed = closed.filter(|import| !self.imports.contains(import));
        closed.filter_map(|import| Interface::parse(import)).collect()
    }
}

/// One part in the graph.
struct Node {
    name: String,
    package: PackageId,
    imports: Vec<String>,
    exports: Vec<String>,
    /// Made when it is used: one instance, whoever uses it.
    instance: Option<NodeId>,
}

/// Plugs the parts into the dependent, and into each other where they import each other. What the dependent exports is
/// what the whole exports.
///
/// # Errors
/// `NothingPlugged` for a part that nobody uses, `NotComposable` when types or imports do not go together, when two parts
/// export the same, or when parts use each other in a circle.
pub fn compose(dependent: &Part, parts: &[Part]) -> Result<Composition, KernelError> {
    let mut graph = CompositionGraph::new();
    let all = std::iter::once(dependent).chain(parts);
    let mut nodes = all
        .map(|part| register(&mut graph, part))
        .collect::<Result<Vec<_>, _>>()?;
    let whole = dependent.manifest.id.to_string();
    let mut plugs = Vec::new();
    for (into, node) in nodes.iter().enumerate() {
        for import in &node.imports {
            if let Some((from, export)) = provider(&nodes, into, import)? {
                plugs.push((into, import.clone(), from, export));
            }
        }
    }
    for (place, node) in nodes.iter().enumerate().skip(1) {
        if !plugs.iter().any(|(_, _, from, _)| *from == place) {
            return Err(nothing_of(node, &nodes));
        }
    }
    for node in &mut nodes {
        node.instance = Some(graph.instantiate(node.package));
    }
    let instance = |place: usize| nodes.get(place).and_then(|node| node.instance);
    for (into, import, from, export) in &plugs {
        let (Some(into), Some(from)) = (instance(*into), instance(*from)) else {
            continue;
        };
        let exported = graph
            .alias_instance_export(from, export)
            .map_err(|e| conflict(&whole, &e))?;
        let set = graph.set_instantiation_argument(into, import, exported);
        set.map_err(|e| conflict(&whole, &e))?;
    }
    if let Some((first, instance)) = nodes.first().and_then(|node| Some((node, node.instance?))) {
        for export in &first.exports {
            let exported = graph
                .alias_instance_export(instance, export)
                .map_err(|e| conflict(&whole, &e))?;
            graph.export(exported, export).map_err(|e| conflict(&whole, &e))?;
        }
    }
    let component = graph
        .encode(EncodeOptions::default())
        .map_err(|e| conflict(&whole, &e))?;
    // Each instance tells what it lacks; the component has each name once.
    let imports: BTreeSet<String> = graph.imports().map(|(name, ..)| name.to_string()).collect();
    let plugs = plugs
        .into_iter()
        .map(|(into, import, from, _)| Plug { into, import, from });
    Ok(Composition {
        component,
        plugs: plugs.collect(),
        imports: imports.into_iter().collect(),
    })
}

fn register(graph: &mut CompositionGraph, part: &Part) -> Result<Node, KernelError> {
    let name = part.manifest.id.to_string();
    let package = Package::from_bytes(&name, None, part.component.clone(), graph.types_mut());
    let package = package.map_err(|e| KernelError::NotComposable {
        what: name.clone(),
        why: format!("{e:#}"),
    })?;
    let world = package.ty();
    let package = graph.register_package(package).map_err(|e| conflict(&name, &e))?;
    let world = &graph.types()[world];
    Ok(Node {
        name,
        package,
        imports: world.imports.keys().cloned().collect(),
        exports: world.exports.keys().cloned().collect(),
        instance: None,
    })
}

/// The part that exports what another one imports, and the export's name; none when nobody does.
fn provider(nodes: &[Node], into: usize, import: &str) -> Result<Option<(usize, String)>, KernelError> {
    let others = nodes.iter().enumerate().skip(1).filter(|(place, _)| *place != into);
    let mut found = others.filter_map(|(place, node)| Some((place, matching(&node.exports, import)?)));
    let first = found.next();
    if let (Some((first, _)), Some((second, _))) = (&first, found.next()) {
        let named = |place: usize| nodes.get(place).map_or("", |node| node.name.as_str());
        return Err(KernelError::NotComposable {
            what: named(into).to_string(),
            why: format!("both {} and {} export {import}", named(*first), named(second)),
        });
    }
    Ok(first)
}

/// The newest export that can be given where `import` is asked for.
fn matching(exports: &[String], import: &str) -> Option<String> {
    if let Some(same) = exports.iter().find(|export| *export == import) {
        return Some(same.clone());
    }
    let asked = Interface::parse(import)?;
    let offered = exports
        .iter()
        .filter_map(|export| Some((Interface::parse(export)?, export)));
    let meeting = offered.filter(|(offered, _)| offered.meets(&asked));
    meeting
        .max_by(|(a, _), (b, _)| a.version.cmp(&b.version))
        .map(|(_, export)| export.clone())
}

fn nothing_of(node: &Node, nodes: &[Node]) -> KernelError {
    let others = nodes.iter().filter(|other| other.name != node.name);
    // WASI is the host's to give; naming it here would hide what matters.
    let asked = others
        .flat_map(|other| &other.imports)
        .filter(|import| !import.starts_with("wasi:"));
    KernelError::NothingPlugged {
        what: node.name.clone(),
        offers: listed(node.exports.iter()),
        asks: listed(asked),
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    if names.is_empty() {
        "nothing".into()
    } else {
        names.join(", ")
    }
}

fn conflict(what: &str, error: &dyn std::error::Error) -> KernelError {
    let mut why = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        why = format!("{why}: {error}");
        cause = error.source();
    }
    KernelError::NotComposable {
        what: what.to_string(),
        why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str, component: &str) -> Part {
        let manifest = format!(
            r#"{{ "id": "urn:acme:actionspace:solver:{name}:v1", "version": "1.0.0", "type": "logic",
                "description": "A part.", "capabilities": {{ "provides": ["acme:{name}/api@1.0.0"] }},
                "governance": {{ "tier": "local", "trust_zone": "tenant", "determinism": "D0_bit_exact" }} }}"#
        );
        Part {
            manifest: Manifest::parse(&manifest).unwrap(),
            component: wat::parse_str(component).unwrap(),
        }
    }

    /// A component that exports `interface` with one function and imports nothing.
    fn leaf(name: &str, interface: &str, result: &str) -> Part {
        let core = if result == "u64" { "i64" } else { "i32" };
        let text = format!(
            r#"(component
                (core module $m (func (export "get") (result {core}) {core}.const 42))
                (core instance $i (instantiate $m))
                (func $get (result {result}) (canon lift (core func $i "get")))
                (instance $api (export "get" (func $get)))
                (export "{interface}" (instance $api)))"#
        );
        part(name, &text)
    }

    /// A component that exports `interface`, whose function calls the one it imports.
    fn user(name: &str, interface: &str, import: &str) -> Part {
        let text = format!(
            r#"(component
                (import "{import}" (instance $other (export "get" (func (result u32)))))
                (core func $get (canon lower (func $other "get")))
                (core module $m
                    (import "other" "get" (func $get (result i32)))
                    (func (export "get") (result i32) call $get))
                (core instance $i (instantiate $m (with "other" (instance (export "get" (func $get))))))
                (func $own (result u32) (canon lift (core func $i "get")))
                (instance $api (export "get" (func $own)))
                (export "{interface}" (instance $api)))"#
        );
        part(name, &text)
    }

    const API: &str = "acme:app/api@1.0.0";
    const QUERY: &str = "acme:db/query@1.2.0";
    const BLOCKS: &str = "acme:disk/blocks@1.0.0";

    /// Imports and exports of a component, read back out of its bytes.
    fn names(component: &[u8]) -> (Vec<String>, Vec<String>) {
        let mut graph = CompositionGraph::new();
        let package = Package::from_bytes("whole", None, component, graph.types_mut()).unwrap();
        let world = &graph.types()[package.ty()];
        (
            world.imports.keys().cloned().collect(),
            world.exports.keys().cloned().collect(),
        )
    }

    #[test]
    fn a_part_is_plugged_in_where_its_newer_interface_is_asked_for() {
        let app = user("app", API, "acme:db/query@1.0.0");
        let whole = compose(&app, &[leaf("db", QUERY, "u32")]).unwrap();
        assert_eq!(names(&whole.component), (vec![], vec![API.to_string()]));
        let plug = Plug {
            into: 0,
            import: "acme:db/query@1.0.0".into(),
            from: 1,
        };
        assert_eq!(whole.plugs, [plug]);
        assert_eq!(whole.inside(), [Interface::parse("acme:db/query@1.0.0").unwrap()]);
    }

    #[test]
    fn parts_are_plugged_into_each_other_and_what_nobody_has_stays_an_import() {
        let (app, db) = (user("app", API, QUERY), user("db", QUERY, BLOCKS));
        let open = compose(&app, std::slice::from_ref(&db)).unwrap();
        assert_eq!(
            names(&open.component),
            (vec![BLOCKS.to_string()], vec![API.to_string()])
        );
        assert_eq!(open.imports, [BLOCKS]);
        let closed = compose(&app, &[db, leaf("disk", BLOCKS, "u32")]).unwrap();
        assert_eq!(names(&closed.component), (vec![], vec![API.to_string()]));
    }

    #[test]
    fn a_part_that_nobody_uses_is_refused_with_what_was_asked_for() {
        let app = user("app", API, QUERY);
        let old = compose(&app, &[leaf("db", "acme:db/query@1.1.0", "u32")]).unwrap_err();
        let KernelError::NothingPlugged { offers, asks, .. } = &old else {
            panic!("{old}")
        };
        assert_eq!((offers.as_str(), asks.as_str()), ("acme:db/query@1.1.0", QUERY));
    }

    #[test]
    fn two_parts_that_export_the_same_are_refused() {
        let app = user("app", API, QUERY);
        let error = compose(&app, &[leaf("db", QUERY, "u32"), leaf("store", QUERY, "u32")]).unwrap_err();
        assert!(matches!(error, KernelError::NotComposable { .. }), "{error}");
        assert!(error.to_string().contains("solver:db:v1 and"), "{error}");
    }

    #[test]
    fn an_interface_of_the_same_name_and_another_shape_is_refused() {
        let error = compose(&user("app", API, QUERY), &[leaf("db", QUERY, "u64")]).unwrap_err();
        assert!(error.to_string().contains(QUERY), "{error}");
    }

    #[test]
    fn imports_of_one_name_and_different_shapes_are_refused() {
        let clash = r#"(component
            (import "acme:disk/blocks@1.0.0" (instance (export "get" (func (result u64)))))
            (core module $m (func (export "get") (result i32) i32.const 1))
            (core instance $i (instantiate $m))
            (func $get (result u32) (canon lift (core func $i "get")))
            (instance $api (export "get" (func $get)))
            (export "acme:log/sink@1.0.0" (instance $api)))"#;
        let two = r#"(component
            (import "acme:db/query@1.2.0" (instance (export "get" (func (result u32)))))
            (import "acme:log/sink@1.0.0" (instance (export "get" (func (result u32))))))"#;
        let error = compose(&part("app", two), &[user("db", QUERY, BLOCKS), part("log", clash)]).unwrap_err();
        assert!(error.to_string().contains(BLOCKS), "{error}");
    }

    #[test]
    fn parts_that_use_each_other_in_a_circle_are_refused() {
        let app = user("app", API, QUERY);
        let error = compose(&app, &[user("db", QUERY, BLOCKS), user("disk", BLOCKS, QUERY)]).unwrap_err();
        assert!(error.to_string().contains("cycle"), "{error}");
    }

    #[test]
    fn what_is_no_component_is_named() {
        let module = part("db", "(module)");
        let error = compose(&user("app", API, QUERY), &[module]).unwrap_err();
        assert!(error.to_string().contains("solver:db:v1"), "{error}");
    }
}
