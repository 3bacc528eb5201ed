//! The executable from outside.

mod commands;
mod crash;
mod killed_while_counting;
mod killed_while_migrating;
mod kills;
mod place;
mod process;
