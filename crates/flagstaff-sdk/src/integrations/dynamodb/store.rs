//! Flags in DynamoDB: an item of the table for each.
//!
//! Source: the protocol's table of layouts.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use flagstaff_wire::stream::ItemKind;

use super::DynamoDb;
use super::batch::{Attributes, delete, put, write_all};
use super::connection::describe;
use crate::data_store::{PersistentStore, StoreError, StoredItem};
use crate::integrations::{collection, named};
use crate::log::LogLevel;

/// As many bytes as an item may have, names and values together.
const MOST_BYTES: usize = 400 * 1024;
/// What DynamoDB adds to them, at most.
const OVERHEAD: usize = 100;
/// As many bytes as a sort key may have.
const MOST_KEY: usize = 1024;
/// The attributes of an item. Some are words of the query language, hence are never written there.
const NAMES: [&str; 4] = ["namespace", "key", "version", "item"];

impl PersistentStore for DynamoDb {
    fn name(&self) -> &str {
        "DynamoDB"
    }

    fn items_left_out(&self) -> u64 {
        Self::items_left_out(self)
    }

    fn init(&self, items: &[StoredItem]) -> Result<(), StoreError> {
        let attempted = format!("write {} flags and segments to DynamoDB", items.len());
        let items: Vec<_> = items.iter().filter(|item| self.takes(item)).cloned().collect();
        let store = self.clone();
        self.ask(&attempted, move |client| async move { store.replace(&client, &items).await })
    }

    fn get(&self, kind: ItemKind, key: &str) -> Result<Option<Arc<str>>, StoreError> {
        let attempted = format!("read {} from DynamoDB", named(kind, key));
        if !is_key(key) {
            // None can have been written, and to ask is an error.
            return Ok(None);
        }
        let found = self.item(&attempted, address(&self.namespace(collection(kind)), key))?;
        let json = found.map(|found| text(&found, "item")).transpose();
        json.map(|json| json.map(Arc::from))
            .map_err(|error| StoreError::because(format_args!("could not {attempted}"), error))
    }

    fn all(&self, kind: ItemKind) -> Result<Vec<(String, Arc<str>)>, StoreError> {
        let attempted = format!("read all {} from DynamoDB", collection(kind));
        let store = self.clone();
        self.ask(&attempted, move |client| async move {
            let found = store.query(&client, &store.namespace(collection(kind)), &["key", "item"]).await?;
            found.iter().map(|found| Ok((text(found, "key")?, text(found, "item")?.into()))).collect()
        })
    }

    fn upsert(&self, item: &StoredItem) -> Result<bool, StoreError> {
        let attempted = format!("write {} to DynamoDB", named(item.kind, &item.key));
        if !self.takes(item) {
            return Ok(false);
        }
        let attributes = self.attributes(item);
        let (table, version) = (self.table.clone(), item.version);
        self.ask(&attempted, move |client| async move {
            let written = client
                .put_item()
                .table_name(table)
                .set_item(Some(attributes))
                .condition_expression(
                    "attribute_not_exists(#namespace) or attribute_not_exists(#key) or :version > #version",
                )
                .expression_attribute_names("#namespace", "namespace")
                .expression_attribute_names("#key", "key")
                .expression_attribute_names("#version", "version")
                .expression_attribute_values(":version", number(version))
                .send()
                .await;
            match written {
                Ok(_) => Ok(true),
                Err(error) => match error.as_service_error() {
                    Some(refused) if refused.is_conditional_check_failed_exception() => Ok(false),
                    _ => Err(describe(error)),
                },
            }
        })
    }

    fn is_initialized(&self) -> Result<bool, StoreError> {
        let mark = address(&self.inited(), &self.inited());
        Ok(self.item("ask DynamoDB whether there are flags", mark)?.is_some())
    }
}

impl DynamoDb {
    fn inited(&self) -> String {
        self.namespace("$inited")
    }

    /// Writes all items, then deletes those that are no more, then leaves the mark.
    async fn replace(&self, client: &Client, items: &[StoredItem]) -> Result<(), String> {
        let mut gone = HashSet::new();
        for kind in [ItemKind::Segment, ItemKind::Flag] {
            let namespace = self.namespace(collection(kind));
            for found in self.query(client, &namespace, &["key"]).await? {
                gone.insert((namespace.clone(), text(&found, "key")?));
            }
        }
        let mut writes = Vec::new();
        for item in items {
            gone.remove(&(self.namespace(collection(item.kind)), item.key.to_string()));
            writes.push(put(self.attributes(item)).map_err(|error| error.to_string())?);
        }
        for (namespace, key) in gone {
            writes.push(delete(address(&namespace, &key)).map_err(|error| error.to_string())?);
        }
        write_all(client, &self.table, &writes).await?;
        let mark = address(&self.inited(), &self.inited());
        client.put_item().table_name(&self.table).set_item(Some(mark)).send().await.map_err(describe)?;
        Ok(())
    }

    /// One item of the table, as it is now.
    pub(super) fn item(
        &self,
        attempted: &str,
        address: Attributes,
    ) -> Result<Option<Attributes>, StoreError> {
        let table = self.table.clone();
        self.ask(attempted, move |client| async move {
            let asked = client.get_item().table_name(table).consistent_read(true).set_key(Some(address));
            Ok(asked.send().await.map_err(describe)?.item)
        })
    }

    /// These attributes of all items of a namespace, page after page.
    async fn query(
        &self,
        client: &Client,
        namespace: &str,
        attributes: &[&str],
    ) -> Result<Vec<Attributes>, String> {
        let mut found = Vec::new();
        let mut last = None;
        loop {
            let mut asked = client
                .query()
                .table_name(&self.table)
                .consistent_read(true)
                .key_condition_expression("#namespace = :namespace")
                .expression_attribute_names("#namespace", "namespace")
                .expression_attribute_values(":namespace", AttributeValue::S(namespace.to_owned()))
                .set_exclusive_start_key(last);
            let mut projection = Vec::new();
            for name in attributes {
                asked = asked.expression_attribute_names(format!("#{name}"), *name);
                projection.push(format!("#{name}"));
            }
            let answer = asked.projection_expression(projection.join(", ")).send().await.map_err(describe)?;
            found.extend(answer.items.unwrap_or_default());
            last = answer.last_evaluated_key.filter(|key| !key.is_empty());
            if last.is_none() {
                return Ok(found);
            }
        }
    }

    fn attributes(&self, item: &StoredItem) -> Attributes {
        let mut attributes = address(&self.namespace(collection(item.kind)), &item.key);
        attributes.insert("version".to_owned(), number(item.version));
        attributes.insert("item".to_owned(), AttributeValue::S(item.json.to_string()));
        attributes
    }

    /// Whether DynamoDB takes the item. If not, that is logged and counted: the rest is written all the
    /// same.
    fn takes(&self, item: &StoredItem) -> bool {
        let names: usize = NAMES.iter().map(|name| name.len()).sum();
        let namespace = self.namespace(collection(item.kind)).len();
        let version = item.version.to_string().len();
        let bytes = OVERHEAD + names + namespace + item.key.len() + version + item.json.len();
        if bytes <= MOST_BYTES && is_key(&item.key) {
            return true;
        }
        self.shared.left_out.fetch_add(1, Ordering::Relaxed);
        let named = named(item.kind, &item.key);
        let because = match is_key(&item.key) {
            true => format!("it has {bytes} bytes, and at most {MOST_BYTES} can be written"),
            false => format!("its key has {} bytes, and must have 1 to {MOST_KEY}", item.key.len()),
        };
        self.log.write(LogLevel::Error, format_args!("{named} was not written to DynamoDB: {because}"));
        false
    }
}

fn is_key(key: &str) -> bool {
    (1..=MOST_KEY).contains(&key.len())
}

/// The two attributes by which an item is found.
pub(super) fn address(namespace: &str, key: &str) -> Attributes {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    [("namespace".to_owned(), text(namespace)), ("key".to_owned(), text(key))].into()
}

fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

fn text(attributes: &Attributes, name: &str) -> Result<String, String> {
    match attributes.get(name) {
        Some(AttributeValue::S(text)) => Ok(text.clone()),
        _ => Err(format!("an item of the table has no text `{name}`")),
    }
}
