//! The databases that environments are written to, for programs in daemon mode. The SDK's keeper writes them,
//! and fills them again after an outage or a wipe.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use flagstaff_eval::{DataSet, Entry};
use flagstaff_sdk::{
    BigSegmentCopy, Caching, Consul, PersistentDataStore, PersistentStore, Redis, StoreError, StoredItem,
    version_in,
};
use flagstaff_wire::full_data::read_json;
use flagstaff_wire::stream::ItemKind;

use crate::config::Environment;

/// A database that environments are written to.
#[derive(Clone)]
#[non_exhaustive]
pub enum Database {
    /// Redis, or whoever speaks its protocol.
    Redis {
        /// `redis://…` or `rediss://…`.
        url: String,
        /// Signs in as this user, whatever the URL says.
        user: Option<String>,
        /// Signs in with this password, whatever the URL says.
        password: Option<String>,
    },
    /// Consul's key-value store.
    Consul {
        /// Its address.
        address: String,
        /// What it lets us in by.
        token: Option<String>,
    },
    /// Amazon's DynamoDB.
    #[cfg(feature = "dynamodb")]
    DynamoDb {
        /// The table of environments that have none of their own.
        table: Option<String>,
        /// Another address than Amazon's.
        endpoint: Option<String>,
    },
}

/// How a database is said in `/status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Which kind it is, in one word.
    pub database: &'static str,
    /// Where it is, without secrets.
    pub server: Option<String>,
    /// What the environment's keys begin with.
    pub prefix: String,
    /// Its table.
    pub table: Option<String>,
}

impl Database {
    /// The place of an environment, or of a part of it, in there.
    ///
    /// # Errors
    /// If it has no table, where it needs one.
    pub fn store(
        &self,
        environment: &Environment,
        filter: Option<&str>,
    ) -> Result<Arc<dyn PersistentStore>, NoTable> {
        let prefix = prefix(environment, filter);
        Ok(match self {
            Self::Redis { url, user, password } => {
                Arc::new(redis(url, user.as_ref(), password.as_ref(), prefix))
            }
            Self::Consul { address, token } => {
                let mut consul = Consul::new(address).prefix(prefix);
                if let Some(token) = token {
                    consul = consul.token(token);
                }
                Arc::new(consul)
            }
            #[cfg(feature = "dynamodb")]
            Self::DynamoDb { table, endpoint } => {
                Arc::new(dynamo(environment, table.as_ref(), endpoint.as_ref(), prefix)?)
            }
        })
    }

    /// The same place, for big segments; none in Consul, which cannot hold them.
    ///
    /// # Errors
    /// If it has no table, where it needs one.
    pub fn big_segments(
        &self,
        environment: &Environment,
        filter: Option<&str>,
    ) -> Result<Option<Arc<dyn BigSegmentCopy>>, NoTable> {
        let prefix = prefix(environment, filter);
        Ok(match self {
            Self::Redis { url, user, password } => {
                Some(Arc::new(redis(url, user.as_ref(), password.as_ref(), prefix)))
            }
            Self::Consul { .. } => None,
            #[cfg(feature = "dynamodb")]
            Self::DynamoDb { table, endpoint } => {
                Some(Arc::new(dynamo(environment, table.as_ref(), endpoint.as_ref(), prefix)?))
            }
        })
    }

    /// Whether each environment needs a table of its own.
    pub fn needs_table(&self) -> bool {
        match self {
            Self::Redis { .. } | Self::Consul { .. } => false,
            #[cfg(feature = "dynamodb")]
            Self::DynamoDb { table, .. } => table.is_none(),
        }
    }

    /// How it is said in `/status`.
    pub fn describe(&self, environment: &Environment, filter: Option<&str>) -> Described {
        let prefix = prefix(environment, filter);
        match self {
            Self::Redis { url, .. } => {
                Described { database: "redis", server: Some(without_secrets(url)), prefix, table: None }
            }
            Self::Consul { address, .. } => {
                Described { database: "consul", server: Some(without_secrets(address)), prefix, table: None }
            }
            #[cfg(feature = "dynamodb")]
            Self::DynamoDb { table, endpoint } => Described {
                database: "dynamodb",
                server: endpoint.as_deref().map(without_secrets),
                prefix,
                table: environment.table.clone().or_else(|| table.clone()),
            },
        }
    }
}

/// How a client writes to it. Nobody evaluates in there: memory counts.
pub fn written(store: Arc<dyn PersistentStore>) -> PersistentDataStore {
    PersistentDataStore::shared(store).caching(Caching::Forever).timeout(Duration::from_secs(5))
}

/// All that a database holds of an environment, as it was written; none if it was never filled.
///
/// # Errors
/// If it does not answer, or not with flags and segments.
pub fn last_known(store: &dyn PersistentStore) -> Result<Option<(DataSet, Vec<StoredItem>)>, StoreError> {
    if !store.is_initialized()? {
        return Ok(None);
    }
    let (mut items, mut flags, mut segments) = (Vec::new(), Vec::new(), Vec::new());
    for kind in [ItemKind::Segment, ItemKind::Flag] {
        for (key, json) in store.all(kind)? {
            let unreadable = |error| StoreError::new(format!("`{key}` cannot be read: {error}"));
            match kind {
                ItemKind::Flag => {
                    flags.push(Entry::flag(&key, read_json(json.as_bytes()).map_err(unreadable)?))
                }
                ItemKind::Segment => {
                    segments.push(Entry::segment(&key, read_json(json.as_bytes()).map_err(unreadable)?));
                }
            }
            let version = version_in(&json)?;
            items.push(StoredItem { kind, key: key.as_str().into(), version, json });
        }
    }
    Ok(Some((DataSet::new(flags, segments), items)))
}

fn redis(url: &str, user: Option<&String>, password: Option<&String>, prefix: String) -> Redis {
    let mut redis = Redis::new(url).prefix(prefix);
    if let Some(user) = user {
        redis = redis.user(user);
    }
    if let Some(password) = password {
        redis = redis.password(password);
    }
    redis
}

#[cfg(feature = "dynamodb")]
fn dynamo(
    environment: &Environment,
    table: Option<&String>,
    endpoint: Option<&String>,
    prefix: String,
) -> Result<flagstaff_sdk::DynamoDb, NoTable> {
    let table = environment.table.as_ref().or(table);
    let table = table.ok_or_else(|| NoTable { name: environment.name.clone() })?;
    let mut dynamo = flagstaff_sdk::DynamoDb::new(table).prefix(prefix);
    if let Some(endpoint) = endpoint {
        dynamo = dynamo.endpoint(endpoint);
    }
    Ok(dynamo)
}

/// An environment has no table.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("environment `{name}` has no table in DynamoDB; name one for it or for all")]
pub struct NoTable {
    /// The environment.
    name: String,
}

/// Without secrets.
impl fmt::Debug for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let described = self.describe(&Environment::default(), None);
        formatter.debug_tuple("Database").field(&described.database).field(&described.server).finish()
    }
}

/// What an environment's keys begin with; the database's usual, if it is empty. A part of an environment has
/// a place of its own.
fn prefix(environment: &Environment, filter: Option<&str>) -> String {
    let own = environment.prefix.clone().unwrap_or_default();
    match filter {
        None => own,
        Some(filter) if own.is_empty() => format!("launchdarkly.{filter}"),
        Some(filter) => format!("{own}.{filter}"),
    }
}

/// An address without what stands before its `@`, and after its `?`. Where it cannot be told where a secret
/// ends, nothing of it is said.
fn without_secrets(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or((None, url), |(scheme, rest)| (Some(scheme), rest));
    let (place, more) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
    let place = match place.rsplit_once('@') {
        Some((_, place)) => place,
        None if more.contains('@') => "…",
        None => place,
    };
    scheme.map_or_else(|| place.to_owned(), |scheme| format!("{scheme}://{place}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_said_without_its_secrets() {
        for (url, said) in [
            ("redis://user:p@ss@host:6379/1", "redis://host:6379/1"),
            ("redis://host", "redis://host"),
            ("user:secret@host:8500", "host:8500"),
            ("redis://host?password=secret", "redis://host"),
            ("redis://:sec?ret@host", "redis://…"),
            ("redis://:sec#ret@host", "redis://…"),
        ] {
            assert_eq!(without_secrets(url), said, "{url}");
        }
        let redis = Database::Redis {
            url: "redis://:secret@h".to_owned(),
            user: None,
            password: Some("p2".to_owned()),
        };
        let said = format!("{redis:?}");
        assert!(!said.contains("secret") && !said.contains("p2") && said.contains("redis://h"), "{said}");
    }

    #[test]
    fn a_part_of_an_environment_has_a_place_of_its_own() {
        let mut environment = Environment::new("one", "sdk-1");
        assert_eq!(prefix(&environment, None), "");
        assert_eq!(prefix(&environment, Some("web")), "launchdarkly.web");
        environment.prefix = Some("shop".to_owned());
        assert_eq!(prefix(&environment, None), "shop");
        assert_eq!(prefix(&environment, Some("web")), "shop.web");
    }

    /// Holds these items, once it is filled.
    struct Filled(Vec<(ItemKind, &'static str, &'static str)>);

    impl PersistentStore for Filled {
        fn name(&self) -> &str {
            "filled"
        }

        fn init(&self, _: &[StoredItem]) -> Result<(), StoreError> {
            Ok(())
        }

        fn get(&self, _: ItemKind, _: &str) -> Result<Option<Arc<str>>, StoreError> {
            Ok(None)
        }

        fn all(&self, kind: ItemKind) -> Result<Vec<(String, Arc<str>)>, StoreError> {
            let of_kind = self.0.iter().filter(|(of, _, _)| *of == kind);
            Ok(of_kind.map(|(_, key, json)| ((*key).to_owned(), (*json).into())).collect())
        }

        fn upsert(&self, _: &StoredItem) -> Result<bool, StoreError> {
            Ok(false)
        }

        fn is_initialized(&self) -> Result<bool, StoreError> {
            Ok(!self.0.is_empty())
        }
    }

    #[test]
    fn what_a_database_holds_is_read_as_it_was_written() {
        let flag = r#"{"key":"f","version":7,"new":[1.0]}"#;
        let gone = r#"{"key":"$deleted","version":9,"deleted":true}"#;
        let filled = Filled(vec![
            (ItemKind::Flag, "f", flag),
            (ItemKind::Flag, "g", gone),
            (ItemKind::Segment, "s", r#"{"key":"s","version":2}"#),
        ]);
        let (data, items) = last_known(&filled).unwrap().unwrap();
        assert_eq!(items.iter().map(|item| item.version).collect::<Vec<_>>(), [2, 7, 9]);
        assert_eq!(&*items[1].json, flag);
        assert!(data.flag("f").is_some() && data.flag("g").is_none() && data.segment("s").is_some());
        assert_eq!(data.flag_version("g"), Some(9));
        assert!(last_known(&Filled(Vec::new())).unwrap().is_none());
        assert!(last_known(&Filled(vec![(ItemKind::Flag, "f", "{")])).is_err());
    }
}
