//! One line of a manifest's `imports`: an interface the capsule asks for, and the narrowing that goes with it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An import a capsule asks for. The operator's policy may narrow it further, never widen it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportGrant {
    /// The interface without its version, for example `wasi:http/outgoing-handler`.
    pub interface: String,
    /// For interfaces that reach the network: the hosts, as `example.com`, `example.com:8443`, `*.example.com` or `localhost:*`.
    /// Port 443 for https and 80 for http are meant when none is given. An empty list allows no host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// For `kinetic:events`: patterns of the topics it may publish to. An empty list allows none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub publish: Vec<String>,
    /// For `kinetic:events`: patterns of the topics it may subscribe to. An empty list allows none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subscribe: Vec<String>,
    /// For `kinetic:state`: the owners, beside the capsule itself, whose keys it may reach. An empty list allows none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<String>,
}
