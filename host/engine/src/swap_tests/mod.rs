//! What a swap needs of the engine, against components that do it well and badly.

mod fencing;
mod guest;
mod handing_over;
mod ready;
mod restarting;
