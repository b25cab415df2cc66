//! The one way a call goes from a door to the kernel: counted while it runs, measured when it has run.

use std::sync::Arc;

use kinetic_engine::{Answer, Input, Logs, Outcome, Output};
use kinetic_kernel::{Capsule, Execution, Kernel};
use kinetic_model::{CapsuleRef, Fault, Usage};

use crate::metrics::Metrics;
use crate::problem::{Problem, Ran};

/// The kernel, and the counters beside it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Calls {
    pub(crate) kernel: Kernel,
    pub(crate) metrics: Arc<Metrics>,
}

/// A call that the guest brought to its end, well or with its own error.
pub(crate) struct Done {
    pub(crate) capsule: Arc<Capsule>,
    pub(crate) function: String,
    pub(crate) success: bool,
    pub(crate) output: Output,
    pub(crate) usage: Usage,
    pub(crate) logs: Logs,
    pub(crate) receipt_id: Option<String>,
}

impl Calls {
    pub(crate) fn new(kernel: Kernel) -> Self {
        Self {
            kernel,
            metrics: Arc::new(Metrics::new()),
        }
    }

    /// Runs one function. What stopped the call is a problem that says what it used until then.
    pub(crate) async fn call(&self, what: &CapsuleRef, function: Option<&str>, input: Input) -> Result<Done, Problem> {
        let _in_flight = self.metrics.call_in_flight();
        let Execution {
            capsule,
            function,
            outcome,
            receipt_id,
        } = self.kernel.execute(what, function, input).await?;
        self.metrics.called(capsule.manifest.id.as_str(), &function, &outcome);
        let Outcome {
            result, usage, logs, ..
        } = outcome;
        match result {
            Ok(Answer::Ok(output)) => Ok(Done {
                capsule,
                function,
                success: true,
                output,
                usage,
                logs,
                receipt_id,
            }),
            Ok(Answer::Err(output)) => Ok(Done {
                capsule,
                function,
                success: false,
                output,
                usage,
                logs,
                receipt_id,
            }),
            Err(error) => Err(Problem::of_call(
                Fault::from(&error),
                Ran {
                    capsule,
                    function,
                    usage,
                    logs,
                    receipt_id,
                },
            )),
        }
    }
}
