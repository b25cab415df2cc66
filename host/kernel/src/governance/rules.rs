//! The policies in force, and the two questions they answer.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision, Entities, Entity, EntityUid, PolicySet, Request, Response,
    RestrictedExpression, Schema,
};
use kinetic_model::Digest;

use super::party::{self, unasked, word};
use super::{Denied, Party, file};
use crate::KernelError;
use crate::life::Actor;
use crate::resolve::{Interface, Known};

const SCHEMA: &str = include_str!("schema.cedarschema");
const DEFAULT: &str = include_str!("default.cedar");
/// What the host's own policies are called where they stand.
const DEFAULT_PLACE: &str = "the host's own policies";

/// The host's own policies; read once.
static BUILT_IN: LazyLock<Rules> = LazyLock::new(|| {
    // Without policies nothing is permitted. A test sees to it that there are some.
    Rules::with(DEFAULT_PLACE, "").unwrap_or_else(|_| Rules::none())
});

/// The policies in force. Cheap to clone.
#[derive(Clone)]
pub struct Rules(Arc<Loaded>);

struct Loaded {
    /// None where nothing could be read, and then everything is refused.
    schema: Option<Schema>,
    policies: PolicySet,
    digest: Digest,
}

impl Default for Rules {
    /// The host's own policies.
    fn default() -> Self {
        BUILT_IN.clone()
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rules({})", self.0.digest)
    }
}

impl Rules {
    /// The host's own policies and the operator's.
    ///
    /// # Errors
    /// `PolicyFile` with the line, when the file cannot be read, has a mistake in it, or does not fit the schema.
    pub fn load(path: &Path) -> Result<Self, KernelError> {
        Self::with(&path.display().to_string(), &file::read(path)?)
    }

    /// The host's own policies and those of a text; `place` is where it stands.
    ///
    /// # Errors
    /// `PolicyFile`.
    pub fn with(place: &str, text: &str) -> Result<Self, KernelError> {
        let schema = SCHEMA.parse::<Schema>().map_err(|e| KernelError::PolicyFile {
            place: "the host's own schema".into(),
            why: format!("{e}"),
        })?;
        let mut collected = file::Collected::default();
        collected.add(DEFAULT_PLACE, DEFAULT, true)?;
        collected.add(place, text, false)?;
        let parts = [SCHEMA, DEFAULT, text].map(|part| Digest::of(part.as_bytes()).to_string());
        Ok(Self(Arc::new(Loaded {
            policies: collected.checked(&schema)?,
            schema: Some(schema),
            digest: Digest::of(parts.concat().as_bytes()),
        })))
    }

    fn none() -> Self {
        Self(Arc::new(Loaded {
            schema: None,
            policies: PolicySet::new(),
            digest: Digest::EMPTY,
        }))
    }

    /// SHA-256 over schema and policies.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// Whether one capsule may use an interface of another one.
    ///
    /// # Errors
    /// [`Denied`], with the policy that decided.
    pub fn may_bind(&self, dependent: Party<'_>, provider: Party<'_>, interface: &Interface) -> Result<(), Denied> {
        let question = Question {
            action: "bind",
            principal: (dependent.uid()?, Some(dependent.entity()?)),
            resource: (provider.uid()?, provider.entity()?),
            context: ("interface", interface.to_string()),
        };
        let unpermitted = "beyond its own tenant a capsule uses only what is of zone system";
        self.ask(question, unpermitted)
    }

    /// [`Rules::may_bind`] as resolution asks it.
    pub(crate) fn may_bind_known(
        &self,
        dependent: &Known,
        provider: &Known,
        interface: &Interface,
    ) -> Result<(), Denied> {
        self.may_bind(dependent.into(), provider.into(), interface)
    }

    /// Whether a capsule may become what its URN means.
    ///
    /// # Errors
    /// [`Denied`], with the policy that decided.
    pub fn may_activate(&self, signer: &str, actor: Actor, capsule: Party<'_>) -> Result<(), Denied> {
        let question = Question {
            action: "activate",
            principal: (party::uid("Signer", signer)?, None),
            resource: (capsule.uid()?, capsule.entity()?),
            context: ("actor", word(actor)),
        };
        self.ask(question, "no policy speaks for it")
    }

    fn ask(&self, question: Question, unpermitted: &str) -> Result<(), Denied> {
        let schema = self.0.schema.as_ref();
        let Some(schema) = schema else {
            return Err(Denied::unpermitted("the host's own policies cannot be read"));
        };
        let action = party::uid("Action", question.action)?;
        let (name, value) = question.context;
        let pair = (name.to_string(), RestrictedExpression::new_string(value));
        let context = Context::from_pairs([pair]).map_err(|e| unasked(&e))?;
        let ((principal, principal_entity), (resource, resource_entity)) = (question.principal, question.resource);
        let request = Request::new(principal, action, resource, context, Some(schema)).map_err(|e| unasked(&e))?;
        let entities = principal_entity.into_iter().chain([resource_entity]);
        let entities = Entities::from_entities(entities, Some(schema)).map_err(|e| unasked(&e))?;
        let response = Authorizer::new().is_authorized(&request, &self.0.policies, &entities);
        self.verdict(&response, unpermitted)
    }

    /// Cedar leaves a policy out that it cannot evaluate, and goes by the others. Here such a policy is a no.
    fn verdict(&self, response: &Response, unpermitted: &str) -> Result<(), Denied> {
        let diagnostics = response.diagnostics();
        let denies = response.decision() == Decision::Deny;
        if let Some(id) = diagnostics.reason().min().filter(|_| denies) {
            let reason = self
                .0
                .policies
                .annotation(id, "reason")
                .filter(|reason| !reason.is_empty());
            return Err(Denied::by(id.as_ref(), reason.unwrap_or("it gives no @reason")));
        }
        let failed = diagnostics
            .errors()
            .map(|AuthorizationError::PolicyEvaluationError(e)| e);
        if let Some(error) = failed.min_by(|a, b| a.policy_id().cmp(b.policy_id())) {
            let why = format!("it cannot be evaluated here, and then it is a no: {}", error.inner());
            return Err(Denied::by(error.policy_id().as_ref(), &why));
        }
        if denies {
            return Err(Denied::unpermitted(unpermitted));
        }
        Ok(())
    }
}

/// What is asked of the policies.
struct Question {
    action: &'static str,
    principal: (EntityUid, Option<Entity>),
    resource: (EntityUid, Entity),
    context: (&'static str, String),
}
