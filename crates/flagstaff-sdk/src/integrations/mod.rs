//! Databases of flags that other SDKs share, each behind a Cargo feature of its name.
//!
//! | Feature | Flags | Big segments |
//! |---|---|---|
//! | `redis` | `Redis` | `Redis` |
//! | `consul` | `Consul` | none |
//! | `dynamodb` | `DynamoDb` | `DynamoDb` |
//!
//! Each store is its own builder and does nothing until it is asked something. All of them may be
//! used on several threads at once, and go on in a forked child with connections of its own.
//!
//! The layouts are those of every SDK of this family: a database that one of them has filled is read
//! by the others.

#[cfg(feature = "consul")]
mod consul;
#[cfg(any(feature = "redis", feature = "consul"))]
mod contention;
#[cfg(feature = "dynamodb")]
mod dynamodb;
#[cfg(any(feature = "consul", feature = "dynamodb"))]
mod http_link;
mod per_process;
#[cfg(feature = "redis")]
mod redis;

#[cfg(feature = "consul")]
pub use self::consul::Consul;
#[cfg(feature = "dynamodb")]
pub use self::dynamodb::DynamoDb;
#[cfg(feature = "redis")]
pub use self::redis::Redis;

use flagstaff_wire::stream::ItemKind;

/// What items of a kind are kept under.
fn collection(kind: ItemKind) -> &'static str {
    match kind {
        ItemKind::Flag => "features",
        ItemKind::Segment => "segments",
    }
}

/// An item, as an error names it.
fn named(kind: ItemKind, key: &str) -> String {
    match kind {
        ItemKind::Flag => format!("flag `{key}`"),
        ItemKind::Segment => format!("segment `{key}`"),
    }
}
