//! The subsystems as the host calls them: instances that stay, with the types of their WIT packages.

pub mod buffer;
pub mod silver;
