//! What the log keeps of a call so that it can be made again: function, input, context and the tape of its host calls.

use bytes::Bytes;
use kinetic_engine::{CallContext, Exchange, Input, decode_tape, encode_tape};
use kinetic_ledger::LedgerError;
use kinetic_ledger::wire::{Wire, put_bytes, put_option, put_u64};
use kinetic_model::Fault;

const VERSION: u8 = 1;

/// A recorded call.
#[derive(Clone, Debug)]
pub(crate) struct CallRecord {
    pub(crate) function: String,
    pub(crate) input: Input,
    pub(crate) unix_ns: u64,
    pub(crate) seed: [u8; 32],
    /// Nothing when the capsule's tier does not promise to repeat itself.
    pub(crate) tape: Option<Vec<Exchange>>,
}

impl CallRecord {
    /// The context in which the call answers what it answered.
    pub(crate) fn context(&self) -> CallContext {
        CallContext {
            unix_ns: self.unix_ns,
            seed: self.seed,
            replay: self.tape.clone(),
            ..CallContext::default()
        }
    }

    /// Reads what [`Beginning::finish`] wrote.
    ///
    /// # Errors
    /// `Malformed`, or a tape that cannot be read.
    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, Fault> {
        let broken = |e: LedgerError| Fault::from(&e);
        let mut wire = Wire::new(bytes);
        let version = wire.u8().map_err(broken)?;
        if version != VERSION {
            let why = format!("a call is recorded in version {version}, this host reads {VERSION}");
            return Err(broken(LedgerError::Malformed { why }));
        }
        let function = wire.text().map_err(broken)?.to_string();
        let arguments = wire.bytes().map_err(broken)?;
        let fed = wire.option().map_err(broken)?.map(|fed| bytes.slice_ref(fed));
        let unix_ns = wire.u64().map_err(broken)?;
        let seed = wire.take(32).map_err(broken)?.try_into().unwrap_or_default();
        let tape = wire.option().map_err(broken)?.map(decode_tape).transpose();
        let arguments =
            serde_json::from_slice(arguments).map_err(|e| broken(LedgerError::Malformed { why: e.to_string() }))?;
        Ok(Self {
            function,
            input: match fed {
                None => Input::Json(arguments),
                Some(bytes) => Input::Bytes { bytes, rest: arguments },
            },
            unix_ns,
            seed,
            tape: tape.map_err(|e| Fault::from(&e))?,
        })
    }
}

/// The part of a recorded call that is known before it runs, written already: the call consumes its input.
pub(crate) struct Beginning(Vec<u8>);

impl Beginning {
    /// `arguments` is the input's JSON, without the bytes it was fed.
    pub(crate) fn of(function: &str, input: &Input, arguments: &[u8], context: &CallContext) -> Self {
        let fed = match input {
            Input::Json(_) => None,
            Input::Bytes { bytes, .. } => Some(bytes.as_ref()),
        };
        let room = 128 + function.len() + arguments.len() + fed.map_or(0, <[u8]>::len);
        let mut out = Vec::with_capacity(room);
        out.push(VERSION);
        put_bytes(&mut out, function.as_bytes());
        put_bytes(&mut out, arguments);
        put_option(&mut out, fed);
        put_u64(&mut out, context.unix_ns);
        out.extend_from_slice(&context.seed);
        Self(out)
    }

    /// Adds what the call left on its tape.
    pub(crate) fn finish(mut self, tape: Option<&[Exchange]>) -> Bytes {
        let tape = tape.map(encode_tape);
        put_option(&mut self.0, tape.as_deref());
        self.0.into()
    }
}
