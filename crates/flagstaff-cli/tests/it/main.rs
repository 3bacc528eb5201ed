//! The executable from outside.

mod commands;
mod crash;
mod process;
