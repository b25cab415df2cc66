//! What can be wrong with a grant of events.

use kinetic_model::coded_errors;

coded_errors! {
    /// Errors of the events' provider.
    pub enum EventsError ("EVT") {
        /// A pattern in the manifest is none.
        "0001" BadPattern { text: String, why: String } => Conformance,
            "\"{text}\" is not a pattern of topics: {why}.",
            "Write a topic's name, such as orders.placed.v1; * stands for one segment, > at the end for one or more.";
        /// The grant allows nothing at all.
        "0002" NoTopics { } => Conformance,
            "the grant of kinetic:events/bus names no topics, so nothing could be published or read.",
            "Add \"publish\": [\"orders.placed.v1\"] or \"subscribe\": [\"orders.>\"] to the line.";
    }
}
