//! Flags in Consul: a key for each item.
//!
//! Source: the protocol's table of layouts.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use flagstaff_wire::stream::ItemKind;

use super::Consul;
use super::transaction::{Operation, Pair, Transacted};
use crate::data_store::{PersistentStore, StoreError, StoredItem, version_in};
use crate::integrations::contention::{Try, until_settled};
use crate::integrations::{collection, named};
use crate::log::LogLevel;

impl PersistentStore for Consul {
    fn name(&self) -> &str {
        "Consul"
    }

    fn items_left_out(&self) -> u64 {
        Self::items_left_out(self)
    }

    fn init(&self, items: &[StoredItem]) -> Result<(), StoreError> {
        let attempted = format!("write {} flags and segments to Consul", items.len());
        let mut gone = HashSet::new();
        for kind in [ItemKind::Segment, ItemKind::Flag] {
            gone.extend(self.tree(&attempted, kind)?.into_iter().map(|pair| pair.key));
        }
        let written = items.iter().map(|item| {
            let key = self.item_key(item.kind, &item.key);
            gone.remove(&key);
            Operation::set(key, &item.json)
        });
        for key in self.write_all(&attempted, written)? {
            self.leave_out(&key);
        }
        self.write_all(&attempted, gone.into_iter().map(Operation::delete))?;
        self.write_all(&attempted, [Operation::set(self.inited(), "")])?;
        Ok(())
    }

    fn get(&self, kind: ItemKind, key: &str) -> Result<Option<Arc<str>>, StoreError> {
        let attempted = format!("read {} from Consul", named(kind, key));
        let found = self.pair(&attempted, self.item_key(kind, key))?;
        found.map(|pair| pair.text().map(Arc::from)).transpose()
    }

    fn all(&self, kind: ItemKind) -> Result<Vec<(String, Arc<str>)>, StoreError> {
        let found = self.tree(&format!("read all {} from Consul", collection(kind)), kind)?;
        let prefix = self.item_key(kind, "");
        let items = found.iter().filter_map(|pair| Some((pair.key.strip_prefix(&prefix)?, pair)));
        items.map(|(key, pair)| Ok((key.to_owned(), pair.text()?.into()))).collect()
    }

    fn upsert(&self, item: &StoredItem) -> Result<bool, StoreError> {
        let attempted = format!("write {} to Consul", named(item.kind, &item.key));
        until_settled(
            || format!("{attempted} ({})", self.shown_address()),
            || self.try_upsert(&attempted, item),
        )
    }

    fn is_initialized(&self) -> Result<bool, StoreError> {
        Ok(self.pair("ask Consul whether there are flags", self.inited())?.is_some())
    }
}

impl Consul {
    fn item_key(&self, kind: ItemKind, key: &str) -> String {
        self.key(&format!("{}/{key}", collection(kind)))
    }

    fn inited(&self) -> String {
        self.key("$inited")
    }

    fn tree(&self, attempted: &str, kind: ItemKind) -> Result<Vec<Pair>, StoreError> {
        match self.transact(attempted, &[Operation::get_tree(self.item_key(kind, ""))])? {
            Transacted::Done(pairs) => Ok(pairs),
            Transacted::RolledBack(reason) => Err(self.failed(attempted, reason)),
            Transacted::TooLarge => Ok(Vec::new()),
        }
    }

    fn pair(&self, attempted: &str, key: String) -> Result<Option<Pair>, StoreError> {
        match self.transact(attempted, &[Operation::get(key)])? {
            Transacted::Done(pairs) => Ok(pairs.into_iter().next()),
            // That is how Consul says that there is none.
            Transacted::RolledBack(reason) if reason.ends_with("doesn't exist") => Ok(None),
            Transacted::RolledBack(reason) => Err(self.failed(attempted, reason)),
            Transacted::TooLarge => Ok(None),
        }
    }

    fn try_upsert(&self, attempted: &str, item: &StoredItem) -> Result<Try, StoreError> {
        let key = self.item_key(item.kind, &item.key);
        let found = self.pair(attempted, key.clone())?;
        // What cannot be read is older than anything: a good item takes its place.
        let stored = found.as_ref().and_then(|pair| version_in(&pair.text().ok()?).ok());
        if stored.is_some_and(|stored| stored >= item.version) {
            return Ok(Try::Outdated);
        }
        let index = found.map_or(0, |pair| pair.modify_index);
        match self.write(attempted, Operation::compare_and_set(key, &item.json, index))? {
            Transacted::Done(_) => Ok(Try::Written),
            Transacted::RolledBack(reason) if is_conflict(&reason) => Ok(Try::Disturbed),
            Transacted::RolledBack(reason) => Err(self.failed(attempted, reason)),
            Transacted::TooLarge => {
                self.leave_out(&self.item_key(item.kind, &item.key));
                Ok(Try::Outdated)
            }
        }
    }

    /// The rest is written all the same.
    fn leave_out(&self, key: &str) {
        self.shared.left_out.fetch_add(1, Ordering::Relaxed);
        let line = format_args!("`{key}` was not written to Consul: it has more than 512 KB");
        self.log.write(LogLevel::Error, line);
    }
}

/// In a transaction, and by the path.
fn is_conflict(reason: &str) -> bool {
    reason.ends_with("index is stale") || reason == "the key has changed"
}
