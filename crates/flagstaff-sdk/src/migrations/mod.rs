//! Moving a system to another, one stage at a time, steered by a flag.
//!
//! The flag's value is a [`Stage`]. It says which of two systems, *old* and *new*, is read and
//! written, and which of them is believed.
//!
//! | Stage | Read from | Written to |
//! |---|---|---|
//! | `off` | old | old |
//! | `dualwrite` | old | old, then new |
//! | `shadow` | old, and new to compare | old, then new |
//! | `live` | new, and old to compare | new, then old |
//! | `rampdown` | new | new, then old |
//! | `complete` | new | new |
//!
//! A [`Migrator`] does all of it: it asks the flag, calls your functions, compares what they gave, and
//! reports how often they ran, failed and differed, and how long they took.
//!
//! ```
//! use flagstaff_sdk::migrations::{Migrator, Origin, Stage};
//! # use flagstaff_sdk::{Client, Config, Context};
//! # let client = Client::start(Config::new("").offline(true))?;
//! # fn from_files(id: &u32) -> Result<String, std::io::Error> { Ok(format!("order {id}")) }
//! # fn from_database(id: &u32) -> Result<String, std::io::Error> { Ok(format!("order {id}")) }
//!
//! let orders = Migrator::builder(&client)
//!     .read(from_files, from_database)
//!     .compare(|old, new| old == new)
//!     .build();
//!
//! let context = Context::from_key("user-1")?;
//! let read = orders.read("orders-to-database", &context, Stage::Off, &17);
//! assert_eq!(read.origin, Origin::Old);
//! assert_eq!(read.result?, "order 17");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Functions may be asynchronous, on any executor: [`MigratorBuilder::read_async`] and
//! [`MigratorBuilder::write_async`] make it so that [`Migrator`]'s `read` and `write` are awaited.
//!
//! A program that wants to call its systems itself asks for the stage by
//! [`Client::migration_variation`](crate::Client::migration_variation), notes what it did in the
//! [`MigrationOpTracker`] that comes with it, and hands that to
//! [`Client::track_migration_op`](crate::Client::track_migration_op).
//!
//! Source: the protocol's *Migrations*.

mod asynchronous;
mod builder;
mod measured;
mod migrator;
mod outcome;
mod stage;
mod tracker;
mod variation;

pub use asynchronous::{AsyncReads, AsyncWrites};
pub use builder::{ExecutionOrder, MigratorBuilder};
pub use flagstaff_wire::migration::{
    ByOrigin, Consistency, MigrationOpEvent, Operation, Origin, StageEvaluation,
};
pub use migrator::{Migrator, Reads, Writes};
pub use outcome::{Failure, OperationResult, WriteResult};
pub use stage::{Stage, UnknownStage};
pub use tracker::{MigrationOpTracker, Untracked};
