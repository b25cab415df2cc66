//! A remote registry over HTTP: where to ask, how long to wait, and what an answer must match.

mod asked;

use std::time::Duration;

use async_trait::async_trait;
use kinetic_model::CapsuleRef;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder, Url};
use serde::Deserialize;

use crate::descriptor::DESCRIPTOR_BYTES_MAX;
use crate::error::tame;
use crate::{Descriptor, Download, FoundThere, IndexAnswer, RegistryError, Rest, Source, Summary, range, wire, yank};

/// The routes' common path, below the base URL.
const ROUTES: [&str; 4] = ["api", "v1", "registry", "capabilities"];
/// The largest list read, in bytes; about 30,000 versions.
const LIST_BYTES_MAX: u64 = 8_388_608;

/// How to talk to a registry.
#[derive(Clone)]
pub struct HttpOptions {
    /// Sent as `Authorization: Bearer ...`; none by default.
    pub token: Option<String>,
    /// The certificates, as PEM, that alone vouch for the registry; the machine's by default.
    pub ca_pem: Option<Vec<u8>>,
    /// For the connection, TLS included; 5 s by default.
    pub connect_timeout: Duration,
    /// Between two reads; 10 s by default.
    pub read_timeout: Duration,
    /// From request to last byte; 2 minutes by default.
    pub total_timeout: Duration,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            token: None,
            ca_pem: None,
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(10),
            total_timeout: Duration::from_mins(2),
        }
    }
}

/// A registry behind `http://` or `https://`. Redirects are not followed.
#[derive(Clone)]
pub struct HttpSource {
    name: String,
    base: Url,
    pub(crate) client: Client,
}

#[derive(Deserialize)]
struct Listing {
    capabilities: Vec<Summary>,
}

/// Makes ring the process's cryptography for TLS. Call it before building any HTTP client; calling again does nothing.
pub fn install_ring_provider_once() {
    // The error only says that a provider is there already, which is what we want.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

impl HttpSource {
    /// A client of the registry at `base`, which may have a path. Nothing is sent yet.
    ///
    /// # Errors
    /// [`RegistryError::BadBaseUrl`], [`RegistryError::BadToken`], [`RegistryError::ClientFailed`].
    pub fn new(base: &str, options: &HttpOptions) -> Result<Self, RegistryError> {
        let mut base = parse_base(base)?;
        let name = base.as_str().trim_end_matches('/').to_string();
        if let Ok(mut path) = base.path_segments_mut() {
            path.pop_if_empty().extend(ROUTES);
        }
        let mut headers = HeaderMap::new();
        if let Some(token) = &options.token {
            let bearer = HeaderValue::from_str(&format!("Bearer {token}"));
            let mut bearer = bearer.map_err(|_| RegistryError::BadToken {})?;
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        let client = builder(base.scheme(), options)
            .and_then(|builder| builder.default_headers(headers).build())
            .map_err(|error| client_failed(&name, &error))?;
        Ok(Self { name, base, client })
    }

    /// The URL of a route: `<base>/api/v1/registry/capabilities/<below>...`.
    pub(crate) fn url(&self, below: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.extend(below);
        }
        url
    }
}

/// A client for URLs of that scheme that keeps within the options' times and follows no redirect; no token is sent yet.
pub(crate) fn builder(scheme: &str, options: &HttpOptions) -> reqwest::Result<ClientBuilder> {
    install_ring_provider_once();
    let client = Client::builder()
        .redirect(Policy::none())
        .connect_timeout(options.connect_timeout)
        .read_timeout(options.read_timeout)
        .timeout(options.total_timeout);
    Ok(match &options.ca_pem {
        // Such a client never speaks TLS, so it must not fail where a machine has no CA certificates. What it sends anybody
        // on the way can read, so no proxy is put in the way.
        _ if scheme == "http" => client.no_proxy().tls_certs_only([]),
        Some(pem) => client.tls_certs_only(Certificate::from_pem_bundle(pem)?),
        None => client,
    })
}

/// The error of a client that could not be made.
pub(crate) fn client_failed(name: &str, error: &reqwest::Error) -> RegistryError {
    match wire::unreachable(name, error) {
        RegistryError::Unreachable { why, .. } => RegistryError::ClientFailed { why },
        other => other,
    }
}

pub(crate) fn parse_base(text: &str) -> Result<Url, RegistryError> {
    let bad = |text: &str, why: &str| RegistryError::BadBaseUrl {
        text: tame(text),
        why: why.to_string(),
    };
    let url = Url::parse(text).map_err(|error| bad(text, &error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(bad(text, "it starts neither with http:// nor with https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        // Not shown: it holds a secret.
        return Err(bad("...@...", "it holds a user or password; configure a token instead"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad(text, "it has a query or a fragment"));
    }
    Ok(url)
}

#[async_trait]
impl Source for HttpSource {
    fn name(&self) -> &str {
        &self.name
    }

    async fn describe(&self, what: &CapsuleRef) -> Result<Descriptor, RegistryError> {
        let asked = what.to_string();
        let response = wire::send(self.client.get(self.url(&[&asked])), &self.name, &asked)
            .await
            .map_err(|error| yank::told(error, &asked))?;
        let descriptor: Descriptor = wire::read(response, &self.name, DESCRIPTOR_BYTES_MAX).await?;
        descriptor.check()?;
        let summary = descriptor.summary();
        if !summary.answers(what) {
            let found = format!("{}@{} ({})", summary.urn, summary.version, summary.digest);
            return Err(RegistryError::OtherThanAsked {
                origin: self.name.clone(),
                asked,
                found,
            });
        }
        Ok(descriptor)
    }

    async fn download(&self, descriptor: &Descriptor, rest: &Rest) -> Result<Download, RegistryError> {
        // Pinned by digest: another version may have become active since the descriptor was read.
        let what = format!("{}@{}", descriptor.urn, descriptor.digest);
        let request = range::ask(self.client.get(self.url(&[&what, "download"])), rest);
        let response = wire::sent(request, &self.name).await?;
        let response = if range::is_part(&response, rest) {
            response
        } else {
            wire::accepted(response, &self.name, &what).await?
        };
        range::stream(response, &self.name, descriptor.size_bytes, rest)
    }

    async fn list(&self) -> Result<Vec<Summary>, RegistryError> {
        let response = wire::send(self.client.get(self.url(&[])), &self.name, "list of capabilities").await?;
        let listing: Listing = wire::read(response, &self.name, LIST_BYTES_MAX).await?;
        let mut capabilities = listing.capabilities;
        capabilities.sort_by(|a, b| (&a.urn, &a.version).cmp(&(&b.urn, &b.version)));
        Ok(capabilities)
    }

    async fn index(&self, namespace: &str, tag: Option<&str>) -> Result<IndexAnswer, RegistryError> {
        self.ask_index(namespace, tag).await
    }

    async fn search(&self, words: &str, limit: usize) -> Result<Option<Vec<FoundThere>>, RegistryError> {
        self.ask_search(words, limit).await
    }
}

#[cfg(test)]
mod tests;
