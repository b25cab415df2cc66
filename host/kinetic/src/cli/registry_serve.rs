//! `kinetic registry serve`: a registry of one's own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use kinetic_identity::SigningKey;
use kinetic_registry_server::Settings;
use serde_json::json;

use super::{Context, up};
use crate::logging;

/// Serve a registry of one's own from a folder or S3
///
/// It takes what hosts would take: a publication is refused unless its receipt verifies by the
/// trust root that --trust names (trust.json of a host, the root documents beside it count too).
/// Versions never change. The index of each namespace is signed with --index-key, and renewed
/// before it expires; a root document should give that key the role index.
///
/// Reading is open unless --private is given. Publishing and yanking need a token: see
/// `kinetic registry token`; without --tokens nobody may. Of S3, the endpoint, the region and the
/// credentials come from the variables AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID and
/// AWS_SECRET_ACCESS_KEY. Several servers may serve one store. Ctrl-C or SIGTERM lets requests in
/// flight finish.
///
///     kinetic keys new registry --out index.pem
///     kinetic registry serve --store dir:/srv/registry --trust data/trust.json --index-key index.pem
///     kinetic registry serve --store s3://capsules/team --trust trust.json --index-key index.pem \
///         --tokens tokens.json --listen 0.0.0.0:8443 --tls-cert cert.pem --tls-key key.pem
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Serve {
    /// Where it keeps what is published: dir:PATH or s3://BUCKET/PREFIX
    #[arg(long, value_name = "STORE")]
    store: String,
    /// The trust root that publications are judged by
    #[arg(long, value_name = "FILE")]
    trust: PathBuf,
    /// The private key that signs the indexes
    #[arg(long, value_name = "FILE")]
    index_key: PathBuf,
    /// Who may publish, yank, and read if --private [default: nobody]
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,
    /// Let only tokens with the right to read do so
    #[arg(long, requires = "tokens")]
    private: bool,
    /// Address and port to listen on; anything but loopback needs TLS
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The chain of certificates, as PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its private key, as PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Listen without TLS: a proxy in front speaks it
    #[arg(long, conflicts_with = "tls_cert")]
    behind_proxy: bool,
    /// The largest component taken, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 10_485_760)]
    component_bytes_max: u64,
    /// How long a signed index is valid, in hours
    #[arg(long, value_name = "HOURS", default_value_t = 24)]
    index_valid_hours: u64,
    /// Publications at once; each holds its body in memory
    #[arg(long, value_name = "COUNT", default_value_t = 4)]
    publications_max: usize,
    /// Connections at once
    #[arg(long, value_name = "COUNT", default_value_t = 512)]
    connections_max: usize,
    /// Requests worked on at once
    #[arg(long, value_name = "COUNT", default_value_t = 256)]
    requests_max: usize,
    /// The longest a request's headers or the beginning of TLS may take to arrive, and a connection may idle, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    header_timeout_ms: u64,
    /// The longest a request's body may take to arrive, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 60_000)]
    body_timeout_ms: u64,
    /// The longest a request may take until its answer begins, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 120_000)]
    request_timeout_ms: u64,
    /// The longest a client may leave an answer unread, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 60_000)]
    write_stall_ms: u64,
}

impl Serve {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        logging::start(&context.load(None)?.config.host);
        let index_key = SigningKey::load(&self.index_key)?;
        let mut settings = Settings::new(self.store.parse()?, index_key, self.trust);
        settings.tokens = self.tokens;
        settings.private = self.private;
        settings.listen = self.listen;
        settings.tls = self.tls_cert.zip(self.tls_key);
        settings.behind_proxy = self.behind_proxy;
        settings.component_bytes_max = self.component_bytes_max;
        settings.index_valid_hours = self.index_valid_hours;
        settings.publications_max = self.publications_max;
        settings.connections_max = self.connections_max;
        settings.requests_max = self.requests_max;
        settings.header_timeout_ms = self.header_timeout_ms;
        settings.body_timeout_ms = self.body_timeout_ms;
        settings.request_timeout_ms = self.request_timeout_ms;
        settings.write_stall_ms = self.write_stall_ms;
        super::block_on(serve(context, settings))
    }
}

async fn serve(context: &Context, settings: Settings) -> anyhow::Result<ExitCode> {
    let (store, key) = (settings.store.to_string(), settings.index_key.public());
    let bound = kinetic_registry_server::bind(settings).await?;
    let scheme = if bound.speaks_tls() { "https" } else { "http" };
    let url = format!("{scheme}://{}", bound.local_addr());
    let document = json!({ "url": url, "store": store, "index_key": key });
    context.print(&document, || {
        format!(
            "the registry of {store} is served at {url}; key {} signs its indexes",
            key.id()
        )
    });
    bound.serve(up::shutdown()).await;
    Ok(ExitCode::SUCCESS)
}
