//! Host calls on the tape as JSON: the form for providers whose questions and answers are values rather than streams.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{CallState, Turn};

/// Bytes that are base64 in JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapedBytes(pub Vec<u8>);

impl Serialize for TapedBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&base64::display::Base64Display::new(&self.0, &BASE64))
    }
}

impl<'de> Deserialize<'de> for TapedBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64.decode(text).map(Self).map_err(D::Error::custom)
    }
}

impl CallState {
    /// What a recording answers to a host call; none when it is to be done, and its answer then given to
    /// [`CallState::taped`]. `request` is all that the guest asked.
    ///
    /// # Errors
    /// As [`crate::Tape::begin`]; an answer that is not of the type.
    pub fn replayed<T: DeserializeOwned>(
        &mut self,
        interface: &str,
        function: &str,
        request: &impl Serialize,
    ) -> wasmtime::Result<Option<T>> {
        let tape = self.tape().clone();
        if !tape.is_on() {
            return Ok(None);
        }
        let request = serde_json::to_vec(request)?;
        match tape.begin(interface, function, &request)? {
            Turn::Answer(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Turn::Do => Ok(None),
        }
    }

    /// Records what was answered to the host call begun last; does nothing where the tape is off.
    ///
    /// # Errors
    /// `TapeTooLong`.
    pub fn taped(&mut self, answer: &impl Serialize) -> wasmtime::Result<()> {
        let tape = self.tape().clone();
        if tape.is_on() {
            tape.record(serde_json::to_vec(answer)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_on_a_tape_are_base64_and_come_back_the_same() {
        let bytes = TapedBytes(vec![0, 255, 128]);
        let json = serde_json::to_string(&bytes).unwrap();
        assert_eq!(json, "\"AP+A\"");
        assert_eq!(serde_json::from_str::<TapedBytes>(&json).unwrap(), bytes);
        assert!(serde_json::from_str::<TapedBytes>("\"?\"").is_err());
    }
}
