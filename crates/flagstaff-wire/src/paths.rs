//! Where requests go.
//!
//! Source: the wire protocol's endpoints. Base URIs may carry a path prefix and a trailing slash.

/// The stream of all flags and segments.
pub const STREAM: &str = "/all";
/// The stream of flags alone, for SDKs of the time before segments.
pub const STREAM_FLAGS: &str = "/flags";
/// All flags and segments at once.
pub const POLL: &str = "/sdk/latest-all";
/// The stream of second-generation delivery.
pub const FDV2_STREAM: &str = "/sdk/stream";
/// The poll of second-generation delivery.
pub const FDV2_POLL: &str = "/sdk/poll";
/// Values for one context by second-generation delivery, as a stream.
pub const FDV2_STREAM_VALUES: &str = "/sdk/stream/eval";
/// The same as polls.
pub const FDV2_POLL_VALUES: &str = "/sdk/poll/eval";
/// All flags at once, by key.
pub const POLL_FLAGS: &str = "/sdk/latest-flags";
/// All segments at once, by key.
pub const POLL_SEGMENTS: &str = "/sdk/latest-segments";
/// Which members of big segments changed.
pub const BIG_SEGMENT_REVISIONS: &str = "/sdk/big-segments/revisions";
/// The stream of the same.
pub const BIG_SEGMENT_STREAM: &str = "/big-segments";
/// Analytics events of a server-side SDK.
pub const EVENTS: &str = "/bulk";
/// Diagnostic events of a server-side SDK.
pub const DIAGNOSTIC: &str = "/diagnostic";
/// Analytics events of a mobile SDK.
pub const MOBILE_EVENTS: &str = "/mobile";
/// Diagnostic events of a mobile SDK.
pub const MOBILE_DIAGNOSTIC: &str = "/mobile/events/diagnostic";
/// Whether the service is well, as JSON.
pub const STATUS: &str = "/status";

/// The query parameter that names a payload filter.
pub const FILTER: &str = "filter";
/// The query parameter that says what second-generation data is held already: its selector.
pub const BASIS: &str = "basis";
/// The query parameter that says up to where big segments are known.
pub const AFTER: &str = "after";

/// The default base of streams.
pub const DEFAULT_STREAM_BASE: &str = "https://stream.launchdarkly.com";
/// The default base of polls.
pub const DEFAULT_POLL_BASE: &str = "https://app.launchdarkly.com";
/// The default base of events.
pub const DEFAULT_EVENTS_BASE: &str = "https://events.launchdarkly.com";

/// `path` below `base`, whose trailing slashes do not count.
pub fn join(base: &str, path: &str) -> String {
    format!("{}{path}", base.trim_end_matches('/'))
}

/// Appends a query parameter. Whatever is not a letter, a digit or one of `-._~` is percent-encoded.
pub fn add_parameter(url: &mut String, name: &str, value: &str) {
    url.push(if url.contains('?') { '&' } else { '?' });
    url.push_str(name);
    url.push('=');
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            url.push(char::from(byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
}

/// Whether a payload filter may have this key: a letter or digit, then those and `.`, `_`, `-`.
pub fn is_filter_key(key: &str) -> bool {
    key.starts_with(|first: char| first.is_ascii_alphanumeric())
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailing_slashes_of_a_base_do_not_count_and_its_path_does() {
        assert_eq!(join("http://host:1/flags//", STREAM), "http://host:1/flags/all");
        assert_eq!(join("http://host", POLL), "http://host/sdk/latest-all");
    }

    #[test]
    fn parameters_are_percent_encoded_and_joined() {
        let mut url = "http://host/sdk/poll".to_owned();
        add_parameter(&mut url, BASIS, "(p:1 \u{e4}%&=+:53)");
        add_parameter(&mut url, FILTER, "a-b._~");
        assert_eq!(url, "http://host/sdk/poll?basis=%28p%3A1%20%C3%A4%25%26%3D%2B%3A53%29&filter=a-b._~");
    }

    #[test]
    fn filter_keys_begin_with_a_letter_or_digit() {
        for (key, valid) in [("micro-1", true), ("a.b_c", true), ("", false), ("-a", false), ("a b", false)] {
            assert_eq!(is_filter_key(key), valid, "{key}");
        }
    }
}
