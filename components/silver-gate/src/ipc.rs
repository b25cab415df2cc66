//! Batches as Arrow IPC streams (the columnar format's version 1.0 and later), in and out.
//!
//! A stream may come from anywhere. Arrow's own reader takes the shape of a stream on trust and stops the program where it
//! was wrong, so each message is first checked for what that reader would trip over.

mod frame;
mod read;
mod shape;
mod text;
mod types;
mod write;

pub use read::{BATCHES_MAX, ROWS_MAX, STREAM_BYTES_MAX};
pub(crate) use read::{Batch, Column, Source, read};
pub(crate) use text::Texts;
pub use types::FIELDS_MAX;
pub(crate) use write::{Added, Stream};
