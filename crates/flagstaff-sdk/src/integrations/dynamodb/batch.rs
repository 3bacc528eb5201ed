//! Many writes in few requests, however often DynamoDB puts some of them off.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::{AttributeValue, DeleteRequest, PutRequest, WriteRequest};

use super::connection::describe;

/// As many writes as one request takes.
const MOST_WRITES: usize = 25;
/// How often what was put off is sent again.
pub(super) const MOST_TRIES: u32 = 10;

pub(super) type Attributes = HashMap<String, AttributeValue>;

pub(super) fn put(item: Attributes) -> Result<WriteRequest, BuildError> {
    Ok(WriteRequest::builder().put_request(PutRequest::builder().set_item(Some(item)).build()?).build())
}

pub(super) fn delete(key: Attributes) -> Result<WriteRequest, BuildError> {
    let request = DeleteRequest::builder().set_key(Some(key)).build()?;
    Ok(WriteRequest::builder().delete_request(request).build())
}

/// Makes all writes, some at a time, in this order.
pub(super) async fn write_all(client: &Client, table: &str, writes: &[WriteRequest]) -> Result<(), String> {
    for some in writes.chunks(MOST_WRITES) {
        let mut waiting = some.to_vec();
        let mut tried = 0;
        while !waiting.is_empty() {
            if tried == MOST_TRIES {
                let count = waiting.len();
                return Err(format!(
                    "DynamoDB put {count} writes off {MOST_TRIES} times: the table has too little capacity"
                ));
            }
            tokio::time::sleep(pause(tried)).await;
            tried += 1;
            let answer = client.batch_write_item().request_items(table, waiting).send().await;
            let put_off = answer.map_err(describe)?.unprocessed_items.unwrap_or_default();
            // Asked about one table, it answers about one, by name or by its longer one.
            waiting = put_off.into_values().flatten().collect();
        }
    }
    Ok(())
}

/// Before the first try none, then doubling from 50 ms to 2 s.
pub(super) fn pause(tried: u32) -> Duration {
    match tried {
        0 => Duration::ZERO,
        _ => Duration::from_millis(50 << (tried - 1)).min(Duration::from_secs(2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let pauses: Vec<_> = (0..MOST_TRIES).map(|tried| pause(tried).as_millis()).collect();
        assert_eq!(pauses, [0, 50, 100, 200, 400, 800, 1600, 2000, 2000, 2000]);
    }
}
