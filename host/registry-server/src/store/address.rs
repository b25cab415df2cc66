//! The address of a store as the command line takes it, and the store behind it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use kinetic_registry::install_ring_provider_once;
use opendal::services::{Fs, S3};
use opendal::{HttpTransporter, OperationContext, Operator};
use opendal_http_transport_reqwest::ReqwestTransport;

use super::{Store, failed};
use crate::ServerError;
use crate::error::tame;

/// Where S3 is, when it is not that of AWS itself.
const ENDPOINT: &str = "AWS_ENDPOINT_URL";
/// The region when the environment names none; other makers' servers take any.
const REGION_DEFAULT: &str = "us-east-1";
/// For a connection to S3, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a registry keeps what was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreAddress {
    /// A folder: `dir:PATH`. It is made when it is missing.
    Folder(PathBuf),
    /// A bucket and a prefix in it, maybe an empty one: `s3://BUCKET/PREFIX`. Endpoint, region and credentials come from the
    /// environment's AWS_* variables.
    S3 {
        /// The bucket; it is there already.
        bucket: String,
        /// Below it everything lies.
        prefix: String,
    },
}

impl FromStr for StoreAddress {
    type Err = ServerError;

    fn from_str(text: &str) -> Result<Self, ServerError> {
        let bad = |why: &str| ServerError::BadStoreAddress {
            text: tame(text),
            why: why.into(),
        };
        if let Some(path) = text.strip_prefix("dir:") {
            if path.is_empty() {
                return Err(bad("it names no folder"));
            }
            return Ok(Self::Folder(path.into()));
        }
        let Some(rest) = text.strip_prefix("s3://") else {
            return Err(bad("it starts neither with dir: nor with s3://"));
        };
        if rest.contains(['@', '?', '#']) {
            return Err(ServerError::BadStoreAddress {
                text: "s3://...".into(),
                why: "credentials and settings belong into the environment".into(),
            });
        }
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(bad("it names no bucket"));
        }
        if prefix.split('/').any(|part| part == "..") {
            return Err(bad("its prefix has a part .."));
        }
        Ok(Self::S3 {
            bucket: bucket.into(),
            prefix: prefix.trim_matches('/').into(),
        })
    }
}

impl fmt::Display for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "dir:{}", path.display()),
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

impl StoreAddress {
    /// The store; of a folder its parts are made. Nothing is asked of S3 yet.
    pub(crate) fn open(&self, timeout: Duration) -> Result<Store, ServerError> {
        match self {
            Self::Folder(path) => {
                let root = std::path::absolute(path).map_err(|e| failed("be found", &e))?;
                std::fs::create_dir_all(root.join(super::TEMPORARY)).map_err(|e| failed("be made", &e))?;
                let service = Fs::default().root(&root.to_string_lossy());
                let operator = Operator::new(service).map_err(|e| failed("be opened", &e))?;
                super::disk::forget_unfinished(&root).map_err(|e| failed("be tidied", &e))?;
                Ok(Store::new(operator, Some(root), timeout))
            }
            Self::S3 { bucket, prefix } => {
                let named = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
                let region = named("AWS_REGION").or_else(|| named("AWS_DEFAULT_REGION"));
                let mut service = S3::default()
                    .bucket(bucket)
                    .root(&format!("/{prefix}"))
                    .region(region.as_deref().unwrap_or(REGION_DEFAULT));
                let endpoint = named(ENDPOINT);
                if let Some(endpoint) = &endpoint {
                    service = service.endpoint(endpoint.trim_end_matches('/'));
                }
                let operator = Operator::new(service).map_err(|e| failed("be opened", &e))?;
                let in_clear = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
                let transport = HttpTransporter::new(ReqwestTransport::new(client(in_clear, timeout)?));
                let context = OperationContext::new().with_http_transport(transport);
                Ok(Store::new(operator.with_context(context), None, timeout))
            }
        }
    }
}

/// The HTTP client for S3. It follows no redirect: a store is where it was said to be.
fn client(in_clear: bool, timeout: Duration) -> Result<reqwest::Client, ServerError> {
    install_ring_provider_once();
    let mut client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(timeout);
    if in_clear {
        // It never speaks TLS, so it must not fail where a machine has no CA certificates.
        client = client.no_proxy().tls_certs_only([]);
    }
    client.build().map_err(|e| failed("be asked over HTTP", &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_a_folder_or_a_bucket_and_never_holds_credentials() {
        assert_eq!(
            "dir:/srv/r".parse::<StoreAddress>().unwrap(),
            StoreAddress::Folder("/srv/r".into())
        );
        for (text, prefix) in [("s3://caps", ""), ("s3://caps/", ""), ("s3://caps/a/b/", "a/b")] {
            let expected = StoreAddress::S3 {
                bucket: "caps".into(),
                prefix: prefix.into(),
            };
            assert_eq!(text.parse::<StoreAddress>().unwrap(), expected);
        }
        for bad in ["", "dir:", "s3://", "/srv", "gs://x", "s3://caps/../x"] {
            assert!(bad.parse::<StoreAddress>().is_err(), "{bad}");
        }
        let secret = "s3://id:secret@caps".parse::<StoreAddress>().unwrap_err();
        assert!(!secret.to_string().contains("secret"), "{secret}");
    }
}
