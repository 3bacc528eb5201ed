//! The executable from outside.

mod clock;
mod commands;
mod crash;
mod damaged_file;
mod evaluating;
mod failing_disk;
mod flag_command;
mod full_disk;
mod killed_while_counting;
mod killed_while_migrating;
mod kills;
mod large;
mod logs;
mod moving;
mod nodes;
mod operations;
mod place;
mod process;
mod published_cases;
mod relay;
mod starting;
