//! Which imports a component may have: inert WASI always, everything else by a grant. All that is missing is named at once.

use std::sync::Arc;

use kinetic_model::ImportGrant;

use crate::grantee::Grantee;
use crate::provider::{Configured, Provider};
use crate::{EngineError, Peer};

/// WASI packages every component gets, inert: no folders, no environment, no network, logs captured.
/// A standard library imports them even when it never uses them.
const INERT: [&str; 5] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:io/",
    "wasi:random/",
];

/// Splits `wasi:http/types@0.2.6` into interface and version.
pub(crate) fn split(import: &str) -> (&str, &str) {
    import.split_once('@').unwrap_or((import, ""))
}

/// Whether an import is of WASI's inert part.
pub(crate) fn is_inert(import: &str) -> bool {
    INERT.iter().any(|prefix| import.starts_with(prefix))
}

/// Checks a component's imports against its grants and configures the providers behind them.
pub(crate) fn grant(
    capsule: &Grantee,
    imports: &[String],
    grants: &[ImportGrant],
    providers: &[Arc<dyn Provider>],
    peers: &[Arc<dyn Peer>],
) -> Result<Vec<Arc<dyn Configured>>, EngineError> {
    let mut missing = Vec::new();
    let mut used: Vec<&Arc<dyn Provider>> = Vec::new();
    for import in imports {
        let (interface, version) = split(import);
        if is_inert(interface) {
            if !version.starts_with("0.2.") {
                missing.push(format!("{import} (this host provides 0.2)"));
            }
            continue;
        }
        if peers.iter().any(|peer| peer.provides(import)) {
            continue;
        }
        let Some(provider) = providers.iter().find(|provider| provider.serves(interface)) else {
            missing.push(format!("{import} (nothing on this host provides it; what another capsule provides is named under \"capabilities.requires\")"));
            continue;
        };
        let needed = provider.granted_by(interface);
        if !grants.iter().any(|grant| grant.interface == needed) {
            missing.push(format!(
                "{import} (grant it with {{ \"interface\": \"{needed}\" }} under \"imports\")"
            ));
        } else if !used.iter().any(|seen| seen.name() == provider.name()) {
            used.push(provider);
        }
    }
    if !missing.is_empty() {
        return Err(EngineError::MissingImports {
            imports: missing.join("; "),
        });
    }
    used.into_iter()
        .map(|provider| {
            let own: Vec<_> = grants
                .iter()
                .filter(|grant| provider.serves(&grant.interface))
                .cloned()
                .collect();
            provider
                .configure(capsule, &own)
                .map_err(|fault| EngineError::Provider {
                    name: provider.name().to_string(),
                    why: format!("{} {}", fault.message, fault.fix),
                })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinetic_model::Digest;

    #[test]
    fn everything_missing_is_named_at_once_with_its_version() {
        let imports = [
            "wasi:cli/stderr@0.2.6",
            "wasi:sockets/tcp@0.2.6",
            "acme:db/query@1.0.0",
            "wasi:cli/stdout@0.3.0",
        ];
        let imports: Vec<_> = imports.map(ToString::to_string).into();
        let capsule = Grantee::unnamed(Digest::of(b"")).unwrap();
        let Err(EngineError::MissingImports { imports }) = grant(&capsule, &imports, &[], &[], &[]) else {
            panic!("granted")
        };
        for name in ["wasi:sockets/tcp@0.2.6", "acme:db/query@1.0.0", "wasi:cli/stdout@0.3.0"] {
            assert!(imports.contains(name), "{imports}");
        }
        assert!(!imports.contains("stderr"));
    }
}
