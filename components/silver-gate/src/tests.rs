//! The gate as its callers see it: streams in, streams out, read and written by Arrow's own reader and writer.

mod hostile;
mod ids;
mod kit;
mod rows;
mod speed;
