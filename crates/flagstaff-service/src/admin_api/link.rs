//! `_links`.

use serde_json::{Value, json};

/// A link to something of ours.
pub(super) fn link(href: impl AsRef<str>) -> Value {
    json!({"href": href.as_ref(), "type": "application/json"})
}

/// A part of a path, encoded.
pub(super) fn part(key: &str) -> String {
    percent_encoding::utf8_percent_encode(key, percent_encoding::NON_ALPHANUMERIC)
        .to_string()
        // These need none, and read better.
        .replace("%2D", "-")
        .replace("%2E", ".")
        .replace("%5F", "_")
}
