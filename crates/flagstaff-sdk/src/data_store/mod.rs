//! Where flags rest: in memory, and in a database if the program has one.
//!
//! | File | What it is about |
//! |---|---|
//! | `persistent` | what a database must offer |
//! | `options` | how it is used |
//! | `backing` | the database behind the data set in memory |
//! | `read`, `freshness` | reading what an evaluation needs, if it was not read lately |
//! | `keeper` | writing what was received, and filling the database again after an outage |
//! | `texts` | items as they came |

mod backing;
mod freshness;
mod keeper;
mod options;
mod persistent;
mod read;
mod status;
mod texts;

pub use options::{Caching, PersistentDataStore};
pub use persistent::{PersistentStore, StoreError, StoredItem, version_in};
pub use status::DataStoreStatus;

pub(crate) use backing::Backing;
pub(crate) use read::Unreadable;
pub(crate) use texts::{Texts, by_key};
