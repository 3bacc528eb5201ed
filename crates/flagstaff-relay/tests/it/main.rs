//! The relay by its HTTP face, in front of a fake service.

mod archive;
mod auto_config;
mod changes;
mod environments;
mod events;
mod goals;
mod hostile;
mod published_cases;
mod start;
mod status;
mod support;
mod upstream;
