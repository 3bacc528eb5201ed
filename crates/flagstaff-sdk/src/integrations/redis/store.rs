//! Flags in Redis: a hash for each kind, whose fields are the items.
//!
//! Source: the protocol's table of layouts.

use std::sync::Arc;

use flagstaff_wire::stream::ItemKind;
use redis::{Connection, RedisResult, cmd, pipe};

use super::Redis;
use crate::data_store::{PersistentStore, StoreError, StoredItem, version_in};
use crate::integrations::contention::{Try, until_settled};
use crate::integrations::{collection, named};

impl PersistentStore for Redis {
    fn name(&self) -> &str {
        "Redis"
    }

    fn init(&self, items: &[StoredItem]) -> Result<(), StoreError> {
        let mut all = pipe();
        all.atomic();
        for kind in [ItemKind::Segment, ItemKind::Flag] {
            all.cmd("DEL").arg(self.key(collection(kind))).ignore();
        }
        for item in items {
            let hash = self.key(collection(item.kind));
            all.cmd("HSET").arg(hash).arg(&*item.key).arg(&*item.json).ignore();
        }
        all.cmd("SET").arg(self.inited()).arg("").ignore();
        self.ask(
            || format!("write {} flags and segments to Redis", items.len()),
            |connection| all.query::<()>(connection),
        )
    }

    fn get(&self, kind: ItemKind, key: &str) -> Result<Option<Arc<str>>, StoreError> {
        let hash = self.key(collection(kind));
        let found: Option<String> = self.ask(
            || format!("read {} from Redis", named(kind, key)),
            |connection| cmd("HGET").arg(&hash).arg(key).query(connection),
        )?;
        Ok(found.map(Arc::from))
    }

    fn all(&self, kind: ItemKind) -> Result<Vec<(String, Arc<str>)>, StoreError> {
        let hash = self.key(collection(kind));
        let found: Vec<(String, String)> = self.ask(
            || format!("read all {} from Redis", collection(kind)),
            |connection| cmd("HGETALL").arg(&hash).query(connection),
        )?;
        Ok(found.into_iter().map(|(key, json)| (key, json.into())).collect())
    }

    fn upsert(&self, item: &StoredItem) -> Result<bool, StoreError> {
        let hash = self.key(collection(item.kind));
        let attempted = || format!("write {} to Redis", named(item.kind, &item.key));
        until_settled(
            || format!("{} ({})", attempted(), self.address()),
            || self.ask(attempted, |connection| try_upsert(connection, &hash, item)),
        )
    }

    fn is_initialized(&self) -> Result<bool, StoreError> {
        let key = self.inited();
        self.ask(
            || "ask Redis whether there are flags".to_owned(),
            |connection| cmd("EXISTS").arg(&key).query(connection),
        )
    }
}

impl Redis {
    fn inited(&self) -> String {
        self.key("$inited")
    }
}

fn try_upsert(connection: &mut Connection, hash: &str, item: &StoredItem) -> RedisResult<Try> {
    cmd("WATCH").arg(hash).query::<()>(connection)?;
    let found: Option<String> = cmd("HGET").arg(hash).arg(&*item.key).query(connection)?;
    // What cannot be read is older than anything: a good item takes its place.
    let stored = found.and_then(|json| version_in(&json).ok());
    if stored.is_some_and(|stored| stored >= item.version) {
        cmd("UNWATCH").query::<()>(connection)?;
        return Ok(Try::Outdated);
    }
    let mut write = pipe();
    write.atomic().cmd("HSET").arg(hash).arg(&*item.key).arg(&*item.json);
    let written: Option<(i64,)> = write.query(connection)?;
    Ok(if written.is_some() { Try::Written } else { Try::Disturbed })
}
