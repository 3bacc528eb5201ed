//! Whether rows are what was written.
//!
//! | File | What stands there |
//! |---|---|
//! | `checksum` | what tells a damaged row from a good one |
//! | `tables` | which rows have one, of which columns |
//! | `mend` | every row looked at: put back from its copy, or put aside and named |
//! | `structure` | what SQLite itself finds wrong with its file |
//!
//! Rows that decide who gets what carry a checksum, written with them and compared whenever they are read, and
//! stand in the database a second time, in tables of other pages. At a start all of them are looked at, before
//! anybody is served. A row that is damaged is put back from its copy; one whose copy is damaged, too, is taken
//! out into the table `quarantine` and named, so that nobody is served a wrong flag and everything else goes on.
//! Writing the item anew makes it whole again.

pub(super) mod checksum;
mod mend;
pub(super) mod structure;
mod tables;

pub use mend::Mended;
pub(super) use mend::{copy, damaged, mend, needs_mending};
pub(super) use tables::{ENVIRONMENT, FLAG, FLAG_TARGETING, PROJECT, SEGMENT};
