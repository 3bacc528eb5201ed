//! Databases of flags, by the names that the harness gives them.

use std::time::Duration;

use flagstaff_sdk::{Caching, Consul, PersistentDataStore, Redis};

use crate::parameters::{CacheConfig, PersistentDataStore as Wanted, StoreConfig};
use crate::service::Refusal;

/// The table that the harness fills.
#[cfg(feature = "dynamodb")]
const TABLE: &str = "sdk-contract-tests";

pub(crate) fn store(wanted: &Wanted) -> Result<PersistentDataStore, Refusal> {
    let StoreConfig { kind, prefix, dsn } = &wanted.store;
    let (prefix, dsn) = (prefix.as_deref().unwrap_or_default(), dsn.as_deref().filter(|dsn| !dsn.is_empty()));
    let store = match kind.as_str() {
        "redis" => {
            PersistentDataStore::new(Redis::new(dsn.unwrap_or("redis://localhost:6379")).prefix(prefix))
        }
        "consul" => PersistentDataStore::new(Consul::new(dsn.unwrap_or("localhost:8500")).prefix(prefix)),
        #[cfg(feature = "dynamodb")]
        "dynamodb" => PersistentDataStore::new(
            flagstaff_sdk::DynamoDb::new(TABLE)
                .endpoint(dsn.unwrap_or("http://localhost:8000"))
                .region("us-east-1")
                .credentials("dummy", "dummy")
                .prefix(prefix),
        ),
        other => return Err(Refusal::Bad(format!("there is no store `{other}`"))),
    };
    match &wanted.cache {
        Some(cache) => Ok(store.caching(caching(cache)?)),
        None => Ok(store),
    }
}

fn caching(cache: &CacheConfig) -> Result<Caching, Refusal> {
    match (cache.mode.as_str(), cache.ttl) {
        ("off", _) => Ok(Caching::Off),
        ("ttl", Some(seconds)) => Ok(Caching::For(Duration::from_secs(seconds))),
        ("infinite", _) => Ok(Caching::Forever),
        (mode, ttl) => Err(Refusal::Bad(format!("there is no cache mode `{mode}` with the ttl {ttl:?}"))),
    }
}
