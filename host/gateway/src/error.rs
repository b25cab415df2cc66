//! What can go wrong at the door: before a call runs, or instead of one.

use kinetic_identity::IdentityError;
use kinetic_model::{ErrorKind, Fault, coded_errors};

coded_errors! {
    /// Errors of the HTTP and MCP doors.
    pub enum GatewayError ("GWY") {
        /// Listening beyond this machine without a token.
        "0001" TokenNeeded { listen: String } => Security,
            "{listen} can be reached from other machines, and no token is configured.",
            "Set host.token_sha256 (`printf %s TOKEN | sha256sum`) in kinetic.toml or as KINETIC_HOST__TOKEN_SHA256, or listen on 127.0.0.1.";
        /// The address cannot be listened on.
        "0002" ListenFailed { listen: String, why: String } => Conflict,
            "nothing can listen on {listen}: {why}.",
            "Stop what listens there, or choose another address with --listen or host.listen.";
        /// A setting that cannot stand.
        "0003" BadSetting { name: String, why: String } => Invalid,
            "the gateway's setting {name} cannot stand: {why}.",
            "Correct it; `kinetic config default` explains every setting.";
        /// No token, or a wrong one.
        "0004" BadToken { why: String } => Unauthenticated,
            "the request carries no valid bearer token: {why}.",
            "Send Authorization: Bearer and the token whose SHA-256 is configured as host.token_sha256.";
        /// The Host header names another place.
        "0005" ForeignHost { host: String } => Security,
            "the Host header says \"{host}\", which is not a name of this host.",
            "Use http://127.0.0.1 or http://localhost, or add the name to gateway.allowed_hosts.";
        /// A page of another origin asks.
        "0006" ForeignOrigin { origin: String } => Security,
            "a page of {origin} asked, and pages of other origins may not.",
            "Add the origin to gateway.allowed_origins if you trust it.";
        /// No such route.
        "0007" NoRoute { path: String } => NotFound,
            "there is nothing at {path}.",
            "GET /openapi.json lists every route.";
        /// The route does not know the method.
        "0008" MethodNotAllowed { method: String, path: String } => Invalid,
            "{path} does not answer {method}.",
            "The Allow header names the methods it answers; GET /openapi.json describes them.";
        /// The body is of a type the route does not read.
        "0009" UnsupportedMedia { found: String, expected: String } => Invalid,
            "the body is {found}; this route reads {expected}.",
            "Set Content-Type to what the body is.";
        /// The body is too large.
        "0010" BodyTooLarge { bytes_max: u64 } => TooLarge,
            "the body is larger than {bytes_max} bytes.",
            "Send less, or raise gateway.body_bytes_max.";
        /// The body came too slowly.
        "0011" BodyTimeout { timeout_ms: u64 } => Timeout,
            "the body did not arrive within {timeout_ms} ms.",
            "Send it faster, or in one piece.";
        /// The body broke off.
        "0012" BodyBroken { why: String } => Invalid,
            "the body could not be read: {why}.",
            "Send the request again.";
        /// The body is not JSON.
        "0013" BadJson { why: String } => Invalid,
            "the body is not JSON: {why}.",
            "Send one well-formed JSON document in UTF-8.";
        /// A member stands twice in one object.
        "0014" DuplicateMember { name: String } => Invalid,
            "the body names \"{name}\" twice in one object, so readers could disagree about its meaning.",
            "Keep one of the two.";
        /// The JSON nests too deeply.
        "0015" JsonTooDeep { depth_max: usize } => Invalid,
            "the body nests deeper than {depth_max} levels.",
            "Flatten it, or raise gateway.json_depth_max.";
        /// The body is JSON, but not of the route's schema.
        "0016" BadRequest { path: String, why: String } => Invalid,
            "{path}: {why}.",
            "GET /openapi.json has the schema of every request.";
        /// State for a function that has no place for it.
        "0017" StateNotTaken { function: String } => Invalid,
            "state was given, but function \"{function}\" has no parameter named state that intent leaves open; capsules keep nothing between calls.",
            "Leave state out, or call a function with a parameter named state.";
        /// The request took too long.
        "0018" RequestTimeout { timeout_ms: u64 } => Timeout,
            "the request took longer than {timeout_ms} ms and was stopped.",
            "Give it less to do, or raise gateway.request_timeout_ms.";
        /// Too many requests at once.
        "0019" TooManyRequests { requests_max: usize } => Busy,
            "{requests_max} requests are already being worked on.",
            "Try again in a moment, or raise gateway.concurrency_max.";
        /// Not ready to serve.
        "0020" NotReady { why: String } => Busy,
            "the host is not ready: {why}.",
            "Try again in a moment.";
        /// A handler panicked.
        "0021" HandlerPanicked { } => Internal,
            "the host failed while answering; the request was given up and others are unaffected.",
            "This is a fault of the host: report it with the request id and the host's log.";
        /// No such error code.
        "0022" UnknownCode { code: String } => NotFound,
            "no error has the code {code}.",
            "GET /errors lists them all.";
        /// Too many MCP sessions.
        "0023" TooManySessions { sessions_max: usize } => Busy,
            "{sessions_max} MCP sessions are open.",
            "Close sessions with DELETE /mcp when they are done with; idle ones end by themselves.";
        /// The MCP transport refused the request.
        "0024" McpRefused { why: String } => Invalid,
            "the MCP request was refused: {why}.",
            "See the MCP specification's streamable HTTP transport; official clients follow it.";
        /// No such tool.
        "0025" NoSuchTool { name: String } => NotFound,
            "no tool is called \"{name}\".",
            "Call tools/list again: tools come and go with the active capsules.";
        /// The MCP connection over standard streams failed.
        "0026" StdioFailed { why: String } => Unavailable,
            "the MCP connection over standard input and output failed: {why}.",
            "Start `kinetic mcp` from an MCP client; it speaks JSON-RPC, one message per line.";
        /// The answer cannot be written as JSON.
        "0027" AnswerFailed { why: String } => Internal,
            "the answer could not be written: {why}.",
            "This is a fault of the host: report it with the request id and the host's log.";
        /// A cursor that was not given out.
        "0028" BadCursor { cursor: String } => Invalid,
            "\"{cursor}\" is not a cursor this host gave out.",
            "Start tools/list again without a cursor.";
        /// A key that does not exist.
        "0029" NoStateKey { key: String, at: u64 } => NotFound,
            "{key} does not exist as of record {at}.",
            "List the owner's keys, or ask as of another record; `kinetic state history` tells when it was deleted.";
        /// A conditional write of a key that is not as expected.
        "0030" StateMoved { key: String, found: String, expected: String } => Conflict,
            "{key} was written by record {found}, not {expected}.",
            "Read it anew, decide again, and write with if-seq as found; none means that the key does not exist.";
        /// Too many wait for events.
        "0031" TooManyReaders { readers_max: usize } => Busy,
            "{readers_max} readers are waiting for events already.",
            "Close streams that nobody reads, or ask without wait_ms.";
        /// No telemetry, or not yet.
        "0032" NoTelemetry {} => Busy,
            "this host takes no telemetry now: it is starting, or telemetry.enabled is false.",
            "Try again in a moment; see the host's log for why telemetry did not start.";
        /// A topic that only the host writes.
        "0033" HostTopic { name: String } => Security,
            "topics that begin with kinetic. are the host's own: {name} can be read, not written or changed.",
            "Use a topic with another first segment; telemetry goes to /api/v1/telemetry/push.";
    }
}

impl GatewayError {
    /// The error of JSON that `strict_json` refused.
    pub(crate) fn of_json(error: &IdentityError) -> Self {
        match error {
            IdentityError::JsonDuplicateKey { key } => Self::DuplicateMember { name: key.clone() },
            IdentityError::JsonTooDeep { depth_max } => Self::JsonTooDeep { depth_max: *depth_max },
            IdentityError::JsonMalformed { why } => Self::BadJson { why: why.clone() },
            other => Self::BadJson { why: other.to_string() },
        }
    }
}

/// The HTTP status of a code: its kind's, but where HTTP has a more telling one.
pub(crate) fn status(code: &str, kind: ErrorKind) -> u16 {
    match code {
        "KIN-GWY-0008" => 405,
        "KIN-GWY-0009" => 415,
        "KIN-GWY-0011" => 408,
        _ => kind.status(),
    }
}

/// As [`status`], of a fault.
pub(crate) fn fault_status(fault: &Fault) -> u16 {
    status(fault.code, fault.kind)
}

/// Text from outside, made fit for a message: short, and without control characters.
pub(crate) fn tame(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_has_a_status_of_its_own_for_methods_media_types_and_slow_bodies() {
        let of = |error: GatewayError| fault_status(&Fault::from(error));
        assert_eq!(
            of(GatewayError::MethodNotAllowed {
                method: "PUT".into(),
                path: "/".into()
            }),
            405
        );
        assert_eq!(
            of(GatewayError::UnsupportedMedia {
                found: String::new(),
                expected: String::new()
            }),
            415
        );
        assert_eq!(of(GatewayError::BodyTimeout { timeout_ms: 1 }), 408);
        assert_eq!(of(GatewayError::RequestTimeout { timeout_ms: 1 }), 504);
    }

    #[test]
    fn text_from_outside_is_shortened_and_loses_its_control_characters() {
        assert_eq!(tame("a\u{1b}[31mb\n"), "a[31mb");
        assert_eq!(tame(&"x".repeat(500)).len(), 100);
    }
}
