//! The seats of the stream buffer and the silver gate: how the kernel tries components out and has them take over.

use std::sync::OnceLock;

use async_trait::async_trait;
use kinetic_kernel::{Occupant, Seat, Successor};
use kinetic_model::Fault;

use super::{HandingOver, Pipeline, SILVER_GATE, STREAM_BUFFER, keeper, refiner};
use crate::MedallionError;
use crate::subsystem::buffer::Setting;

/// The URN of the stream buffer.
pub const STREAM_BUFFER_URN: &str = "urn:kinetic:actionspace:substrate:stream_buffer:v1";
/// The URN of the silver gate.
pub const SILVER_GATE_URN: &str = "urn:kinetic:actionspace:substrate:silver_gate:v1";

/// What a stream buffer exports.
const BUFFER_EXPORTS: [&str; 2] = ["kinetic:stream/buffer@0.1.0", "kinetic:capsule/lifecycle@0.1.0"];
/// What a silver gate exports.
const GATE_EXPORTS: [&str; 1] = ["kinetic:silver/gate@0.1.0"];

/// The seat of one of the two. It can be kept before there is a pipeline.
#[derive(Debug)]
pub struct SubsystemSeat {
    which: Which,
    pipeline: OnceLock<Pipeline>,
}

#[derive(Debug)]
enum Which {
    /// With its settings.
    Buffer(Vec<Setting>),
    Gate {
        legacy_ids: bool,
    },
}

impl SubsystemSeat {
    /// Of a stream buffer that gets these settings.
    pub const fn stream_buffer(settings: Vec<Setting>) -> Self {
        Self {
            which: Which::Buffer(settings),
            pipeline: OnceLock::new(),
        }
    }

    /// Of a silver gate that is asked for these ids.
    pub const fn silver_gate(legacy_ids: bool) -> Self {
        Self {
            which: Which::Gate { legacy_ids },
            pipeline: OnceLock::new(),
        }
    }

    /// From now on the component works in this pipeline.
    pub fn work_in(&self, pipeline: Pipeline) {
        // A seat is of one pipeline for as long as the host runs.
        let _ = self.pipeline.set(pipeline);
    }

    const fn name(&self) -> &'static str {
        match self.which {
            Which::Buffer(_) => STREAM_BUFFER,
            Which::Gate { .. } => SILVER_GATE,
        }
    }
}

#[async_trait]
impl Seat for SubsystemSeat {
    fn interfaces(&self) -> &'static [&'static str] {
        match self.which {
            Which::Buffer(_) => &BUFFER_EXPORTS,
            Which::Gate { .. } => &GATE_EXPORTS,
        }
    }

    async fn try_out(&self, candidate: &Occupant) -> Result<(), Fault> {
        let tried = match &self.which {
            Which::Buffer(settings) => keeper::try_out(&candidate.capability, settings).await,
            Which::Gate { legacy_ids } => refiner::try_out(candidate, *legacy_ids).await,
        };
        tried.map_err(|why| {
            let subsystem = self.name().into();
            Fault::from(&MedallionError::SwapRefused { subsystem, why })
        })
    }

    async fn hand_over(&self, next: Occupant, discard_state: bool) -> Result<Box<dyn Successor>, Fault> {
        let Some(pipeline) = self.pipeline.get() else {
            if discard_state {
                // Nothing works yet, so nothing is handed over: the next one is who it begins with.
                return Ok(Box::new(Nothing));
            }
            return Err(Fault::from(&MedallionError::NotUp {}));
        };
        let handing_over = pipeline.hand_over(self.name(), next, discard_state).await;
        handing_over
            .map(|handing_over| Box::new(handing_over) as Box<dyn Successor>)
            .map_err(|error| Fault::from(&error))
    }
}

impl Successor for HandingOver {
    fn state_bytes(&self) -> Option<u64> {
        HandingOver::state_bytes(self)
    }

    fn begin(self: Box<Self>) {
        HandingOver::begin(*self);
    }
}

/// A successor where nobody works yet.
struct Nothing;

impl Successor for Nothing {
    fn state_bytes(&self) -> Option<u64> {
        None
    }

    fn begin(self: Box<Self>) {}
}
