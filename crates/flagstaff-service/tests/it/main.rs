//! The service from outside: its public rooms, and a demo over HTTP.

mod analytics;
mod events;
mod search;
mod support;
