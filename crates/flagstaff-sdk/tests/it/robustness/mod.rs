//! What strangers and bad networks do to a client, by the numbers of the reliability tests.
//!
//! | Number | What | Where |
//! |---|---|---|
//! | R17 | streams that are no good text | `malformed_stream` |
//! | R18 | JSON that is wrong, or of the wrong shape | `wrong_json` |
//! | R19 | versions in any order | `versions` |
//! | R24, R25 | peers that vanish, proxies that mean well | `proxies` |
//! | R27 | JSON made to exhaust its reader | `wrong_json` |
//!
//! R26 and what memory a reconnecting stream takes stand in `tests/memory.rs`, R31 to R33 with the
//! evaluation, R34 in `flagstaff-fuzz`.

mod malformed_stream;
mod proxies;
mod proxy;
mod raw_service;
mod versions;
mod wrong_json;

use flagstaff_sdk::{Client, DataSourceErrorKind, Value};
use flagstaff_testkit::{FlagBuilder, all_data, eventually, user};
use serde_json::json;

fn value(client: &Client, key: &str) -> Value {
    client.variation(key, &user("u"), json!("default"))
}

fn wait_for_value(client: &Client, key: &str, expected: impl Into<Value>) {
    let expected = expected.into();
    eventually(&format!("`{key}` served {expected:.60}"), || (value(client, key) == expected).then_some(()));
}

fn last_error(client: &Client) -> Option<DataSourceErrorKind> {
    client.data_source_status().last_error.map(|error| error.kind)
}

/// A `put` event of these flags.
fn put(flags: impl IntoIterator<Item = FlagBuilder>) -> Vec<u8> {
    let mut bytes = Vec::new();
    flagstaff_wire::stream::write_put(&mut bytes, &all_data(flags)).expect("JSON can be written");
    bytes
}

/// A `patch` event of this flag.
fn patch(flag: FlagBuilder) -> Vec<u8> {
    let key = flag.key().to_owned();
    let mut bytes = Vec::new();
    flagstaff_wire::stream::write_patch(
        &mut bytes,
        flagstaff_wire::stream::ItemKind::Flag,
        &key,
        &flag.build(),
    )
    .expect("JSON can be written");
    bytes
}
