//! Events: any JSON is a CloudEvent that reads back the same or is refused; any bytes of a log are an envelope or refused.
#![no_main]

use bytes::Bytes;
use kinetic_ledger::bus::{Envelope, NewEvent, TopicConfig};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(event) = NewEvent::from_json("fuzz.events.v1", bytes) {
        let envelope = event.envelope.as_bytes();
        assert_eq!(Envelope::decode(envelope).unwrap().as_bytes(), envelope);
    }
    let _ = Envelope::decode(&Bytes::copy_from_slice(bytes));
    let _ = serde_json::from_slice::<TopicConfig>(bytes);
});
