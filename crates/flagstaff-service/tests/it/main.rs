//! The service from outside: its public rooms, and a demo over HTTP.

mod analytics;
mod client_side;
mod dashboard;
mod events;
mod fdv2;
mod flags;
mod json_patches;
mod ofrep;
mod openapi;
mod polls;
mod projects;
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
