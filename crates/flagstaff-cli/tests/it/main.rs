//! The executable from outside.

mod commands;
mod crash;
mod killed_while_counting;
mod killed_while_migrating;
mod kills;
mod logs;
mod nodes;
mod operations;
mod place;
mod process;
mod relay;
