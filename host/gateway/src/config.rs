//! The gateway's settings: where it listens, who may come in, and a bound on everything that comes.

use std::net::SocketAddr;
use std::time::Duration;

use kinetic_model::Digest;

use crate::GatewayError;

/// The deepest nesting the JSON reader itself follows.
const JSON_DEPTH_CEILING: usize = 127;
/// The smallest header buffer that can hold an ordinary request.
const HEADER_BYTES_FLOOR: usize = 8_192;

/// Settings of the gateway. Every field has a default, and none can be switched off.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// Address and port; 127.0.0.1:8000 by default. Anything but loopback needs `token_sha256`.
    pub listen: SocketAddr,
    /// SHA-256 of the bearer token that every request must carry, but those of /healthz and /readyz; none by default.
    pub token_sha256: Option<Digest>,
    /// Names besides loopback and the listening address that the Host header may carry; none by default.
    pub allowed_hosts: Vec<String>,
    /// Origins whose pages may call, as `http://localhost:3000`; none by default.
    pub allowed_origins: Vec<String>,
    /// The largest request body, in bytes; 16 MiB by default. Publishing takes what the largest component needs.
    pub body_bytes_max: u64,
    /// How deep JSON may nest; 64 by default, 127 at most.
    pub json_depth_max: usize,
    /// The longest a request's headers may take to arrive, in milliseconds; 10 s by default. An idle connection is closed
    /// after the same time.
    pub header_timeout_ms: u64,
    /// The longest a request's body may take to arrive, in milliseconds; 60 s by default.
    pub body_timeout_ms: u64,
    /// The longest a request may take until its answer begins, in milliseconds; 310 s by default, above the largest wall time
    /// a call can have.
    pub request_timeout_ms: u64,
    /// The longest a client may leave an answer unread, in milliseconds; 60 s by default.
    pub write_stall_ms: u64,
    /// How long requests in flight may finish after the shutdown began, in milliseconds; 10 s by default.
    pub drain_timeout_ms: u64,
    /// Headers of a request; 64 by default.
    pub headers_max: usize,
    /// Bytes of a request's headers; 32 KiB by default.
    pub header_bytes_max: usize,
    /// Connections at once; 1,024 by default. More wait to be accepted.
    pub connections_max: usize,
    /// Requests worked on at once; 1,024 by default. More are answered 503.
    pub requests_max: usize,
    /// MCP sessions at once; 256 by default. More are answered 503.
    pub mcp_sessions_max: usize,
    /// An MCP session that was silent for this long ends, in milliseconds; 1 hour by default.
    pub mcp_session_idle_ms: u64,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8000)),
            token_sha256: None,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            body_bytes_max: 16_777_216,
            json_depth_max: 64,
            header_timeout_ms: 10_000,
            body_timeout_ms: 60_000,
            request_timeout_ms: 310_000,
            write_stall_ms: 60_000,
            drain_timeout_ms: 10_000,
            headers_max: 64,
            header_bytes_max: 32_768,
            connections_max: 1_024,
            requests_max: 1_024,
            mcp_sessions_max: 256,
            mcp_session_idle_ms: 3_600_000,
        }
    }
}

impl GatewayConfig {
    /// Refuses what cannot stand, an open door without a token first of all.
    pub(crate) fn check(&self) -> Result<(), GatewayError> {
        let bad = |name: &str, why: &str| {
            Err(GatewayError::BadSetting {
                name: name.into(),
                why: why.into(),
            })
        };
        if !self.listen.ip().is_loopback() && self.token_sha256.is_none() {
            return Err(GatewayError::TokenNeeded {
                listen: self.listen.to_string(),
            });
        }
        let at_least_one = [
            ("body_bytes_max", self.body_bytes_max),
            ("json_depth_max", self.json_depth_max as u64),
            ("header_timeout_ms", self.header_timeout_ms),
            ("body_timeout_ms", self.body_timeout_ms),
            ("request_timeout_ms", self.request_timeout_ms),
            ("write_stall_ms", self.write_stall_ms),
            ("headers_max", self.headers_max as u64),
            ("connections_max", self.connections_max as u64),
            ("requests_max", self.requests_max as u64),
            ("mcp_sessions_max", self.mcp_sessions_max as u64),
            ("mcp_session_idle_ms", self.mcp_session_idle_ms),
        ];
        if let Some((name, _)) = at_least_one.into_iter().find(|(_, value)| *value == 0) {
            return bad(name, "it must be at least 1");
        }
        if self.json_depth_max > JSON_DEPTH_CEILING {
            return bad("json_depth_max", "127 is the most the JSON reader follows");
        }
        if self.header_bytes_max < HEADER_BYTES_FLOOR {
            return bad("header_bytes_max", "8192 is the least that holds an ordinary request");
        }
        if let Some(origin) = self.allowed_origins.iter().find(|origin| !is_origin(origin)) {
            return bad(
                "allowed_origins",
                &format!("\"{origin}\" is not a scheme, host and port like http://localhost:3000"),
            );
        }
        Ok(())
    }

    pub(crate) const fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    pub(crate) const fn body_timeout(&self) -> Duration {
        Duration::from_millis(self.body_timeout_ms)
    }
}

fn is_origin(text: &str) -> bool {
    let Some((scheme, authority)) = text.split_once("://") else {
        return false;
    };
    matches!(scheme, "http" | "https") && !authority.is_empty() && !authority.contains(['/', '?', '#', '@'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_stand_and_listen_on_loopback_only() {
        let config = GatewayConfig::default();
        assert!(config.check().is_ok());
        assert!(config.listen.ip().is_loopback());
    }

    #[test]
    fn listening_elsewhere_without_a_token_is_refused_and_the_fix_names_the_setting() {
        let open = GatewayConfig {
            listen: "0.0.0.0:80".parse().unwrap(),
            ..GatewayConfig::default()
        };
        let Err(error) = open.check() else { panic!("accepted") };
        assert!(kinetic_model::Coded::fix(&error).contains("host.token_sha256"));
        let closed = GatewayConfig {
            token_sha256: Some(Digest::of(b"secret")),
            ..open
        };
        assert!(closed.check().is_ok());
    }

    #[test]
    fn no_limit_can_be_switched_off() {
        for config in [
            GatewayConfig {
                body_bytes_max: 0,
                ..GatewayConfig::default()
            },
            GatewayConfig {
                connections_max: 0,
                ..GatewayConfig::default()
            },
            GatewayConfig {
                json_depth_max: 128,
                ..GatewayConfig::default()
            },
            GatewayConfig {
                allowed_origins: vec!["*".into()],
                ..GatewayConfig::default()
            },
        ] {
            assert!(matches!(config.check(), Err(GatewayError::BadSetting { .. })));
        }
    }
}
