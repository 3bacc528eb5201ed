//! Databases as seen without any SDK: their layouts, filled and read by hand.
//!
//! Source of the layouts: the protocol reference's section 5.2.

mod consul;
mod dynamodb;
mod redis;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::options::Options;

/// Flags or segments, by the names that databases have for them.
pub(crate) const FEATURES: &str = "features";
pub(crate) const SEGMENTS: &str = "segments";

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Database {
    Redis,
    Consul,
    DynamoDb,
}

/// Where they listen.
struct Addresses {
    redis: String,
    consul: String,
    dynamodb: String,
}

static ADDRESSES: OnceLock<Addresses> = OnceLock::new();

/// Takes note of where the databases listen; to be called before any test.
pub(crate) fn listen_at(options: &Options) {
    let (redis, consul, dynamodb) = (options.redis.clone(), options.consul.clone(), options.dynamodb.clone());
    // There is one run in a process.
    let _ = ADDRESSES.set(Addresses { redis, consul, dynamodb });
}

impl Database {
    pub(crate) const ALL: [Database; 3] = [Database::Redis, Database::Consul, Database::DynamoDb];

    /// As configurations name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Database::Redis => "redis",
            Database::Consul => "consul",
            Database::DynamoDb => "dynamodb",
        }
    }

    pub(crate) fn capability(self) -> &'static str {
        match self {
            Database::Redis => "persistent-data-store-redis",
            Database::Consul => "persistent-data-store-consul",
            Database::DynamoDb => "persistent-data-store-dynamodb",
        }
    }

    /// What an SDK takes for no prefix.
    pub(crate) fn default_prefix(self) -> &'static str {
        if self == Database::DynamoDb { "" } else { "launchdarkly" }
    }

    /// Where an SDK finds it.
    pub(crate) fn dsn(self) -> Result<&'static str, String> {
        let addresses = ADDRESSES.get().ok_or("it is not known where the databases listen")?;
        Ok(match self {
            Database::Redis => &addresses.redis,
            Database::Consul => &addresses.consul,
            Database::DynamoDb => &addresses.dynamodb,
        })
    }

    /// The `HOST:PORT` of it, and where an SDK finds it behind another one.
    pub(crate) fn behind(self, address: &str) -> Result<(String, String), String> {
        let dsn = self.dsn()?;
        let (scheme, rest) = dsn.split_once("://").unwrap_or(("", dsn));
        let own = rest.trim_end_matches('/').to_owned();
        let there = if scheme.is_empty() { address.to_owned() } else { format!("{scheme}://{address}") };
        Ok((own, there))
    }

    /// A prefix that no other test has.
    pub(crate) fn fresh_prefix(self) -> String {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        format!("conformance-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
    }

    /// Sees to it that there is what every SDK expects to be there.
    pub(crate) async fn prepare(self) -> Result<(), String> {
        match self {
            Database::Redis | Database::Consul => Ok(()),
            Database::DynamoDb => dynamodb::table(self.dsn()?).await,
        }
    }

    /// Removes everything with this prefix.
    pub(crate) async fn clear(self, prefix: &str) -> Result<(), String> {
        match self {
            Database::Redis => redis::clear(self.dsn()?, prefix).await,
            Database::Consul => consul::clear(self.dsn()?, prefix).await,
            Database::DynamoDb => dynamodb::clear(self.dsn()?, prefix).await,
        }
    }

    /// Writes these flags and segments, and the mark that says that all are there.
    pub(crate) async fn fill(self, prefix: &str, data: &Value) -> Result<(), String> {
        for (kind, name) in [(FEATURES, "flags"), (SEGMENTS, "segments")] {
            for (key, item) in data[name].as_object().into_iter().flatten() {
                self.write(prefix, kind, key, item).await?;
            }
        }
        self.mark(prefix).await
    }

    /// Writes one item, whatever was there.
    pub(crate) async fn write(self, prefix: &str, kind: &str, key: &str, item: &Value) -> Result<(), String> {
        let version = item["version"].as_u64().unwrap_or_default();
        self.write_text(prefix, kind, key, version, &item.to_string()).await
    }

    /// As [`Database::write`], with any text.
    pub(crate) async fn write_text(
        self,
        prefix: &str,
        kind: &str,
        key: &str,
        version: u64,
        text: &str,
    ) -> Result<(), String> {
        match self {
            Database::Redis => redis::write(self.dsn()?, prefix, kind, key, text).await,
            Database::Consul => consul::write(self.dsn()?, prefix, kind, key, text).await,
            Database::DynamoDb => dynamodb::write(self.dsn()?, prefix, kind, key, version, text).await,
        }
    }

    /// Sets the mark that says that all is there.
    pub(crate) async fn mark(self, prefix: &str) -> Result<(), String> {
        match self {
            Database::Redis => redis::mark(self.dsn()?, prefix).await,
            Database::Consul => consul::mark(self.dsn()?, prefix).await,
            Database::DynamoDb => dynamodb::mark(self.dsn()?, prefix).await,
        }
    }

    pub(crate) async fn is_marked(self, prefix: &str) -> Result<bool, String> {
        match self {
            Database::Redis => redis::is_marked(self.dsn()?, prefix).await,
            Database::Consul => consul::is_marked(self.dsn()?, prefix).await,
            Database::DynamoDb => dynamodb::is_marked(self.dsn()?, prefix).await,
        }
    }

    /// Every item of a kind, by key, tombstones included.
    pub(crate) async fn all(self, prefix: &str, kind: &str) -> Result<Value, String> {
        let items = match self {
            Database::Redis => redis::all(self.dsn()?, prefix, kind).await?,
            Database::Consul => consul::all(self.dsn()?, prefix, kind).await?,
            Database::DynamoDb => dynamodb::all(self.dsn()?, prefix, kind).await?,
        };
        let mut all = json!({});
        for (key, text) in items {
            all[&key] = serde_json::from_str(&text).map_err(|error| {
                format!("the item `{key}` in {} is no JSON: {error}: {text}", self.name())
            })?;
        }
        Ok(all)
    }
}
