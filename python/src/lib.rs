//! The native half of the Python package `ldclient`.
//!
//! `ldclient/*.py` holds the public modules, thin, with the familiar names; what happens at run time
//! happens here.
//!
//! | Module | What stands there |
//! |---|---|
//! | `client` | `variation` and its family over a `flagstaff_sdk::Client` |
//! | `asked` | one evaluation, and what it gives when it cannot be done |
//! | `data_source` | data sources written in Python, and stores that share a client's memory |
//! | `stores` | Redis, Consul and DynamoDB, and stores written in Python |
//! | `seen` | evaluations that a store or event processor written in Python takes part in |
//! | `complaints` | what is said then, once |
//! | `start` | how a client comes to be |
//! | `settings` | `Config`, read into the client's configuration |
//! | `data_system` | `ldclient.datasystem`, and sources in it that are written in Python |
//! | `caller` | what may be handed in as a context |
//! | `context`, `shared_context`, `context_builder` | `Context` and its builders |
//! | `migrations` | the stage of a migration, and reports of what was done at it |
//! | `user` | a user dictionary, read in place |
//! | `flag_alone` | a flag evaluated without a client |
//! | `results` | reasons, and the state of all flags |
//! | `value`, `names` | JSON and Python data; attribute names as Python strings |
//! | `interrupts` | exceptions that must not be swallowed |
//! | `listeners` | Python callables that are told of changes |
//! | `call_outs` | code of the program's that may take any time, called from there |
//! | `per_process` | what a child process starts over with |
//! | `visits` | threads that were not made by Python, and run Python code |
//! | `waits` | letting go of the interpreter while a database is asked |
//! | `notices` | event loops told of what has come |
//! | `logging`, `messages` | Python's `logging`, and the words used there |

mod asked;
mod call_outs;
mod caller;
mod client;
mod complaints;
mod context;
mod context_builder;
mod data_source;
mod data_system;
mod flag_alone;
mod interrupts;
mod listeners;
mod logging;
mod messages;
mod migrations;
mod names;
mod notices;
mod per_process;
mod results;
mod seen;
mod settings;
mod shared_context;
mod start;
mod stores;
mod user;
mod value;
mod visits;
mod waits;

/// The native half of `ldclient`; not for direct use.
///
/// A free-threaded CPython takes its lock back when it imports this: without it nothing here has been tested.
#[pyo3::pymodule(name = "_native", gil_used = true)]
mod native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::call_outs::{CallOut, next_call};
    #[pymodule_export]
    use super::caller::context_of;
    #[pymodule_export]
    use super::client::{Client, close_all, remind_of};
    #[pymodule_export]
    use super::context::Context;
    #[pymodule_export]
    use super::context_builder::{ContextBuilder, ContextMultiBuilder};
    #[pymodule_export]
    use super::data_source::{Updates, data_source_updates, read_flags_file, unusable_items};
    #[pymodule_export]
    use super::flag_alone::evaluate_flag;
    #[pymodule_export]
    use super::listeners::{FlagChanges, Listening, listen, unlisten};
    #[pymodule_export]
    use super::migrations::{migration_variation, report_migration_op};
    #[pymodule_export]
    use super::stores::database::{BigSegmentDatabase, FlagDatabase};
    #[pymodule_export]
    use super::visits::end_visits;

    /// Ends the thread that carries log lines to Python, before the interpreter ends.
    #[pyfunction]
    fn stop_logging(py: Python<'_>) -> PyResult<()> {
        super::logging::stop(py);
        super::interrupts::raise()
    }
}
