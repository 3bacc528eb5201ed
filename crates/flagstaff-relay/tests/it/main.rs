//! The relay by its HTTP face, in front of a fake service.

mod changes;
mod environments;
mod events;
mod start;
mod status;
mod support;
