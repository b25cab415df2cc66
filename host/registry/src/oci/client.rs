//! Requests to an OCI registry: who asks, and how far what it answers is followed.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kinetic_model::{Digest, is_inside};
use parking_lot::Mutex;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{AUTHORIZATION, HeaderValue, LOCATION};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;

use super::address::ip_of;
use super::challenge::Challenge;
use crate::credentials::{Credential, Credentials};
use crate::descriptor::read_json;
use crate::error::tame;
use crate::http_source::{builder, client_failed};
use crate::{HttpOptions, OciAddress, RegistryError, Rest, range, wire};

/// How often a registry may point elsewhere for one blob.
const REDIRECTS_MAX: usize = 3;
/// The longest a request for anything but a component may take.
const METADATA_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest token read, in bytes.
const TOKEN_BYTES_MAX: u64 = 65_536;
/// The largest refusal read, in bytes.
const REFUSAL_BYTES_MAX: u64 = 65_536;
/// Tokens kept at most; each repository has its own, and whoever calls a host names repositories.
const TOKENS_MAX: usize = 1_024;
/// Where one cloud answers with a machine's secrets, beside the link-local address that all have for it.
const CLOUD_SECRETS: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// What is done to a repository.
#[derive(Clone, Copy)]
pub(super) enum Access {
    Pull,
    Push,
}

/// One registry, and what it gave for the credentials it asked for.
pub(super) struct OciClient {
    name: String,
    authority: String,
    base: Url,
    http: Client,
    options: HttpOptions,
    credentials: Credentials,
    /// The header to send, by what it is for.
    tokens: Mutex<BTreeMap<String, HeaderValue>>,
}

/// What a registry gives out for credentials.
#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

/// How an OCI registry refuses.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    errors: Vec<RefusalError>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RefusalError {
    code: String,
    message: String,
}

impl OciClient {
    /// A client of the registry there. Nothing is sent yet.
    pub(super) fn new(
        address: &OciAddress,
        credentials: Credentials,
        options: &HttpOptions,
    ) -> Result<Self, RegistryError> {
        let name = address.to_string();
        // Whoever names certificates wants TLS, on this machine too.
        let base = address.base(!address.is_loopback() || options.ca_pem.is_some())?;
        // Never through a proxy: where an answer comes from decides how far it may lead, and a proxy would be asked for that.
        let http = builder(base.scheme(), options).and_then(|client| client.no_proxy().build());
        let http = http.map_err(|error| client_failed(&name, &error))?;
        Ok(Self {
            authority: address.authority().to_string(),
            name,
            base,
            http,
            options: options.clone(),
            credentials,
            tokens: Mutex::default(),
        })
    }

    /// What it is called in errors.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// A URL of a repository.
    pub(super) fn url(&self, repository: &str, below: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(repository.split('/')).extend(below);
        }
        url
    }

    /// The longest a request for anything but a component may take.
    pub(super) fn metadata_timeout(&self) -> Duration {
        METADATA_TIMEOUT.min(self.options.total_timeout)
    }

    /// The longest a request for a component may take.
    pub(super) const fn component_timeout(&self) -> Duration {
        self.options.total_timeout
    }

    /// Sends what `make` makes, and once more with credentials when the registry wants some.
    pub(super) async fn send(
        &self,
        repository: &str,
        access: Access,
        make: &(dyn Fn(&Client) -> RequestBuilder + Send + Sync),
    ) -> Result<Response, RegistryError> {
        let actions = match access {
            Access::Pull => "pull",
            Access::Push => "pull,push",
        };
        let scope = format!("repository:{repository}:{actions}");
        let known = self.tokens.lock().get(&scope).cloned();
        let response = self.send_once(make, known).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let (challenge, from) = (Challenge::of(response.headers()), came_from(&response));
        let Some(header) = self.authorize(&scope, challenge, from).await? else {
            return Ok(response);
        };
        self.remember(scope, header.clone());
        self.send_once(make, Some(header)).await
    }

    fn remember(&self, scope: String, header: HeaderValue) {
        let mut tokens = self.tokens.lock();
        if tokens.len() >= TOKENS_MAX {
            // They are had again when they are asked for.
            tokens.clear();
        }
        tokens.insert(scope, header);
    }

    async fn send_once(
        &self,
        make: &(dyn Fn(&Client) -> RequestBuilder + Send + Sync),
        authorization: Option<HeaderValue>,
    ) -> Result<Response, RegistryError> {
        let mut request = make(&self.http);
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
        }
        let sent = request.send().await;
        sent.map_err(|error| wire::unreachable(&self.name, &error))
    }

    /// GET of a blob or of the rest of it, also where the registry has others keep its blobs. Credentials stay with the
    /// registry.
    pub(super) async fn blob(
        &self,
        repository: &str,
        digest: &Digest,
        timeout: Duration,
        rest: &Rest,
    ) -> Result<Response, RegistryError> {
        let mut at = self.url(repository, &["blobs", &digest.to_string()]);
        let get = |http: &Client| range::ask(http.get(at.clone()).timeout(timeout), rest);
        let mut response = self.send(repository, Access::Pull, &get).await?;
        let from = came_from(&response);
        for _ in 0..REDIRECTS_MAX {
            if !response.status().is_redirection() {
                break;
            }
            let to = self.location(&response, &at)?;
            let client = self.client_for(&to, from)?;
            let sent = range::ask(client.get(to.clone()).timeout(timeout), rest).send().await;
            response = sent.map_err(|error| self.broken(&to, &error))?;
            at = to;
        }
        if range::is_part(&response, rest) {
            return Ok(response);
        }
        self.accepted(response, &format!("blob {digest}")).await
    }

    /// Where an answer points.
    pub(super) fn location(&self, response: &Response, at: &Url) -> Result<Url, RegistryError> {
        let text = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let to = text.and_then(|text| at.join(text).ok());
        to.ok_or_else(|| RegistryError::NotAnAnswer {
            origin: self.name.clone(),
            why: "it points nowhere".into(),
        })
    }

    /// Whether a URL is of this very registry.
    pub(super) fn is_own(&self, url: &Url) -> bool {
        url.origin() == self.base.origin() && url.username().is_empty() && url.password().is_none()
    }

    /// The answer, if it is a success.
    pub(super) async fn accepted(&self, response: Response, what: &str) -> Result<Response, RegistryError> {
        let (status, origin) = (response.status(), self.name.clone());
        match status {
            StatusCode::OK | StatusCode::CREATED | StatusCode::ACCEPTED => Ok(response),
            StatusCode::NOT_FOUND => Err(RegistryError::NotFound {
                what: what.into(),
                origin,
            }),
            status if status.is_redirection() => {
                let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
                // What is behind the question mark may be somebody's signature.
                let location = location.map(|text| text.split('?').next().unwrap_or_default());
                let location = location.map_or_else(|| "nowhere".to_string(), tame);
                Err(RegistryError::Redirected { origin, location })
            }
            status if status.is_client_error() || status.is_server_error() => {
                let read = wire::read_bytes(response, &origin, REFUSAL_BYTES_MAX).await;
                let refusal: Refusal = read_json(&read.unwrap_or_default()).unwrap_or_default();
                let first = refusal.errors.into_iter().next().unwrap_or_default();
                let mut said = first.message;
                if status == StatusCode::UNAUTHORIZED {
                    let from = self.credentials.origin(&self.authority);
                    said = format!("{said} (credentials: {from})");
                }
                Err(wire::refused(&origin, status, &first.code, &said, ""))
            }
            status => Err(RegistryError::NotAnAnswer {
                origin,
                why: format!("its status is {status}"),
            }),
        }
    }

    /// The header that answers a challenge; none where nobody is known.
    async fn authorize(
        &self,
        scope: &str,
        challenge: Option<Challenge>,
        from: Option<IpAddr>,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        let credential = self.credentials.get(&self.authority).await?;
        let text = match (challenge, credential) {
            (_, Credential::Token(token)) => format!("Bearer {token}"),
            (Some(challenge), credential) => {
                let token = self.token(scope, &challenge, credential, from).await?;
                format!("Bearer {token}")
            }
            (None, Credential::Password(user, password)) => {
                format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
            }
            (None, Credential::Nobody) => return Ok(None),
        };
        let mut header = HeaderValue::from_str(&text).map_err(|_| RegistryError::BadToken {})?;
        header.set_sensitive(true);
        Ok(Some(header))
    }

    /// Has the place that a challenge names give out a token.
    async fn token(
        &self,
        scope: &str,
        challenge: &Challenge,
        credential: Credential,
        from: Option<IpAddr>,
    ) -> Result<String, RegistryError> {
        let odd = |why: &str| RegistryError::NotAnAnswer {
            origin: self.name.clone(),
            why: why.to_string(),
        };
        let mut realm = Url::parse(&challenge.realm).map_err(|_| odd("it asks for a token from no URL"))?;
        let client = self.client_for(&realm, from)?;
        realm.query_pairs_mut().append_pair("scope", scope);
        if let Some(service) = &challenge.service {
            realm.query_pairs_mut().append_pair("service", service);
        }
        let mut request = client.get(realm.clone()).timeout(self.metadata_timeout());
        if let Credential::Password(user, password) = credential {
            request = request.basic_auth(user, Some(password));
        }
        let response = request.send().await.map_err(|error| self.broken(&realm, &error))?;
        let response = self.accepted(response, "place that gives out tokens").await?;
        let answer: Token = wire::read(response, &self.name, TOKEN_BYTES_MAX).await?;
        let token = answer.token.or(answer.access_token).filter(|token| !token.is_empty());
        token.ok_or_else(|| odd("it gives out no token"))
    }

    /// The client for a URL that the registry named, which answered from that address: its own place is its own; other
    /// ones are spoken to over TLS only, and must lie where the registry may lead.
    pub(super) fn client_for(&self, to: &Url, from: Option<IpAddr>) -> Result<Client, RegistryError> {
        if self.is_own(to) {
            return Ok(self.http.clone());
        }
        let ip = ip_of(to);
        let is_loopback = ip.is_some_and(|ip| ip.is_loopback());
        // From a registry of this machine to another port of it nothing leaves the machine.
        let may_be_plain = self.base.scheme() == "http" && is_loopback;
        let scheme_fits = to.scheme() == "https" || (to.scheme() == "http" && may_be_plain);
        let bare = to.username().is_empty() && to.password().is_none();
        if !scheme_fits || !bare || ip.is_some_and(|ip| !may_lead(from, ip)) {
            return Err(self.leads_inside(to));
        }
        let options = HttpOptions {
            // A registry with certificates of its own has its blobs on its own network, or with somebody public.
            ca_pem: self.options.ca_pem.clone().filter(|_| from.is_some_and(is_inside)),
            ..self.options.clone()
        };
        let client = builder(to.scheme(), &options);
        // A proxy would look the name up by itself, unguarded.
        let client = client.and_then(|client| client.no_proxy().dns_resolver(Guard { from }).build());
        client.map_err(|error| client_failed(&self.name, &error))
    }

    fn leads_inside(&self, to: &Url) -> RegistryError {
        // What is behind the question mark may be somebody's signature. Where no password can be there is none.
        let mut shown = to.clone();
        shown.set_query(None);
        let _ = shown.set_username("");
        let _ = shown.set_password(None);
        RegistryError::LeadsInside {
            origin: self.name.clone(),
            location: tame(shown.as_str()),
        }
    }

    /// The error of a request to a place that the registry named.
    fn broken(&self, to: &Url, error: &reqwest::Error) -> RegistryError {
        let mut cause: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(inner) = cause {
            if inner.is::<NameLeadsInside>() {
                return self.leads_inside(to);
            }
            cause = inner.source();
        }
        wire::unreachable(&self.name, error)
    }
}

/// The address an answer came from. The connection is asked and not the name, which may mean another one the next time.
fn came_from(response: &Response) -> Option<IpAddr> {
    response.remote_addr().map(|address| address.ip())
}

/// Whether a registry that answered from an address may lead to another one: to any public one; on its own network also
/// to those of that network; on this machine also to this machine; never to where clouds keep their machines' secrets.
pub(super) fn may_lead(from: Option<IpAddr>, to: IpAddr) -> bool {
    let to = to.to_canonical();
    if !is_inside(to) {
        return true;
    }
    let Some(from) = from.filter(|from| is_inside(*from)) else {
        return false;
    };
    let is_link_local = match to {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6 == CLOUD_SECRETS,
    };
    !is_link_local && (!to.is_loopback() || from.to_canonical().is_loopback())
}

/// Looks names up, and gives none that leads where a registry may not.
struct Guard {
    from: Option<IpAddr>,
}

/// A name that leads inside.
#[derive(Debug)]
struct NameLeadsInside;

impl fmt::Display for NameLeadsInside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name leads to an address that is not public")
    }
}

impl Error for NameLeadsInside {}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(guarded_addresses(name, self.from))
    }
}

pub(super) async fn guarded_addresses(name: Name, from: Option<IpAddr>) -> Result<Addrs, Box<dyn Error + Send + Sync>> {
    let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
    if !found.iter().all(|address| may_lead(from, address.ip())) {
        return Err(NameLeadsInside.into());
    }
    Ok(Box::new(found.into_iter()))
}
