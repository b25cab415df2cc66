//! Registries that lie, trickle, never end, go back and lead elsewhere, before a real host: each is refused by its own code,
//! nothing of it is compiled or kept, and the host goes on serving.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use kinetic_identity::{
    IndexDocument, IndexEntry, Role, RootDocument, RootFolder, RootKey, SignedIndex, SignedRoot, SigningKey, Thresholds,
};
use kinetic_testkit::author::manifest;
use kinetic_testkit::guests;
use kinetic_testkit::host::{Host, Said, kinetic_in};
use kinetic_testkit::hostile::{Answer, HostileRegistry, Offer, Protocol, gzip_bomb};
use serde_json::json;

/// In every component that is to be refused; what is kept of one has it.
const MARKER: &[u8] = b"no host keeps anything of these bytes";
/// What the bomb becomes.
const BOMB_BYTES: usize = 16 << 20;
const BOTH: [Protocol; 2] = [Protocol::Http, Protocol::Oci];

/// The namespace that the registry of a protocol is asked for.
fn namespace(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http => "plain",
        Protocol::Oci => "boxed",
    }
}

/// The one of those that has a root document, and so an index.
fn listed(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http => "plainlisted",
        Protocol::Oci => "boxedlisted",
    }
}

/// A host that knows a hostile registry by two names, once for each protocol.
struct World {
    registry: HostileRegistry,
    /// Somewhere nobody is to be led.
    elsewhere: HostileRegistry,
    host: Host,
    variables: Vec<(&'static str, &'static str)>,
    /// Signs for the namespaces without an index.
    key: SigningKey,
    /// Is trusted as well, but for another namespace.
    stranger: SigningKey,
    /// Signs everything of the namespaces with an index.
    owner: SigningKey,
}

impl World {
    fn with(variables: &[(&'static str, &'static str)]) -> Self {
        let [key, stranger, owner] = std::array::from_fn(|_| SigningKey::generate().unwrap());
        let world = Self {
            registry: HostileRegistry::start(),
            elsewhere: HostileRegistry::start(),
            host: Host::start_with(variables),
            variables: variables.to_vec(),
            key,
            stranger,
            owner,
        };
        world.in_folder(&["keys", "trust", "others", &world.stranger.public().to_string()]);
        let roots = RootFolder::beside(&world.host.folder.join("data/trust.json"));
        for protocol in BOTH {
            let (name, with_index, place) = (namespace(protocol), listed(protocol), world.registry.place(protocol));
            let add = ["registry", "add", name, &place, "--namespace", name];
            world.in_folder(&[&add[..], &["--namespace", with_index]].concat());
            world.in_folder(&["keys", "trust", name, &world.key.public().to_string()]);
            roots.pin(&root(with_index, &world.owner), 0).unwrap();
            world.runs(protocol, &world.offer_in(name, "good", b"good", &world.key));
        }
        world
    }

    /// A command about the host's own folder.
    fn in_folder(&self, args: &[&str]) {
        self.host.kinetic(&[&["--data", "data"][..], args].concat()).fine();
    }

    /// A version of its own; the component of each is another one, and all have the marker.
    fn offer(&self, protocol: Protocol, name: &str) -> Offer {
        self.offer_in(namespace(protocol), name, MARKER, &self.key)
    }

    fn offer_in(&self, namespace: &str, name: &str, marker: &[u8], key: &SigningKey) -> Offer {
        let own = [marker, namespace.as_bytes(), name.as_bytes()].concat();
        let component = guests::with_padding(&guests::padded_echo(0, 0), &own, 4_096);
        Offer::signed(&asks(namespace, name, "1.0.0"), &component, key)
    }

    /// The registry answers honestly, and the host runs it.
    fn runs(&self, protocol: Protocol, offer: &Offer) {
        self.registry.offers(protocol, offer);
        let answer = self.host.execute(&offer.urn(), "echo", json!({ "text": "hi" }));
        assert_eq!(answer.json()["output"], json!("hi"), "{}", answer.text());
    }

    fn call_and_pull(&self, urn: &str) -> [Said; 2] {
        let command = |args: &[&str]| kinetic_in(&self.host.folder, &self.variables, args);
        let call = ["--output", "json", "--host", &self.host.url, "call", urn];
        let arguments = ["--function", "echo", "--args", r#"{"text":"hi"}"#];
        [
            command(&[&call[..], &arguments].concat()),
            command(&["--output", "json", "--data", "data", "pull", urn]),
        ]
    }

    fn component_is(&self, protocol: Protocol, offer: &Offer, answer: Answer) {
        self.registry.answers(&offer.component_at(protocol), answer);
    }

    fn description_is(&self, protocol: Protocol, offer: &Offer, answer: Answer) {
        self.registry.answers(&offer.described_at(protocol), answer);
    }

    /// Called and pulled it is refused with that code, saying that, and nothing of it stays.
    fn refuses(&self, offer: &Offer, code: &str, says: &str) {
        let before = self.kept();
        for said in self.call_and_pull(&offer.urn()) {
            assert_eq!(said.code(), code, "{} {said:?}", offer.urn());
            assert!(said.stdout.contains(says), "{} {said:?}", offer.urn());
        }
        assert_eq!(self.kept(), before, "{}", offer.urn());
        self.serves_others();
    }

    fn serves_others(&self) {
        for protocol in BOTH {
            let urn = format!("urn:{}:actionspace:solver:good:v1", namespace(protocol));
            let answer = self.host.execute(&urn, "echo", json!({ "text": "still here" }));
            assert_eq!(answer.json()["output"], json!("still here"), "{}", answer.text());
        }
    }

    /// How much was compiled, and what is kept.
    fn kept(&self) -> (String, BTreeSet<PathBuf>) {
        let metrics = self.host.get("/metrics").text();
        let mut lines = metrics.lines();
        let compilations = lines.find(|line| line.starts_with("kinetic_compilations_total "));
        let data = self.host.folder.join("data");
        let kept = ["code-cache", "cache", "store"].map(|folder| files(&data.join(folder)));
        (compilations.unwrap().to_string(), kept.into_iter().flatten().collect())
    }

    /// Puts up an index of the namespace that has one.
    fn puts_up(&self, protocol: Protocol, version: u64, expires_unix_ms: u64, mut entries: Vec<IndexEntry>) {
        entries.sort_by(|a, b| (a.urn.as_str(), &a.version).cmp(&(b.urn.as_str(), &b.version)));
        let document = IndexDocument {
            entries,
            expires_unix_ms,
            namespace: listed(protocol).into(),
            version,
        };
        let index = SignedIndex::sign(document, &self.owner).unwrap();
        self.registry.puts_up(protocol, &index);
    }
}

fn asks(namespace: &str, name: &str, version: &str) -> serde_json::Value {
    let mut asks = manifest("hostile", version);
    asks["id"] = json!(format!("urn:{namespace}:actionspace:solver:{name}:v1"));
    asks
}

/// The root document of a namespace, with one key for everything.
fn root(namespace: &str, key: &SigningKey) -> SignedRoot {
    let document = RootDocument {
        expires_unix_ms: u64::MAX,
        keys: vec![RootKey {
            key_id: key.public().id(),
            public_key: key.public(),
            roles: Role::ALL.to_vec(),
        }],
        namespace: namespace.into(),
        revoked_digests: Vec::new(),
        thresholds: Thresholds {
            index: 1,
            release: 1,
            root: 1,
        },
        version: 1,
    };
    SignedRoot::sign(document, key).unwrap()
}

/// All files below a folder, which need not be there.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect()
}

fn half(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len() / 2]
}

/// What a capsule is called that something is tried with, what it is refused with, and what makes an honest answer about it
/// a hostile one.
type Hostility = (&'static str, &'static str, fn(&World, Protocol, &Offer));

/// What is tried over both protocols.
const HOSTILITIES: [Hostility; 13] = [
    ("wrong_bytes", "KIN-REG-0007", |world, protocol, offer| {
        let mut bytes = offer.component.clone();
        *bytes.last_mut().unwrap() ^= 1;
        world.component_is(protocol, offer, Answer::of(bytes));
    }),
    ("shorter", "KIN-REG-0005", |world, protocol, offer| {
        world.component_is(protocol, offer, Answer::of(half(&offer.component)));
    }),
    ("ends_early", "KIN-REG-0005", |world, protocol, offer| {
        world.component_is(protocol, offer, Answer::unannounced(half(&offer.component)));
    }),
    ("breaks_off_each_time", "KIN-REG-0015", |world, protocol, offer| {
        let answer = Answer::cut_off(half(&offer.component), offer.component.len());
        world.component_is(protocol, offer, answer);
    }),
    ("longer", "KIN-REG-0006", |world, protocol, offer| {
        let longer = [&offer.component[..], b"!"].concat();
        world.component_is(protocol, offer, Answer::of(longer));
    }),
    ("endless", "KIN-REG-0006", |world, protocol, offer| {
        world.component_is(protocol, offer, Answer::endless());
    }),
    ("endless_description", "KIN-REG-0003", |world, protocol, offer| {
        world.description_is(protocol, offer, Answer::endless());
    }),
    ("other_digest", "KIN-IDN-0028", |world, protocol, offer| {
        // All that the registry says of it fits, but for what was signed.
        let component = guests::with_padding(&offer.component, MARKER, 1);
        let other = Offer {
            component,
            ..offer.clone()
        };
        world.registry.offers(protocol, &other);
    }),
    ("other_namespaces_key", "KIN-IDN-0025", |world, protocol, offer| {
        let manifest = serde_json::from_str(&offer.manifest).unwrap();
        let theirs = Offer::signed(&manifest, &offer.component, &world.stranger);
        world.registry.offers(protocol, &theirs);
    }),
    ("doubled_keys", "KIN-REG-0018", |world, protocol, offer| {
        // Most readers take the last one, and would find nothing odd.
        let first = match protocol {
            Protocol::Http => r#"{"size_bytes":1,"#,
            Protocol::Oci => r#"{"schemaVersion":1,"#,
        };
        let doubled = offer.description(protocol).replacen('{', first, 1);
        world.description_is(protocol, offer, Answer::of(doubled));
    }),
    ("bomb", "KIN-REG-0050", |world, protocol, offer| {
        world.component_is(protocol, offer, Answer::gzip(gzip_bomb(BOMB_BYTES)));
    }),
    ("bomb_as_description", "KIN-REG-0050", |world, protocol, offer| {
        world.description_is(protocol, offer, Answer::gzip(gzip_bomb(BOMB_BYTES)));
    }),
    ("description_elsewhere", "KIN-REG-0017", |world, protocol, offer| {
        let there = format!("{}/there", world.elsewhere.place(Protocol::Http));
        world.description_is(protocol, offer, Answer::redirect(&there));
    }),
];

/// Where no registry may lead, and this machine's neither: inside without TLS, and to what keeps the secrets of clouds.
const PRIVATE: [(&str, &str); 4] = [
    ("leads_inside", "http://10.0.0.1/component.wasm"),
    ("leads_to_secrets", "https://169.254.169.254/latest/meta-data/"),
    ("leads_to_new_secrets", "https://[fd00:ec2::254]/latest/meta-data/"),
    ("leads_to_a_file", "file:///etc/hostname"),
];

#[test]
fn what_a_hostile_registry_sends_is_refused_by_name_and_nothing_of_it_is_compiled_or_kept() {
    let world = World::with(&[]);
    for protocol in BOTH {
        for (name, code, spoil) in HOSTILITIES {
            let offer = world.offer(protocol, name);
            world.registry.offers(protocol, &offer);
            spoil(&world, protocol, &offer);
            world.refuses(&offer, code, "");
        }
        let code = match protocol {
            // These follow no redirect at all.
            Protocol::Http => "KIN-REG-0017",
            Protocol::Oci => "KIN-REG-0035",
        };
        for (name, location) in PRIVATE {
            let offer = world.offer(protocol, name);
            world.registry.offers(protocol, &offer);
            world.component_is(protocol, &offer, Answer::redirect(location));
            world.refuses(&offer, code, "");
        }
    }
    assert_eq!(world.elsewhere.asked(), Vec::<String>::new());
    assert_eq!(holding_marker(&world), Vec::<PathBuf>::new());
    // Nothing stayed that would stand in the way of what is honest after all, or count for it.
    for protocol in BOTH {
        for (name, ..) in HOSTILITIES {
            world.runs(protocol, &world.offer(protocol, name));
        }
    }
    assert!(!holding_marker(&world).is_empty(), "it would have been found");
}

#[test]
fn an_index_that_goes_back_stands_still_or_lists_what_is_hidden_is_refused_by_name() {
    let world = World::with(&[("KINETIC_REGISTRY__INDEX_MAX_AGE_S", "0")]);
    for protocol in BOTH {
        let offer = |name: &str| world.offer_in(listed(protocol), name, MARKER, &world.owner);
        let [first, next] = [offer("first"), offer("next")];
        let both = || vec![first.entry(), next.entry()];
        world.registry.offers(protocol, &next);
        world.puts_up(protocol, 5, u64::MAX, vec![first.entry()]);
        world.runs(protocol, &first);
        world.refuses(&next, "KIN-REG-0060", "");
        world.puts_up(protocol, 4, u64::MAX, both());
        world.refuses(&next, "KIN-REG-0065", "KIN-IDN-0043");
        world.puts_up(protocol, 6, 1, both());
        world.refuses(&next, "KIN-REG-0065", "KIN-IDN-0045");
        // It has an older version only, and would have that taken for the newest.
        let newer = Offer::signed(&asks(listed(protocol), "next", "1.1.0"), &next.component, &world.owner);
        let all = [both(), vec![newer.entry()]].concat();
        world.puts_up(protocol, 7, u64::MAX, all.clone());
        world.refuses(&next, "KIN-REG-0064", "");
        world.puts_up(protocol, 8, u64::MAX, all);
        world.runs(protocol, &newer);
    }
}

#[test]
fn a_registry_that_sends_a_byte_a_second_is_given_up_by_name_and_keeps_nobody_waiting() {
    let world = World::with(&[
        ("KINETIC_REGISTRY__ANSWER_TIMEOUT_MS", "8000"),
        ("KINETIC_REGISTRY__DOWNLOAD_WINDOW_MS", "8000"),
    ]);
    let mut refused = Vec::new();
    for protocol in BOTH {
        let [description, component] = ["slow_description", "slow_component"].map(|name| world.offer(protocol, name));
        for offer in [&description, &component] {
            world.registry.offers(protocol, offer);
        }
        let slow = Answer::slow(description.description(protocol));
        world.description_is(protocol, &description, slow);
        world.component_is(protocol, &component, Answer::slow(component.component.clone()));
        refused.push((description, "KIN-REG-0016", "did not answer in time"));
        refused.push((component, "KIN-REG-0008", "in 8000 ms"));
    }
    let before = world.kept();
    std::thread::scope(|threads| {
        let world = &world;
        let asking = refused.iter().map(|(offer, code, says)| {
            let asking = threads.spawn(move || world.call_and_pull(&offer.urn()));
            (asking, *code, *says)
        });
        let asking: Vec<_> = asking.collect();
        world.serves_others();
        for (asking, code, says) in asking {
            for said in asking.join().unwrap() {
                assert_eq!(said.code(), code, "{said:?}");
                assert!(said.stdout.contains(says), "{said:?}");
            }
        }
    });
    assert_eq!(world.kept(), before);
    assert_eq!(holding_marker(&world), Vec::<PathBuf>::new());
}

/// The files of the host that hold something of a component which is to be refused.
fn holding_marker(world: &World) -> Vec<PathBuf> {
    let mut found = files(&world.host.folder.join("data"));
    found.retain(|path| {
        // What cannot be read, like a socket, holds nothing.
        let bytes = std::fs::read(path).unwrap_or_default();
        bytes.windows(MARKER.len()).any(|window| window == MARKER)
    });
    found
}
