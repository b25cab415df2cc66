//! One MCP connection's server: lists tools, calls them, and tells when they change.

use std::sync::Arc;

use kinetic_engine::Input;
use kinetic_model::CapsuleRef;
use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, Implementation, ListToolsResult, PaginatedRequestParams,
    ServerCapabilities, ServerConfig, SubscriptionFilter,
};
use rmcp::service::{NotificationContext, RequestContext, SubscriptionContext};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::result;
use super::tools::Tools;
use crate::GatewayError;
use crate::calls::Calls;
use crate::problem::Problem;

const INSTRUCTIONS: &str = "Each tool is a function of a sandboxed WebAssembly capsule on this host. A call keeps nothing \
                            for the next one. A failure names a stable code (KIN-...) and what to do about it.";

/// What all connections share.
pub(crate) struct Common {
    pub(crate) calls: Calls,
    pub(crate) tools: Tools,
    /// Calls at once. A client may send requests without waiting for answers, so its connection is no bound.
    places: Semaphore,
    calls_max: usize,
    /// Ends every connection.
    pub(crate) closing: CancellationToken,
}

impl Common {
    pub(crate) fn new(calls: Calls, calls_max: usize) -> Arc<Self> {
        let places = Semaphore::new(calls_max.min(Semaphore::MAX_PERMITS));
        let tools = Tools::new(calls.kernel.clone());
        Arc::new(Self {
            calls,
            tools,
            places,
            calls_max,
            closing: CancellationToken::new(),
        })
    }
}

/// The server of one connection.
pub(crate) struct Handler {
    common: Arc<Common>,
    /// Ends with the connection, and the task that announces changes with it.
    open: CancellationToken,
    _open: DropGuard,
}

impl Handler {
    pub(crate) fn new(common: Arc<Common>) -> Self {
        let open = common.closing.child_token();
        Self {
            common,
            _open: open.clone().drop_guard(),
            open,
        }
    }

    async fn call(&self, request: CallToolRequestParams) -> Result<CallToolResponse, ErrorData> {
        let table = self.common.tools.now();
        let entry = table.find(&request.name).map_err(result::refused)?;
        let answer = match self.common.places.try_acquire() {
            Ok(_place) => {
                let what = CapsuleRef::from(entry.urn.clone());
                let input = Input::Json(request.arguments.unwrap_or_default());
                self.common.calls.call(&what, Some(&entry.function), input).await
            }
            Err(_) => Err(Problem::from(GatewayError::TooManyRequests {
                requests_max: self.common.calls_max,
            })),
        };
        let answer = match answer {
            Ok(done) => result::done(done, entry.tool.output_schema.is_some()),
            Err(problem) => {
                self.common.calls.metrics.failed(problem.fault().code);
                result::failed(&problem)
            }
        };
        Ok(answer.into())
    }
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_tool_list_changed()
            .build();
        let implementation = Implementation::new("kinetic", env!("CARGO_PKG_VERSION")).with_title("Kinetic");
        ServerConfig::new(capabilities)
            .with_server_info(implementation)
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let cursor = request.and_then(|request| request.cursor);
        let (page, next) = self
            .common
            .tools
            .now()
            .page(cursor.as_deref())
            .map_err(result::refused)?;
        let mut listed = ListToolsResult::with_all_items(page);
        listed.next_cursor = next;
        // Capsules come and go at any moment, and who may see them depends on the token.
        Ok(listed.with_ttl_ms(0).with_cache_scope(CacheScope::Private))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        tokio::select! {
            answer = self.call(request) => answer,
            // Nobody reads the answer any more; dropping the call ends the guest.
            () = context.ct.cancelled() => Err(ErrorData::internal_error("cancelled", None)),
        }
    }

    /// Clients of the versions with sessions are told of changes from here on.
    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        let (mut changes, open) = (self.common.tools.changes(), self.open.clone());
        changes.mark_unchanged();
        tokio::spawn(async move {
            let announce = async {
                while changes.changed().await.is_ok() {
                    if context.peer.notify_tool_list_changed().await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                () = announce => {}
                () = open.cancelled() => {}
            }
        });
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.supported_by(&self.get_info().capabilities))
    }

    /// Clients of the versions without sessions ask for changes by a subscription.
    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let mut changes = self.common.tools.changes();
        changes.mark_unchanged();
        loop {
            tokio::select! {
                news = changes.changed() => {
                    if news.is_err() || context.sink().notify_tool_list_changed().await.is_err() {
                        return Ok(());
                    }
                }
                () = context.cancelled() => return Ok(()),
                () = self.common.closing.cancelled() => return Ok(()),
            }
        }
    }
}
