//! `kinetic search --registry`: what registries hold, found by words; by their own search, else by ours over what they list.

use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt as _};
use kinetic_kernel::search::{DOCUMENTS_MAX, Query};
use kinetic_kernel::{Manifest, search_manifests};
use kinetic_model::{CapsuleRef, Digest, Fault, Pin, Urn};
use kinetic_registry::{Registries, RegistryError};
use semver::Version;
use serde_json::{Value, json};

use super::Context;
use crate::data_dir::DataDir;
use crate::error::CliError;
use crate::registries;

/// The name that means every registry.
const ALL: &str = "all";
/// Manifests that are fetched at once from one registry.
const FETCHES_MAX: usize = 8;

/// Puts what registries have behind what was found here: one registry after the other in the order they are asked in, and
/// of each the best first. One that cannot be searched is named.
pub(super) async fn add(
    context: &Context,
    document: &mut Value,
    name: &str,
    words: &str,
    limit: usize,
) -> anyhow::Result<()> {
    let config = context.load(None)?.config;
    let data = DataDir::existing(&context.data()?)?;
    let known = registries::of(&data, &config)?;
    let names: Vec<String> = known.list()?.into_iter().map(|registry| registry.name).collect();
    let names: Vec<String> = names.into_iter().filter(|known| name == ALL || known == name).collect();
    if names.is_empty() && name != ALL {
        return Err(RegistryError::NoSuchRegistry { name: name.into() }.into());
    }
    let query = Query::parse(words, Some(limit))?;
    let asked = names.iter().map(|name| hits(&known, name, words, &query, limit));
    let answers = futures_util::future::join_all(asked).await;
    let (mut more, mut unsearched) = (Vec::new(), Vec::new());
    for (name, answer) in names.iter().zip(answers) {
        match answer {
            Ok(hits) => more.extend(hits),
            Err(fault) => {
                unsearched.push(json!({ "registry": name, "code": fault.code, "message": fault.message }));
            }
        }
    }
    merge(document, more, unsearched)
}

/// Puts hits of registries behind those of the host; what the host has in the same version stands there already.
fn merge(document: &mut Value, more: Vec<Value>, unsearched: Vec<Value>) -> anyhow::Result<()> {
    let odd = || CliError::Unexpected {
        why: "the answer of a search is none".into(),
    };
    let members = document.as_object_mut().ok_or_else(odd)?;
    let hits = members.get_mut("hits").and_then(Value::as_array_mut).ok_or_else(odd)?;
    let own = hits.clone();
    let is_own = |hit: &Value| {
        own.iter()
            .any(|own| own.get("urn") == hit.get("urn") && own.get("version") == hit.get("version"))
    };
    let before = hits.len();
    hits.extend(more.into_iter().filter(|hit| !is_own(hit)));
    let added = (hits.len() - before) as u64;
    let found = members.get("found").and_then(Value::as_u64).unwrap_or_default();
    members.insert("found".into(), found.saturating_add(added).into());
    members.insert("unsearched".into(), unsearched.into());
    Ok(())
}

/// What one registry has.
async fn hits(known: &Registries, name: &str, words: &str, query: &Query, limit: usize) -> Result<Vec<Value>, Fault> {
    let found = known
        .search_in(name, words, limit)
        .await
        .map_err(|error| Fault::from(&error))?;
    let Some(mut found) = found else {
        return listed_hits(known, name, query).await;
    };
    // Its own order where the scores are the same would be another one each time.
    found.sort_by(|a, b| {
        let better = b.score.cmp(&a.score);
        better.then_with(|| (&a.urn, &a.version).cmp(&(&b.urn, &b.version)))
    });
    let hit = |found: kinetic_registry::FoundThere| {
        json!({
            "urn": found.urn, "version": found.version, "digest": found.digest, "description": "",
            "score": found.score, "why": found.why, "active": false, "registry": name,
        })
    };
    Ok(found.into_iter().map(hit).collect())
}

/// Searches the newest version of everything that a registry lists.
async fn listed_hits(known: &Registries, name: &str, query: &Query) -> Result<Vec<Value>, Fault> {
    let listed = known.list_of(name, &[]).await.map_err(|error| Fault::from(&error))?;
    let mut newest: BTreeMap<Urn, Version> = BTreeMap::new();
    for held in listed {
        let before = newest.get(&held.urn);
        let better =
            before.is_none_or(|before| (held.version.pre.is_empty(), &held.version) > (before.pre.is_empty(), before));
        if better {
            newest.insert(held.urn, held.version);
        }
    }
    let describing = newest.into_iter().take(DOCUMENTS_MAX).map(|(urn, version)| async move {
        let what = CapsuleRef {
            urn,
            pin: Pin::Version(version),
        };
        known.find_in(name, &what).await
    });
    let described: Vec<_> = stream::iter(describing).buffered(FETCHES_MAX).collect().await;
    let (mut manifests, mut digests): (Vec<Manifest>, BTreeMap<Urn, Digest>) = (Vec::new(), BTreeMap::new());
    for described in described {
        match described {
            Ok((_, descriptor)) => {
                // What is no manifest of ours cannot be called either.
                if let Ok(manifest) = Manifest::parse(&descriptor.manifest)
                    && manifest.id == descriptor.urn
                {
                    digests.insert(descriptor.urn, descriptor.digest);
                    manifests.push(manifest);
                }
            }
            // One damaged version hides no other.
            Err(error) => tracing::debug!(registry = name, "not searched: {error}"),
        }
    }
    let ranking = search_manifests(&manifests, query).map_err(|error| Fault::from(&error))?;
    let hits = ranking.hits.into_iter().map(|ranked| {
        let digest = digests.get(&ranked.urn).copied();
        let mut hit = serde_json::to_value(ranked).unwrap_or_default();
        if let Some(members) = hit.as_object_mut() {
            members.insert("digest".into(), json!(digest));
            members.insert("active".into(), false.into());
            members.insert("registry".into(), name.into());
        }
        hit
    });
    Ok(hits.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_registries_have_stands_behind_what_is_here_and_once() {
        let mut document = json!({
            "hits": [{ "urn": "urn:a", "version": "1.0.0", "active": true }], "found": 3, "unknown": [], "left_out": 0,
        });
        let of = |urn: &str, version: &str, name: &str| json!({ "urn": urn, "version": version, "registry": name });
        let more = vec![
            of("urn:a", "1.0.0", "one"),
            of("urn:a", "1.1.0", "one"),
            of("urn:b", "1.0.0", "two"),
        ];
        merge(&mut document, more, vec![json!({ "registry": "three" })]).unwrap();
        let hits = document["hits"].as_array().unwrap();
        let shown: Vec<_> = hits.iter().map(|hit| (&hit["version"], &hit["registry"])).collect();
        assert_eq!(
            shown,
            [
                (&json!("1.0.0"), &Value::Null),
                (&json!("1.1.0"), &json!("one")),
                (&json!("1.0.0"), &json!("two"))
            ]
        );
        assert_eq!(
            (&document["found"], &document["unsearched"][0]["registry"]),
            (&json!(5), &json!("three"))
        );
    }
}
