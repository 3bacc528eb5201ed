//! Big segments in DynamoDB: an item of the table for each context, with two sets of segments.
//!
//! Source: the protocol's table of big segment stores.

use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::types::AttributeValue;
use flagstaff_eval::big_segments::Membership;

use super::DynamoDb;
use super::batch::Attributes;
use super::store::address;
use crate::big_segments::BigSegmentStore;
use crate::data_store::StoreError;

impl BigSegmentStore for DynamoDb {
    fn last_up_to_date(&self) -> Result<Option<SystemTime>, StoreError> {
        let attempted = "ask DynamoDB how old big segments are";
        let namespace = self.namespace("big_segments_metadata");
        let Some(found) = self.item(attempted, address(&namespace, &namespace))? else { return Ok(None) };
        let bad = |because: String| StoreError::because(format_args!("could not {attempted}"), because);
        match found.get("synchronizedOn") {
            None => Ok(None),
            Some(AttributeValue::N(milliseconds)) => {
                let milliseconds: u64 =
                    milliseconds.parse().map_err(|error| bad(format!("`{milliseconds}`: {error}")))?;
                Ok(Some(SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds)))
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
