//! The rules for changing projects, environments and flags. Both faces call it; nothing else changes
//! one. A change is checked and written in one transaction; what changes nothing writes nothing.

pub mod setup;
