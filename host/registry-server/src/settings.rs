//! What a registry is told when it starts: where it keeps things, whom it believes, and a bound on everything that comes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use kinetic_identity::SigningKey;
use kinetic_registry::COMPONENT_BYTES_MAX_DEFAULT;

use crate::{ServerError, StoreAddress};

/// The longest that an index may be valid, in hours: a year.
const INDEX_VALID_HOURS_MAX: u64 = 8_784;

/// Settings of a registry. No limit can be switched off.
#[derive(Debug)]
pub struct Settings {
    /// Where it keeps what was published.
    pub store: StoreAddress,
    /// The key that signs the indexes.
    pub index_key: SigningKey,
    /// The trust root that publications are judged by; read at each.
    pub trust: PathBuf,
    /// Who may publish, yank, and read if `private`; read at each request that needs it. Without it nobody may.
    pub tokens: Option<PathBuf>,
    /// Whether reading needs a token as well; `false` by default.
    pub private: bool,
    /// Address and port; 127.0.0.1:8080 by default. Anything but loopback needs `tls` or `behind_proxy`.
    pub listen: SocketAddr,
    /// Files of the chain of certificates and of the private key, in PEM form; none by default.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Whether a proxy in front speaks TLS; `false` by default.
    pub behind_proxy: bool,
    /// The largest component, in bytes; 10,485,760 by default.
    pub component_bytes_max: u64,
    /// How long a signed index is valid, in hours; 24 by default, 8,784 at most. It is renewed at half that time.
    pub index_valid_hours: u64,
    /// Publications at once; 4 by default. Each holds its whole body; more are answered 503.
    pub publications_max: usize,
    /// Connections at once; 512 by default. More wait to be accepted.
    pub connections_max: usize,
    /// Requests worked on at once; 256 by default. More are answered 503.
    pub requests_max: usize,
    /// The longest a request's headers or the beginning of TLS may take to arrive, and a connection may idle, in
    /// milliseconds; 10 s by default.
    pub header_timeout_ms: u64,
    /// The longest a request's body may take to arrive, in milliseconds; 60 s by default.
    pub body_timeout_ms: u64,
    /// The longest a request may take until its answer begins, in milliseconds; 120 s by default.
    pub request_timeout_ms: u64,
    /// The longest a client may leave an answer unread, in milliseconds; 60 s by default.
    pub write_stall_ms: u64,
    /// The longest one question to the store may take, in milliseconds; 30 s by default.
    pub store_timeout_ms: u64,
    /// How often indexes are looked after: renewed, and what other servers on the same store published taken in, in
    /// milliseconds; 30 s by default.
    pub tend_ms: u64,
    /// How long requests in flight may finish after the shutdown began, in milliseconds; 10 s by default.
    pub drain_timeout_ms: u64,
}

impl Settings {
    /// The defaults around what has none.
    pub fn new(store: StoreAddress, index_key: SigningKey, trust: PathBuf) -> Self {
        Self {
            store,
            index_key,
            trust,
            tokens: None,
            private: false,
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            tls: None,
            behind_proxy: false,
            component_bytes_max: COMPONENT_BYTES_MAX_DEFAULT,
            index_valid_hours: 24,
            publications_max: 4,
            connections_max: 512,
            requests_max: 256,
            header_timeout_ms: 10_000,
            body_timeout_ms: 60_000,
            request_timeout_ms: 120_000,
            write_stall_ms: 60_000,
            store_timeout_ms: 30_000,
            tend_ms: 30_000,
            drain_timeout_ms: 10_000,
        }
    }

    /// Refuses what cannot stand, an open door without TLS first of all.
    pub(crate) fn check(&self) -> Result<(), ServerError> {
        if !self.listen.ip().is_loopback() && self.tls.is_none() && !self.behind_proxy {
            return Err(ServerError::TlsNeeded {
                listen: self.listen.to_string(),
            });
        }
        let bad = |name: &str, why: &str| {
            Err(ServerError::BadSetting {
                name: name.into(),
                why: why.into(),
            })
        };
        if self.private && self.tokens.is_none() {
            return bad("--private", "without --tokens nobody could read anything");
        }
        if !(1..=INDEX_VALID_HOURS_MAX).contains(&self.index_valid_hours) {
            return bad("--index-valid-hours", "it must be 1 to 8784");
        }
        if self.component_bytes_max == 0 {
            return bad("--component-bytes-max", "it must be at least 1");
        }
        if self.publications_max == 0 || self.connections_max == 0 || self.requests_max == 0 {
            return bad("a limit on what happens at once", "it must be at least 1");
        }
        let timeouts = [
            ("--header-timeout-ms", self.header_timeout_ms),
            ("--body-timeout-ms", self.body_timeout_ms),
            ("--request-timeout-ms", self.request_timeout_ms),
            ("--write-stall-ms", self.write_stall_ms),
        ];
        if let Some((name, _)) = timeouts.into_iter().find(|(_, timeout_ms)| *timeout_ms == 0) {
            return bad(name, "it must be at least 1");
        }
        Ok(())
    }

    /// How long an index is valid.
    pub(crate) const fn index_valid_ms(&self) -> u64 {
        self.index_valid_hours.saturating_mul(3_600_000)
    }

    pub(crate) const fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        let store = "dir:store".parse().unwrap();
        Settings::new(store, SigningKey::generate().unwrap(), "trust.json".into())
    }

    #[test]
    fn other_machines_are_let_in_by_tls_or_behind_a_proxy_only() {
        let mut open = settings();
        assert!(open.listen.ip().is_loopback() && open.check().is_ok());
        open.listen = "0.0.0.0:8080".parse().unwrap();
        assert!(matches!(open.check(), Err(ServerError::TlsNeeded { .. })));
        open.behind_proxy = true;
        assert!(open.check().is_ok());
        open.behind_proxy = false;
        open.tls = Some(("cert.pem".into(), "key.pem".into()));
        assert!(open.check().is_ok());
    }

    #[test]
    fn no_limit_can_be_switched_off() {
        for change in [
            (|settings: &mut Settings| settings.index_valid_hours = 0) as fn(&mut Settings),
            |settings: &mut Settings| settings.index_valid_hours = 8_785,
            |settings: &mut Settings| settings.component_bytes_max = 0,
            |settings: &mut Settings| settings.publications_max = 0,
            |settings: &mut Settings| settings.requests_max = 0,
            |settings: &mut Settings| settings.header_timeout_ms = 0,
            |settings: &mut Settings| settings.body_timeout_ms = 0,
            |settings: &mut Settings| settings.request_timeout_ms = 0,
            |settings: &mut Settings| settings.write_stall_ms = 0,
            |settings: &mut Settings| settings.private = true,
        ] {
            let mut changed = settings();
            change(&mut changed);
            assert!(
                matches!(changed.check(), Err(ServerError::BadSetting { .. })),
                "{changed:?}"
            );
        }
    }
}
