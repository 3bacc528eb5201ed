//! The executable from outside.

mod commands;
mod crash;
mod kills;
mod killed_while_counting;
mod place;
mod process;
