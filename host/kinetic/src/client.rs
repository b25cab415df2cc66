//! The HTTP client of a running host, for the commands that talk to one.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use kinetic_engine::Input;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, RequestBuilder, Response, Url};
use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::answer::Answered;
use crate::config::Config;
use crate::error::{self, CliError, Refused};
use crate::event_stream::{self, EventStream};

/// The environment variable that holds the bearer token, for a host and for a registry alike.
pub const TOKEN: &str = "KINETIC_TOKEN";
/// The longest token read, in bytes.
const TOKEN_BYTES_MAX: usize = 4096;
const OCTETS: &str = "application/octet-stream";
/// The longest a host may think before it answers: above the largest wall time limit.
const TIMEOUT: Duration = Duration::from_secs(330);
/// The longest a swap may take: recorded calls are made again in it, each within its own limits.
const SWAP_TIMEOUT: Duration = Duration::from_hours(1);
/// The longest a stream may be open; then it is opened anew.
const STREAM_TIMEOUT: Duration = Duration::from_hours(30 * 24);
/// The largest answer read, in bytes: the largest output limit, base64 and JSON around it.
const ANSWER_BYTES_MAX: usize = 160 << 20;

/// The bearer token to send: what the file holds, else what the environment does.
///
/// # Errors
/// A file that cannot be read, or text that no header can carry.
pub fn token(file: Option<&Path>) -> Result<Option<String>, CliError> {
    let (text, path) = match file {
        Some(path) => (
            std::fs::read_to_string(path).map_err(error::file(path))?,
            path.display().to_string(),
        ),
        None => (std::env::var(TOKEN).unwrap_or_default(), TOKEN.to_string()),
    };
    let token = text.trim();
    let fits = token.len() <= TOKEN_BYTES_MAX && token.bytes().all(|b| b.is_ascii_graphic());
    match token {
        "" if file.is_none() => Ok(None),
        "" => Err(CliError::BadToken { path }),
        token if fits => Ok(Some(token.to_string())),
        _ => Err(CliError::BadToken { path }),
    }
}

/// Where the configured host answers from this machine.
pub fn default_url(config: &Config) -> String {
    url_of(config.host.listen)
}

/// The URL at which a host that listens there answers from this machine.
pub fn url_of(mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        let ip: IpAddr = if address.is_ipv4() {
            Ipv4Addr::LOCALHOST.into()
        } else {
            Ipv6Addr::LOCALHOST.into()
        };
        address.set_ip(ip);
    }
    format!("http://{address}")
}

/// The address behind a URL, when it is one of this machine alone.
pub fn local_address(url: &str) -> Option<SocketAddr> {
    let url = Url::parse(url).ok()?;
    let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']');
    let ip = if host == "localhost" {
        Ipv4Addr::LOCALHOST.into()
    } else {
        host.parse::<IpAddr>().ok()?
    };
    ip.is_loopback()
        .then_some(SocketAddr::new(ip, url.port_or_known_default()?))
}

/// A running host.
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<String>,
}

impl Client {
    /// The host at that URL.
    ///
    /// # Errors
    /// [`CliError::BadHostUrl`], or a machine on which no client can be made.
    pub fn new(url: &str, token: Option<String>) -> anyhow::Result<Self> {
        kinetic_registry::install_ring_provider_once();
        let base = Url::parse(url)
            .ok()
            .filter(|base| matches!(base.scheme(), "http" | "https"));
        let base = base.ok_or_else(|| CliError::BadHostUrl { url: url.to_string() })?;
        // Proxies are for the world outside, and a redirect would carry the token elsewhere.
        let mut http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .connect_timeout(Duration::from_secs(10));
        if base.scheme() == "http" {
            // Such a client never speaks TLS, so it must not fail where a machine has no CA certificates.
            http = http.tls_certs_only([]);
        }
        let http = http.build()?;
        Ok(Self { http, base, token })
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Every active capsule.
    pub async fn list(&self) -> anyhow::Result<Value> {
        self.json(self.request(Method::GET, "/api/v1/capabilities")).await
    }

    /// One capsule with the schemas of its functions.
    pub async fn inspect(&self, what: &str) -> anyhow::Result<Value> {
        self.json(self.request(Method::GET, &format!("/api/v1/capabilities/{what}")))
            .await
    }

    /// A receipt with its proof.
    pub async fn receipt(&self, id: &str) -> anyhow::Result<Value> {
        let path = format!("/api/v1/receipts/{id}");
        self.json(self.request(Method::GET, &path)).await
    }

    /// What a record of the log is.
    pub async fn record(&self, seq: u64) -> anyhow::Result<Value> {
        self.json(self.request(Method::GET, &format!("/api/v1/ledger/records/{seq}")))
            .await
    }

    /// Asks a route: `segments` go into the path behind `/api/v1/`, percent-encoded.
    pub async fn get(&self, segments: &[&str], query: &[(&str, String)]) -> anyhow::Result<Value> {
        self.json(self.at(Method::GET, segments, query)?).await
    }

    /// A value of the state as its bytes.
    pub async fn state_bytes(&self, segments: &[&str], query: &[(&str, String)]) -> anyhow::Result<Vec<u8>> {
        let request = self.at(Method::GET, segments, query)?.header(ACCEPT, OCTETS);
        let response = request.send().await.map_err(|e| self.unreachable(&e))?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        self.body(response).await
    }

    /// Sets a key of the state.
    pub async fn put_state(
        &self,
        segments: &[&str],
        query: &[(&str, String)],
        value: Vec<u8>,
    ) -> anyhow::Result<Value> {
        let request = self.at(Method::PUT, segments, query)?;
        self.json(request.header(CONTENT_TYPE, OCTETS).body(value)).await
    }

    /// Deletes what a route names.
    pub async fn delete(&self, segments: &[&str], query: &[(&str, String)]) -> anyhow::Result<Value> {
        self.json(self.at(Method::DELETE, segments, query)?).await
    }

    /// Creates something, or has something done.
    pub async fn post(&self, segments: &[&str], body: &impl Serialize) -> anyhow::Result<Value> {
        self.json(self.at(Method::POST, segments, &[])?.json(body)).await
    }

    /// Has the version of a capsule changed: `how` is swap or rollback. The host answers when it is done with all of it.
    pub async fn change_version(&self, urn: &str, how: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self.at(Method::POST, &["capsules", urn, how], &[])?;
        self.json(request.json(body).timeout(SWAP_TIMEOUT)).await
    }

    /// Sets a document.
    pub async fn put(&self, segments: &[&str], body: &Value) -> anyhow::Result<Value> {
        self.json(self.at(Method::PUT, segments, &[])?.json(body)).await
    }

    /// Registers the schema of events, byte for byte.
    pub async fn register_schema(&self, text: Vec<u8>) -> anyhow::Result<Value> {
        let request = self
            .at(Method::POST, &["schemas"], &[])?
            .header(CONTENT_TYPE, "application/schema+json");
        self.json(request.body(text)).await
    }

    /// Pushes telemetry as it comes; the answer comes when there is no more.
    pub async fn push_telemetry(
        &self,
        media_type: &str,
        pieces: tokio::sync::mpsc::Receiver<std::io::Result<bytes::Bytes>>,
    ) -> anyhow::Result<Value> {
        let stream = futures_util::stream::unfold(pieces, async |mut pieces| Some((pieces.recv().await?, pieces)));
        let request = self.at(Method::POST, &["telemetry", "push"], &[])?;
        let request = request.header(CONTENT_TYPE, media_type).timeout(STREAM_TIMEOUT);
        self.json(request.body(reqwest::Body::wrap_stream(stream))).await
    }

    /// Opens a stream of server-sent events.
    pub async fn stream(&self, segments: &[&str], query: &[(&str, String)]) -> anyhow::Result<EventStream> {
        let request = self
            .at(Method::GET, segments, query)?
            .header(ACCEPT, event_stream::MEDIA_TYPE);
        let response = request
            .timeout(STREAM_TIMEOUT)
            .send()
            .await
            .map_err(|e| self.unreachable(&e))?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        Ok(EventStream::new(self.url(), response))
    }

    fn at(&self, method: Method, segments: &[&str], query: &[(&str, String)]) -> Result<RequestBuilder, CliError> {
        let mut path = "/api/v1".to_string();
        for segment in segments {
            // URLs are cleaned of these wherever they pass, however they are written; nothing is one of no bytes.
            if matches!(*segment, "" | "." | "..") {
                let why = format!("\"{segment}\" cannot be part of a path");
                return Err(CliError::BadArgument { why });
            }
            path.push('/');
            for byte in segment.bytes() {
                if byte.is_ascii_alphanumeric() || b"-_~.".contains(&byte) {
                    path.push(char::from(byte));
                } else {
                    // Writing to a String cannot fail.
                    let _ = write!(path, "%{byte:02X}");
                }
            }
        }
        Ok(self.request(method, &path).query(query))
    }

    /// Calls a function. `schema` is its input schema, needed only when bytes come with other arguments; `raw` asks for the
    /// bare result.
    pub async fn call(
        &self,
        what: &str,
        function: Option<&str>,
        input: Input,
        schema: &Value,
        raw: bool,
    ) -> anyhow::Result<Answered> {
        let mut request = match input {
            Input::Json(intent) => {
                let mut body = json!({ "toolName": what, "intent": intent });
                if let (Some(function), Some(body)) = (function, body.as_object_mut()) {
                    body.insert("function".into(), function.into());
                }
                self.request(Method::POST, "/api/v1/capabilities/execute").json(&body)
            }
            Input::Bytes { bytes, rest } => {
                let mut query: Vec<(String, String)> = function
                    .map(|name| ("function".into(), name.into()))
                    .into_iter()
                    .collect();
                query.extend(
                    rest.iter()
                        .map(|(name, value)| (format!("arg.{name}"), query_text(name, value, schema))),
                );
                self.request(Method::POST, &format!("/api/v1/capabilities/{what}/execute"))
                    .query(&query)
                    .header(CONTENT_TYPE, OCTETS)
                    .body(bytes)
            }
        };
        if !raw {
            return Ok(Answered::Done {
                document: self.json(request).await?,
                bytes: None,
            });
        }
        request = request.header(ACCEPT, OCTETS);
        let response = request.send().await.map_err(|e| self.unreachable(&e))?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        let header = |name: &str| {
            response
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
        };
        let parsed = |name: &str| serde_json::from_str::<Value>(header(name)).unwrap_or_default();
        let document = json!({
            "success": header("x-kinetic-success") == "true",
            "telemetry": parsed("x-kinetic-telemetry"),
            "capsule": parsed("x-kinetic-capsule"),
            "function": header("x-kinetic-function"),
            "receipt_id": header("x-kinetic-receipt-id"),
        });
        Ok(Answered::Done {
            document,
            bytes: Some(self.body(response).await?),
        })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url()));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn json(&self, request: RequestBuilder) -> anyhow::Result<Value> {
        let response = request.send().await.map_err(|e| self.unreachable(&e))?;
        let status = response.status();
        if !status.is_success() {
            return Err(self.refusal(response).await);
        }
        let bytes = self.body(response).await?;
        let bad = |_| self.bad_answer(format!("HTTP {status} without a JSON body"));
        Ok(serde_json::from_slice(&bytes).map_err(bad)?)
    }

    /// The error of an answer that is no success.
    async fn refusal(&self, response: Response) -> anyhow::Error {
        let status = response.status();
        let bytes = match self.body(response).await {
            Ok(bytes) => bytes,
            Err(error) => return error,
        };
        match serde_json::from_slice::<Value>(&bytes) {
            Ok(problem) if problem.get("code").is_some_and(Value::is_string) => Refused(problem).into(),
            _ => self.bad_answer(format!("HTTP {status} without an error code")).into(),
        }
    }

    /// The body, as long as it stays within its bound.
    async fn body(&self, mut response: Response) -> anyhow::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.unreachable(&e))? {
            if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(self.bad_answer(format!("more than {ANSWER_BYTES_MAX} bytes")).into());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    fn unreachable(&self, error: &reqwest::Error) -> CliError {
        unreachable(self.url(), error)
    }

    fn bad_answer(&self, why: String) -> CliError {
        CliError::BadAnswer {
            url: self.url().to_string(),
            why,
        }
    }
}

/// A host that did not answer, or not to the end.
pub fn unreachable(url: &str, error: &reqwest::Error) -> CliError {
    // The innermost cause says "connection refused"; the outer ones only repeat the URL.
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    CliError::HostUnreachable {
        url: url.to_string(),
        why: cause.to_string(),
    }
}

/// An argument as the query carries it: text as it is where the parameter is text, JSON elsewhere.
fn query_text(name: &str, value: &Value, schema: &Value) -> String {
    let parameter = schema
        .get("properties")
        .and_then(|all| all.get(name))
        .unwrap_or(&Value::Null);
    match value {
        Value::String(text) if is_text(parameter) => text.clone(),
        other => other.to_string(),
    }
}

/// Whether the host takes the parameter as text: a string, character or enum, also an optional one; not base64.
fn is_text(schema: &Value) -> bool {
    let null = json!({ "type": "null" });
    match schema.get("anyOf").and_then(Value::as_array).map(Vec::as_slice) {
        Some([inner, other]) if *other == null => is_text(inner),
        _ => schema.get("type").is_some_and(|kind| kind == "string") && schema.get("contentEncoding").is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_beside_bytes_are_text_only_where_the_parameter_is() {
        let schema = json!({ "properties": {
            "mode": { "anyOf": [{ "type": "string", "enum": ["fast"] }, { "type": "null" }] },
            "key": { "type": "string", "contentEncoding": "base64" },
            "n": { "anyOf": [{ "type": "integer" }, { "type": "string" }] },
        } });
        let sent = |name: &str, value: Value| query_text(name, &value, &schema);
        assert_eq!(sent("mode", json!("fast")), "fast");
        assert_eq!(sent("key", json!("aGk=")), "\"aGk=\"");
        assert_eq!(
            [sent("n", json!(3)), sent("n", json!("9007199254740993"))],
            ["3", "\"9007199254740993\""]
        );
    }

    #[test]
    fn a_host_that_listens_everywhere_is_reached_on_loopback() {
        let mut config = Config::default();
        assert_eq!(default_url(&config), "http://127.0.0.1:8000");
        config.host.listen = "[::]:9".parse().unwrap();
        assert_eq!(default_url(&config), "http://[::1]:9");
    }

    #[test]
    fn a_host_that_is_no_http_url_is_refused() {
        for bad in ["localhost:8000", "ftp://x", "file:///etc", ""] {
            assert!(Client::new(bad, None).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_loopback_is_this_machine_alone() {
        assert_eq!(local_address("http://localhost:9/"), Some(([127, 0, 0, 1], 9).into()));
        assert_eq!(local_address("http://[::1]:9"), Some("[::1]:9".parse().unwrap()));
        assert_eq!(local_address("http://127.0.0.1"), Some(([127, 0, 0, 1], 80).into()));
        for elsewhere in ["http://10.0.0.1:8000", "http://localhost.example.com", "nonsense"] {
            assert_eq!(local_address(elsewhere), None, "{elsewhere}");
        }
    }

    #[test]
    fn a_token_is_the_files_one_line_and_nothing_a_header_cannot_carry() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "secret\n").unwrap();
        assert_eq!(token(Some(file.path())).unwrap().as_deref(), Some("secret"));
        for bad in ["", "two words", "a\nb", "ü"] {
            std::fs::write(file.path(), bad).unwrap();
            assert!(
                matches!(token(Some(file.path())), Err(CliError::BadToken { .. })),
                "{bad:?}"
            );
        }
    }
}
