//! The service from outside: its public rooms, and a demo over HTTP.

mod analytics;
mod avatars;
mod client_side;
mod dashboard;
mod events;
mod expiring_keys;
mod fdv2;
mod flags;
mod front_door;
mod json_patches;
mod ofrep;
mod openapi;
mod polls;
mod projects;
mod relay_auto_config;
mod rest;
mod search;
mod segments;
mod semantic_patches;
mod sign_in;
mod starts;
mod streams;
mod support;
mod tls;
mod tokens;
