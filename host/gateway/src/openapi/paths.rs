//! Every route: what it takes, what it answers.

use serde_json::{Value, json};

pub(super) const JSON: &str = "application/json";
pub(super) const OCTETS: &str = "application/octet-stream";
pub(super) const STREAM: &str = "text/event-stream";

/// One operation; how it fails is the same for all.
pub(super) struct Operation {
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
    description: &'static str,
    parameters: Vec<Value>,
    body: Option<Value>,
    answer: (&'static str, Value),
}

impl Operation {
    pub(super) fn new(
        id: &'static str,
        tag: &'static str,
        summary: &'static str,
        answer: (&'static str, Value),
    ) -> Self {
        Self {
            id,
            tag,
            summary,
            description: "",
            parameters: Vec::new(),
            body: None,
            answer,
        }
    }

    pub(super) fn described(self, description: &'static str) -> Self {
        Self { description, ..self }
    }

    pub(super) fn with(mut self, parameter: Value) -> Self {
        self.parameters.push(parameter);
        self
    }

    pub(super) fn takes(self, content: Value) -> Self {
        Self {
            body: Some(json!({ "required": true, "content": content })),
            ..self
        }
    }

    /// As [`Operation::takes`]; the body may also be left out.
    pub(super) fn may_take(self, content: Value) -> Self {
        Self {
            body: Some(json!({ "required": false, "content": content })),
            ..self
        }
    }

    pub(super) fn write(self) -> Value {
        let (status, answer) = self.answer;
        let mut operation = json!({
            "operationId": self.id,
            "tags": [self.tag],
            "summary": self.summary,
            "responses": { status: answer, "default": { "$ref": "#/components/responses/Problem" } },
        });
        if let Some(members) = operation.as_object_mut() {
            if !self.description.is_empty() {
                members.insert("description".into(), self.description.into());
            }
            if !self.parameters.is_empty() {
                members.insert("parameters".into(), self.parameters.into());
            }
            if let Some(body) = self.body {
                members.insert("requestBody".into(), body);
            }
        }
        operation
    }
}

pub(super) fn schema(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

pub(super) fn content(media_type: &str, schema: Value) -> Value {
    json!({ media_type: { "schema": schema } })
}

/// Content of several media types.
pub(super) fn contents(types: &[(&str, Value)]) -> Value {
    Value::Object(
        types
            .iter()
            .map(|(name, schema)| ((*name).to_string(), json!({ "schema": schema })))
            .collect(),
    )
}

pub(super) fn ok(description: &str, content: Value) -> (&'static str, Value) {
    ("200", json!({ "description": description, "content": content }))
}

pub(super) fn path(name: &str, description: &str, schema: Value) -> Value {
    json!({ "name": name, "in": "path", "required": true, "description": description, "schema": schema })
}

fn urn() -> Value {
    path(
        "urn",
        "The capability, pinned to a version or to its bytes if you like.",
        schema("Reference"),
    )
}

fn reference() -> Value {
    path(
        "reference",
        "The capability; without a pin the highest version that is no pre-release is meant.",
        schema("Reference"),
    )
}

/// Both forms a call's answer has.
fn answered() -> (&'static str, Value) {
    let text = |description: &str| json!({ "description": description, "schema": { "type": "string" } });
    let mut content = content(JSON, schema("Answer"));
    if let Some(content) = content.as_object_mut() {
        content.insert(OCTETS.into(), json!({ "schema": {} }));
    }
    let headers = json!({
        "x-request-id": text("The id of the request."),
        "x-kinetic-success": text("With the bare output: true, or false when the function returned its own error."),
        "x-kinetic-telemetry": text("With the bare output: Telemetry as JSON."),
        "x-kinetic-capsule": text("With the bare output: RanCapsule as JSON."),
        "x-kinetic-function": text("With the bare output: the function that ran."),
    });
    let description = "The function returned. With `Accept: application/octet-stream` the body is the bare output: a list<u8> as \
                       it is, a string as text, anything else as JSON; logs are left out then.";
    (
        "200",
        json!({ "description": description, "headers": headers, "content": content }),
    )
}

/// The `paths` member.
pub(super) fn paths() -> Value {
    let mut all = host_paths();
    for more in [
        super::capsules::paths(),
        super::discovery::paths(),
        super::zones::paths(),
        super::outbox::paths(),
        super::promotions::paths(),
        super::ledger::paths(),
        super::topics::paths(),
        super::telemetry::paths(),
    ] {
        if let (Some(all), Value::Object(more)) = (all.as_object_mut(), more) {
            all.extend(more);
        }
    }
    all
}

fn host_paths() -> Value {
    json!({
        "/api/v1/capabilities/execute": { "post": execute() },
        "/api/v1/capabilities/{urn}/execute": { "post": execute_bytes() },
        "/api/v1/capabilities": { "get": Operation::new(
            "listCapabilities", "capabilities", "Every active capsule in brief",
            ok("Sorted by URN.", content(JSON, schema("CapabilityList"))),
        ).write() },
        "/api/v1/capabilities/{urn}": { "get": Operation::new(
            "inspectCapability", "capabilities", "One capsule with its manifest and the JSON Schema of its functions",
            ok("The capsule.", content(JSON, schema("CapabilityInFull"))),
        ).described("One that is not active yet is fetched, verified and admitted, as a call would do.").with(urn()).write() },
        "/api/v1/registry/capabilities": { "get": Operation::new(
            "listVersions", "registry", "Every version in the local store",
            ok("Sorted by URN and version.", content(JSON, schema("VersionList"))),
        ).write() },
        "/api/v1/registry/capabilities/{reference}": { "get": Operation::new(
            "describeVersion", "registry", "One version: manifest, receipt, digest, size",
            ok("The descriptor.", content(JSON, schema("Descriptor"))),
        ).with(reference()).write() },
        "/api/v1/registry/capabilities/{reference}/download": { "get": Operation::new(
            "downloadVersion", "registry", "One version's component",
            ok("The bytes, streamed.", content("application/wasm", json!({}))),
        ).described("A `Range` of bytes, with `If-Range` and the ETag of before, is answered 206 with just that part.")
         .with(reference()).write() },
        "/api/v1/registry/capabilities/publish": { "post": Operation::new(
            "publishVersion", "registry", "Admit, store and activate one version",
            ("201", json!({ "description": "It is stored, and active unless activate is false.", "content": content(JSON, schema("Published")) })),
        ).described("Nothing that is refused reaches the store. A version never changes.")
         .with(json!({
             "name": "activate", "in": "query", "schema": { "type": "boolean", "default": true },
             "description": "False only stores it: a swap puts it in its place.",
         }))
         .takes(content(JSON, schema("Publication"))).write() },
        "/mcp": mcp(),
        "/healthz": { "get": open(Operation::new(
            "alive", "host", "Whether the process answers", ok("It does.", content(JSON, schema("Alive"))),
        )) },
        "/readyz": { "get": open(Operation::new(
            "ready", "host", "Whether calls are taken",
            ok("They are. 503 while capsules are being activated and once the shutdown began.", content(JSON, schema("Ready"))),
        )) },
        "/metrics": { "get": Operation::new(
            "metrics", "host", "Metrics for Prometheus",
            ok("The OpenMetrics text format.", content("application/openmetrics-text", json!({ "type": "string" }))),
        ).write() },
        "/openapi.json": { "get": Operation::new(
            "describeApi", "host", "This document", ok("OpenAPI 3.1.", content(JSON, json!({ "type": "object" }))),
        ).write() },
        "/errors": { "get": Operation::new(
            "listErrors", "host", "Every error code", ok("As JSON, or as a page with Accept: text/html.", explained(schema("ErrorList"))),
        ).write() },
        "/errors/{code}": { "get": Operation::new(
            "explainError", "host", "One error code: what it means and what to do",
            ok("As JSON, or as a page with Accept: text/html.", explained(schema("Error"))),
        ).with(path("code", "The code, in any case.", json!({ "type": "string", "examples": ["KIN-ENG-0014"] }))).write() },
    })
}

fn explained(schema: Value) -> Value {
    json!({ JSON: { "schema": schema }, "text/html": { "schema": { "type": "string" } } })
}

/// An operation that no token is demanded for.
fn open(operation: Operation) -> Value {
    let mut written = operation.write();
    if let Some(members) = written.as_object_mut() {
        members.insert("security".into(), json!([]));
    }
    written
}

fn execute() -> Value {
    Operation::new("execute", "capabilities", "Run one function in a fresh sandbox", answered())
        .described(
            "A capsule that is not active yet is fetched, verified and admitted first. A function's own error is an answer with \
             success false; what the host stopped is a problem with telemetry and logs.",
        )
        .takes(content(JSON, schema("Execute")))
        .write()
}

fn execute_bytes() -> Value {
    let function = json!({
        "name": "function", "in": "query", "schema": { "type": "string" },
        "description": "May be left out when there is only one.",
    });
    let arguments = json!({
        "name": "arguments", "in": "query", "style": "form", "explode": true,
        "description": "The other arguments as arg.NAME=VALUE: text as it is where the parameter is text, JSON elsewhere.",
        "schema": { "type": "object", "patternProperties": { "^arg\\..+$": { "type": "string" } }, "additionalProperties": false },
    });
    Operation::new("executeBytes", "capabilities", "Run one function on raw bytes", answered())
        .described("The body feeds the one list<u8> or string parameter that the query leaves open; it is neither copied nor decoded.")
        .with(urn())
        .with(function)
        .with(arguments)
        .takes(content(OCTETS, json!({})))
        .write()
}

fn mcp() -> Value {
    let stream = |description: &str| {
        let content = json!({ JSON: { "schema": { "type": "object" } }, "text/event-stream": { "schema": { "type": "string" } } });
        ok(description, content)
    };
    let message = content(
        JSON,
        json!({ "type": "object", "description": "A JSON-RPC message of the Model Context Protocol." }),
    );
    json!({
        "post": Operation::new("mcpSend", "mcp", "Send a message of the Model Context Protocol", stream("The answer, or a stream that holds it."))
            .described("Streamable HTTP. Every function of every active capsule is a tool.").takes(message).write(),
        "get": Operation::new("mcpListen", "mcp", "Open the stream on which the server speaks first", stream("A stream of messages.")).write(),
        "delete": Operation::new("mcpClose", "mcp", "End a session", ("204", json!({ "description": "It is ended." }))).write(),
    })
}
