//! The programs in `docs/` compile and run: they are tested with those of this crate.

/// What begins at `docs/testing.md`.
#[doc = include_str!("../../../docs/testing.md")]
struct Testing;

/// What begins at `docs/offline.md`.
#[doc = include_str!("../../../docs/offline.md")]
struct Offline;

/// What begins at `docs/data-stores.md`.
#[cfg(feature = "redis")]
#[doc = include_str!("../../../docs/data-stores.md")]
struct DataStores;
