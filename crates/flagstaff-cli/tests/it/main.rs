//! The executable, as a process.

mod killed_while_counting;
