//! Big segments in DynamoDB: an item of the table for each context, with two sets of segments.
//!
//! Source: the protocol's table of big segment stores.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{BuildError, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, ConditionCheck, TransactWriteItem, Update};
use flagstaff_eval::big_segments::Membership;
use flagstaff_wire::big_segments::{Changes, Patch};

use super::DynamoDb;
use super::batch::{Attributes, MOST_TRIES, pause};
use super::connection::describe;
use super::store::address;
use crate::big_segments::{Applied, BigSegmentCopy, BigSegmentStore};
use crate::data_store::StoreError;

/// As many contexts as one transaction changes, beside the cursor.
const MOST_CONTEXTS: usize = 99;

impl BigSegmentStore for DynamoDb {
    fn last_up_to_date(&self) -> Result<Option<SystemTime>, StoreError> {
        let attempted = "ask DynamoDB how old big segments are";
        let Some(found) = self.item(attempted, self.metadata())? else { return Ok(None) };
        let bad = |because: String| StoreError::because(format_args!("could not {attempted}"), because);
        match found.get("synchronizedOn") {
            None => Ok(None),
            Some(AttributeValue::N(milliseconds)) => {
                let milliseconds: u64 =
                    milliseconds.parse().map_err(|error| bad(format!("`{milliseconds}`: {error}")))?;
                Ok(Some(UNIX_EPOCH + Duration::from_millis(milliseconds)))
            }
            Some(_) => Err(bad("`synchronizedOn` is no number".to_owned())),
        }
    }

    fn membership(&self, context_hash: &str) -> Result<Option<Membership>, StoreError> {
        let attempted = "ask DynamoDB for the big segments of a context";
        let found = self.item(attempted, address(&self.namespace("big_segments_user"), context_hash))?;
        Ok(found.map(|found| Membership::new(set(&found, "included"), set(&found, "excluded"))))
    }
}

/// A set, which is absent rather than empty.
fn set<'a>(attributes: &'a Attributes, name: &str) -> impl Iterator<Item = &'a str> {
    let members = match attributes.get(name) {
        Some(AttributeValue::Ss(members)) => members.as_slice(),
        _ => &[],
    };
    members.iter().map(String::as_str)
}

impl BigSegmentCopy for DynamoDb {
    fn cursor(&self) -> Result<String, StoreError> {
        let found = self.item("ask DynamoDB up to where it has big segments", self.metadata())?;
        Ok(match found.and_then(|mut found| found.remove("lastVersion")) {
            Some(AttributeValue::S(cursor)) => cursor,
            _ => String::new(),
        })
    }

    /// Several transactions, each with its condition; the cursor goes with the last.
    fn apply(&self, patch: &Patch, expected: &str) -> Result<Applied, StoreError> {
        let attempted = format!("write members of `{}` to DynamoDB", patch.segment_id);
        let (store, patch, expected) = (self.clone(), patch.clone(), expected.to_owned());
        let written = self.ask(&attempted, move |client| async move {
            store.write_patch(&client, &patch, &expected).await
        })?;
        Ok(if written { Applied::Written } else { Applied::CursorIs(self.cursor()?) })
    }

    fn set_last_up_to_date(&self, time: SystemTime) -> Result<(), StoreError> {
        let milliseconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let (table, metadata) = (self.table.clone(), self.metadata());
        self.ask("write to DynamoDB how old big segments are", move |client| async move {
            let asked = client
                .update_item()
                .table_name(table)
                .set_key(Some(metadata))
                .update_expression("SET synchronizedOn = :time")
                .expression_attribute_values(":time", AttributeValue::N(milliseconds.to_string()));
            asked.send().await.map(|_| ()).map_err(describe)
        })
    }
}

impl DynamoDb {
    /// The item that says how old big segments are, and up to where they are known.
    fn metadata(&self) -> Attributes {
        let namespace = self.namespace("big_segments_metadata");
        address(&namespace, &namespace)
    }

    /// False if the cursor is another.
    async fn write_patch(&self, client: &Client, patch: &Patch, expected: &str) -> Result<bool, String> {
        let mut contexts = contexts(&patch.changes).into_iter().peekable();
        loop {
            let mut writes = Vec::with_capacity(MOST_CONTEXTS + 1);
            for (context, change) in contexts.by_ref().take(MOST_CONTEXTS) {
                let update = self.change_of(context, change, &patch.segment_id);
                writes.push(TransactWriteItem::builder().update(update.map_err(said)?).build());
            }
            let is_last = contexts.peek().is_none();
            writes.push(if is_last {
                let update = self.move_cursor(expected, &patch.version).map_err(said)?;
                TransactWriteItem::builder().update(update).build()
            } else {
                let check = self.check_cursor(expected).map_err(said)?;
                TransactWriteItem::builder().condition_check(check).build()
            });
            if !transact(client, writes).await? {
                return Ok(false);
            }
            if is_last {
                return Ok(true);
            }
        }
    }

    fn change_of(&self, context: &str, change: Change, segment_id: &str) -> Result<Update, BuildError> {
        let lists = [("included", change.included), ("excluded", change.excluded)];
        let of = |comes: bool| {
            let names = lists.iter().filter(move |(_, change)| *change == Some(comes));
            names.map(|(name, _)| format!("{name} :segment")).collect::<Vec<_>>().join(", ")
        };
        let expressions = [("ADD", of(true)), ("DELETE", of(false))];
        let expressions = expressions.iter().filter(|(_, lists)| !lists.is_empty());
        let expression: Vec<_> = expressions.map(|(verb, lists)| format!("{verb} {lists}")).collect();
        Update::builder()
            .table_name(&self.table)
            .set_key(Some(address(&self.namespace("big_segments_user"), context)))
            .update_expression(expression.join(" "))
            .expression_attribute_values(":segment", AttributeValue::Ss(vec![segment_id.to_owned()]))
            .build()
    }

    fn check_cursor(&self, expected: &str) -> Result<ConditionCheck, BuildError> {
        let check = ConditionCheck::builder()
            .table_name(&self.table)
            .set_key(Some(self.metadata()))
            .condition_expression(condition(expected));
        match expected {
            "" => check.build(),
            _ => check.expression_attribute_values(":expected", text(expected)).build(),
        }
    }

    fn move_cursor(&self, expected: &str, version: &str) -> Result<Update, BuildError> {
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(self.metadata()))
            .update_expression("SET lastVersion = :version")
            .condition_expression(condition(expected))
            .expression_attribute_values(":version", text(version));
        match expected {
            "" => update.build(),
            _ => update.expression_attribute_values(":expected", text(expected)).build(),
        }
    }
}

fn condition(expected: &str) -> &'static str {
    match expected {
        "" => "attribute_not_exists(lastVersion)",
        _ => "lastVersion = :expected",
    }
}

/// What happens to one context: to each list it comes, goes from it, or neither.
#[derive(Clone, Copy, Default)]
struct Change {
    included: Option<bool>,
    excluded: Option<bool>,
}

/// By context, since one transaction may name each only once.
fn contexts(changes: &Changes) -> BTreeMap<&str, Change> {
    let mut contexts: BTreeMap<&str, Change> = BTreeMap::new();
    for (comes, list) in [(false, &changes.included.remove), (true, &changes.included.add)] {
        list.iter().for_each(|context| contexts.entry(context).or_default().included = Some(comes));
    }
    for (comes, list) in [(false, &changes.excluded.remove), (true, &changes.excluded.add)] {
        list.iter().for_each(|context| contexts.entry(context).or_default().excluded = Some(comes));
    }
    contexts
}

/// Writes all or nothing; false if a condition does not hold. Others who write to the same items are waited for.
async fn transact(client: &Client, writes: Vec<TransactWriteItem>) -> Result<bool, String> {
    for tried in 0..MOST_TRIES {
        tokio::time::sleep(pause(tried)).await;
        let asked = client.transact_write_items().set_transact_items(Some(writes.clone()));
        let error = match asked.send().await {
            Ok(_) => return Ok(true),
            Err(error) => error,
        };
        match why_cancelled(&error) {
            Some(codes) if codes.iter().any(|code| code == "ConditionalCheckFailed") => return Ok(false),
            Some(codes) if codes.iter().all(|code| passes(code)) => {}
            _ => return Err(describe(error)),
        }
    }
    Err(format!(
        "DynamoDB put the writes off {MOST_TRIES} times: others write too, or the table has too little capacity"
    ))
}

fn why_cancelled<R>(error: &SdkError<TransactWriteItemsError, R>) -> Option<Vec<String>> {
    match error.as_service_error()? {
        TransactWriteItemsError::TransactionCanceledException(cancelled) => {
            let reasons = cancelled.cancellation_reasons().iter();
            Some(reasons.filter_map(|reason| reason.code().map(str::to_owned)).collect())
        }
        _ => None,
    }
}

/// Whether this reason passes by itself; `None` is that of a write that was not at fault.
fn passes(code: &str) -> bool {
    matches!(code, "None" | "TransactionConflict" | "ThrottlingError" | "ProvisionedThroughputExceeded")
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn said(error: BuildError) -> String {
    error.to_string()
}
