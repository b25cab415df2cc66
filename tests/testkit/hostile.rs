//! A registry that answers what it is told to, byte for byte: also what no honest one would say, and never end.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use kinetic_identity::{IndexEntry, SignedIndex, SigningKey};
use kinetic_model::Digest;
use serde_json::{Value, json};

use crate::author::receipt;
use crate::between::head;
use crate::registry_server::CAPABILITIES;

/// Below which everything lies that is asked for by OCI.
const PREFIX: &str = "team";

/// How a registry is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// As a host or a registry of one's own is.
    Http,
    /// The OCI distribution protocol.
    Oci,
}

/// What is answered.
#[derive(Clone)]
pub struct Answer {
    status: u16,
    field: Option<(&'static str, String)>,
    body: Body,
}

#[derive(Clone)]
enum Body {
    Whole(Vec<u8>),
    Unannounced(Vec<u8>),
    CutOff(Vec<u8>, usize),
    Endless,
    Slow(Vec<u8>),
}

impl Answer {
    /// 200, with their length.
    pub fn of(bytes: impl Into<Vec<u8>>) -> Self {
        Self::with(Body::Whole(bytes.into()))
    }

    /// Without a length: where the connection ends they end.
    pub fn unannounced(bytes: impl Into<Vec<u8>>) -> Self {
        Self::with(Body::Unannounced(bytes.into()))
    }

    /// After them the connection is closed, and more were announced.
    pub fn cut_off(bytes: impl Into<Vec<u8>>, announced: usize) -> Self {
        Self::with(Body::CutOff(bytes.into(), announced))
    }

    /// Without a length, and without an end.
    pub fn endless() -> Self {
        Self::with(Body::Endless)
    }

    /// With their length, one byte a second.
    pub fn slow(bytes: impl Into<Vec<u8>>) -> Self {
        Self::with(Body::Slow(bytes.into()))
    }

    /// Said to be encoded with gzip.
    pub fn gzip(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            field: Some(("content-encoding", "gzip".into())),
            ..Self::of(bytes)
        }
    }

    /// 302 to another place.
    pub fn redirect(location: &str) -> Self {
        Self {
            status: 302,
            field: Some(("location", location.into())),
            ..Self::of("")
        }
    }

    const fn with(body: Body) -> Self {
        Self {
            status: 200,
            field: None,
            body,
        }
    }

    /// None when whoever asked is gone before the end.
    fn send(&self, peer: &mut TcpStream) -> Option<()> {
        let length = match &self.body {
            Body::Whole(bytes) | Body::Slow(bytes) => Some(bytes.len()),
            Body::CutOff(_, announced) => Some(*announced),
            Body::Unannounced(_) | Body::Endless => None,
        };
        let mut head = format!("HTTP/1.1 {} -\r\nconnection: close\r\n", self.status);
        head += &length.map_or(String::new(), |length| format!("content-length: {length}\r\n"));
        if let Some((name, value)) = &self.field {
            head += &format!("{name}: {value}\r\n");
        }
        head += "\r\n";
        peer.write_all(head.as_bytes()).ok()?;
        match &self.body {
            Body::Whole(bytes) | Body::Unannounced(bytes) | Body::CutOff(bytes, _) => peer.write_all(bytes).ok()?,
            Body::Endless => loop {
                peer.write_all(&[b' '; 65_536]).ok()?;
            },
            Body::Slow(bytes) => {
                peer.set_nodelay(true).ok()?;
                for byte in bytes {
                    peer.write_all(&[*byte]).ok()?;
                    std::thread::sleep(Duration::from_secs(1));
                }
            }
        }
        peer.shutdown(Shutdown::Write).ok()
    }
}

/// A version of a capsule, and what is said to vouch for it.
#[derive(Clone)]
pub struct Offer {
    /// The text of its manifest, which says what it is called.
    pub manifest: String,
    /// The receipt.
    pub receipt: Value,
    /// The component.
    pub component: Vec<u8>,
}

impl Offer {
    /// One that a key signed.
    pub fn signed(manifest: &Value, component: &[u8], key: &SigningKey) -> Self {
        let manifest = manifest.to_string();
        Self {
            receipt: receipt(&manifest, component, key),
            component: component.to_vec(),
            manifest,
        }
    }

    /// What it is called.
    pub fn urn(&self) -> String {
        self.says("id")
    }

    fn version(&self) -> String {
        self.says("version")
    }

    fn says(&self, member: &str) -> String {
        let manifest: Value = serde_json::from_str(&self.manifest).unwrap();
        manifest[member].as_str().unwrap().to_string()
    }

    /// What an honest index says of it.
    pub fn entry(&self) -> IndexEntry {
        IndexEntry {
            component: Digest::of(&self.component),
            manifest: Digest::of(self.manifest.as_bytes()),
            receipt: Digest::of(self.receipt.to_string().as_bytes()),
            size_bytes: self.component.len() as u64,
            urn: self.urn().parse().unwrap(),
            version: self.version().parse().unwrap(),
            yanked: None,
        }
    }

    /// What an honest registry says of it first: the descriptor, or the artifact.
    pub fn description(&self, protocol: Protocol) -> String {
        let description = match protocol {
            Protocol::Http => json!({
                "urn": self.urn(),
                "version": self.version(),
                "manifest": self.manifest,
                "receipt": self.receipt,
                "digest": Digest::of(&self.component),
                "size_bytes": self.component.len(),
            }),
            Protocol::Oci => json!({
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "artifactType": "application/vnd.kinetic.capsule.v1+json",
                "config": blob("application/vnd.kinetic.manifest.v1+json", self.manifest.as_bytes()),
                "layers": [
                    blob("application/wasm", &self.component),
                    blob("application/vnd.in-toto+json", self.receipt.to_string().as_bytes()),
                ],
            }),
        };
        description.to_string()
    }

    /// Where that is asked for.
    pub fn described_at(&self, protocol: Protocol) -> String {
        match protocol {
            Protocol::Http => format!("{CAPABILITIES}/{}", self.urn()),
            Protocol::Oci => format!("{}/manifests/{}", self.repository(), self.version()),
        }
    }

    /// Where the component is asked for.
    pub fn component_at(&self, protocol: Protocol) -> String {
        let digest = Digest::of(&self.component);
        match protocol {
            Protocol::Http => format!("{CAPABILITIES}/{}@{digest}/download", self.urn()),
            Protocol::Oci => format!("{}/blobs/{digest}", self.repository()),
        }
    }

    fn repository(&self) -> String {
        let urn = self.urn();
        let [_, namespace, _, class, name, major] = urn.split(':').collect::<Vec<_>>()[..] else {
            panic!("{urn}")
        };
        format!("/v2/{PREFIX}/{namespace}/{class}/{name}/{major}")
    }
}

fn blob(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": Digest::of(bytes), "size": bytes.len() })
}

/// Listens until the process ends. What it was not told to answer it has not.
pub struct HostileRegistry {
    /// `127.0.0.1:PORT`.
    authority: String,
    answers: Arc<Mutex<BTreeMap<String, Answer>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl HostileRegistry {
    /// One that has nothing.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let registry = Self {
            authority: listener.local_addr().unwrap().to_string(),
            answers: Arc::default(),
            asked: Arc::default(),
        };
        let (answers, asked) = (registry.answers.clone(), registry.asked.clone());
        std::thread::spawn(move || {
            for mut peer in listener.incoming().flatten() {
                let (answers, asked) = (answers.clone(), asked.clone());
                std::thread::spawn(move || {
                    let (request, _) = head(&mut peer)?;
                    let path = request.split([' ', '?']).nth(1)?;
                    asked.lock().unwrap().push(path.to_string());
                    let answer = answers.lock().unwrap().get(path).cloned();
                    let nothing = || Answer {
                        status: 404,
                        ..Answer::of("")
                    };
                    answer.unwrap_or_else(nothing).send(&mut peer)
                });
            }
        });
        registry
    }

    /// Where it is, as `kinetic registry add` takes it.
    pub fn place(&self, protocol: Protocol) -> String {
        match protocol {
            Protocol::Http => format!("http://{}", self.authority),
            Protocol::Oci => format!("oci://{}/{PREFIX}", self.authority),
        }
    }

    /// What it was asked for so far: the paths.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// From now on it answers so.
    pub fn answers(&self, path: &str, answer: Answer) {
        self.answers.lock().unwrap().insert(path.into(), answer);
    }

    /// From now on it answers about that version as an honest one does.
    pub fn offers(&self, protocol: Protocol, offer: &Offer) {
        let description = Answer::of(offer.description(protocol));
        self.answers(&offer.described_at(protocol), description.clone());
        self.answers(&offer.component_at(protocol), Answer::of(offer.component.clone()));
        match protocol {
            Protocol::Http => {
                let pinned = format!("{}@{}", offer.described_at(protocol), offer.version());
                self.answers(&pinned, description);
            }
            Protocol::Oci => {
                let tags = json!({ "name": "tests", "tags": [offer.version()] });
                self.answers(
                    &format!("{}/tags/list", offer.repository()),
                    Answer::of(tags.to_string()),
                );
                self.has_blob(&offer.repository(), offer.manifest.as_bytes());
                self.has_blob(&offer.repository(), offer.receipt.to_string().as_bytes());
            }
        }
    }

    /// From now on this is its index of that namespace.
    pub fn puts_up(&self, protocol: Protocol, index: &SignedIndex) {
        let namespace = &index.document().namespace;
        let bytes = index.to_json();
        match protocol {
            Protocol::Http => self.answers(&format!("/api/v1/registry/index/{namespace}"), Answer::of(bytes)),
            Protocol::Oci => {
                let repository = format!("/v2/{PREFIX}/{namespace}/kinetic-index");
                let media_type = "application/vnd.kinetic.index.v1+json";
                let artifact = json!({
                    "schemaVersion": 2,
                    "artifactType": media_type,
                    "config": blob("application/vnd.oci.empty.v1+json", b"{}"),
                    "layers": [blob(media_type, &bytes)],
                });
                self.has_blob(&repository, &bytes);
                self.answers(
                    &format!("{repository}/manifests/index"),
                    Answer::of(artifact.to_string()),
                );
            }
        }
    }

    fn has_blob(&self, repository: &str, bytes: &[u8]) {
        self.answers(&format!("{repository}/blobs/{}", Digest::of(bytes)), Answer::of(bytes));
    }
}

/// So many spaces, in a gzip of about a thousandth of that.
pub fn gzip_bomb(bytes: usize) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&vec![b' '; bytes]).unwrap();
    gzip.finish().unwrap()
}
