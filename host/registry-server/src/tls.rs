//! TLS for whoever listens without a proxy in front: a chain of certificates and a key, by rustls with ring.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::ServerError;
use crate::error::tame;

/// The acceptor of connections; HTTP/1.1 is spoken on them.
pub(crate) fn acceptor(certificates: &Path, key: &Path) -> Result<TlsAcceptor, ServerError> {
    let bad = |path: &Path, why: String| ServerError::BadTls {
        path: path.display().to_string(),
        why: tame(why.trim_end_matches('.')),
    };
    let chain = CertificateDer::pem_file_iter(certificates)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| bad(certificates, error.to_string()))?;
    if chain.is_empty() {
        return Err(bad(certificates, "it holds no certificate".into()));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| bad(key, error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, secret))
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => bad(
                key,
                format!(
                    "it is not the key of the first certificate in {}",
                    certificates.display()
                ),
            ),
            rustls::Error::InvalidCertificate(_) => bad(certificates, error.to_string()),
            error => bad(key, error.to_string()),
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
