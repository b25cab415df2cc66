//! `kinetic promotion`: a topology with a permanent URN, fetched and verified.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use kinetic_identity::{Promotion as Signed, Signers, TrustRoot};
use kinetic_model::{CapsuleRef, Pin};
use kinetic_registry::FolderSource;
use serde_json::{Value, json};

use super::Context;
use crate::data_dir::DataDir;
use crate::error::CliError;
use crate::{registries, render};

/// Show a topology that has a permanent URN
///
/// The promotion is fetched and verified against the trust root of the data folder: enough keys
/// trusted for the URN's namespace must have signed it. Without --from the store of the data
/// folder is asked: it has what its host crystallized and a registry took, and what others
/// published to it.
///
///     kinetic promotion show urn:acme:actionspace:node:plan:v1
///     kinetic promotion show urn:acme:actionspace:node:plan:v1@1.0.0 --from acme --output json
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Promotion {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Show one: what it is, who signed it, what it was made from, and the document
    Show {
        /// URN, or URN@1.0.0; without a version the highest that is no pre-release
        #[arg(value_name = "URN")]
        what: CapsuleRef,
        /// The registry to ask [default: the store of the data folder]
        #[arg(long, value_name = "REGISTRY")]
        from: Option<String>,
    },
}

impl Promotion {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let What::Show { what, from } = self.what;
        if matches!(what.pin, Pin::Digest(_)) {
            let why = "a promotion is asked for by URN or URN@VERSION".into();
            return Err(CliError::BadArgument { why }.into());
        }
        let config = context.load(None)?.config;
        let data = DataDir::existing(&context.data()?)?;
        let promotion = super::block_on(async {
            Ok(match &from {
                Some(name) => {
                    let registry = registries::of(&data, &config)?.named(name, what.urn.namespace())?;
                    registry.promotion(&what).await?
                }
                None => FolderSource::new(&data.store()).promotion(&what).await?,
            })
        })?;
        let signers = promotion.verify(&TrustRoot::load(&data.trust_file())?)?;
        let document = document(&promotion, &signers);
        context.print(&document, || text(&promotion, &signers));
        Ok(ExitCode::SUCCESS)
    }
}

fn document(promotion: &Signed, signers: &Signers) -> Value {
    json!({
        "urn": promotion.urn(),
        "version": promotion.version(),
        "digest": promotion.digest(),
        "signer": signers.to_string(),
        "event": promotion.event(),
        "provenance": promotion.provenance(),
        "topology": promotion.topology().members(),
        "envelope": promotion.to_value(),
    })
}

fn text(promotion: &Signed, signers: &Signers) -> String {
    let (event, provenance) = (promotion.event(), promotion.provenance());
    let mut lines = vec![
        format!("{} {}", promotion.urn(), promotion.version()),
        format!("  topology  {}", promotion.digest()),
        format!("  event     {}", event.event_cid),
        format!("  signed    by key {signers}"),
        format!("  made by   {}, ledger {}", provenance.software, provenance.host),
    ];
    lines.extend(provenance.workflow_id.iter().map(|id| format!("  workflow  {id}")));
    lines.push(format!(
        "  condenses {} of {} calls into {}: {}",
        render::bytes(provenance.events_bytes),
        event.source_episodic_event_cids.len(),
        render::bytes(provenance.topology_bytes),
        event.compression_ratio
    ));
    let sources = event.source_episodic_event_cids.iter();
    lines.extend(sources.map(|source| format!("  from      {source}")));
    lines.push(String::new());
    lines.push(render::pretty(&Value::Object(promotion.topology().members().clone())));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use kinetic_identity::{Promoting, SigningKey, Topology};

    use super::*;

    #[test]
    fn it_says_what_it_is_who_signed_it_and_what_it_was_made_from() {
        let key = SigningKey::generate().unwrap();
        let Value::Object(members) = json!({ "nodes": [1] }) else {
            panic!("no object")
        };
        let what = Promoting {
            urn: "urn:acme:actionspace:node:plan:v1".parse().unwrap(),
            version: "1.0.0".parse().unwrap(),
            topology: Topology::new(members).unwrap(),
            sources: ["7-0123456789abcdef".to_string()].into(),
            events_bytes: 26,
            newest_unix_ms: 1,
            host: key.public(),
            software: "tests".into(),
            workflow_id: Some("thread-9".into()),
        };
        let promotion = Signed::sign(&what, &key).unwrap();
        let mut root = TrustRoot::default();
        root.add("acme", key.public(), "").unwrap();
        let signers = promotion.verify(&root).unwrap();
        let text = text(&promotion, &signers);
        for part in [
            "urn:acme:actionspace:node:plan:v1 1.0.0",
            "of 1 calls",
            ": 0.5",
            "thread-9",
            "7-0123456789abcdef",
            "\"nodes\"",
            key.public().id().as_str(),
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let document = document(&promotion, &signers);
        assert_eq!(document["event"]["topology_class"], "epistemic_promotion");
        assert_eq!(document["topology"], json!({ "nodes": [1] }));
    }
}
