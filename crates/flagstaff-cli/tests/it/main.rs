//! The executable from outside.

mod commands;
mod crash;
mod killed_while_counting;
mod process;
