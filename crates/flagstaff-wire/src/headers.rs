//! What a request says of its sender.

use std::fmt;

/// The bare SDK key, mobile key or token, without a scheme.
pub const AUTHORIZATION: &str = "authorization";
/// `Name/Version` of the SDK.
pub const USER_AGENT: &str = "user-agent";
/// As [`USER_AGENT`], from browsers, which may not set that.
pub const BROWSER_USER_AGENT: &str = "x-launchdarkly-user-agent";
/// `name` or `name/version` of what wraps the SDK.
pub const WRAPPER: &str = "x-launchdarkly-wrapper";
/// The application's id and version: see [`ApplicationTags`].
pub const TAGS: &str = "x-launchdarkly-tags";
/// A UUID made once per client.
pub const INSTANCE_ID: &str = "x-launchdarkly-instance-id";
/// The generation of analytics events: [`EVENT_SCHEMA_CURRENT`], or 3 in the time before contexts.
pub const EVENT_SCHEMA: &str = "x-launchdarkly-event-schema";
/// The generation of analytics events that contexts came with.
pub const EVENT_SCHEMA_CURRENT: &str = "4";
/// A UUID made once per payload, the same when the payload is sent again.
pub const PAYLOAD_ID: &str = "x-launchdarkly-payload-id";
/// `true` if the sender did not summarise its evaluations, so that the receiver has to.
pub const UNSUMMARIZED: &str = "x-launchdarkly-unsummarized";
/// The environment's client-side ID, in answers.
pub const ENVIRONMENT_ID: &str = "x-ld-envid";
/// `true`, in any case, in the answer to an FDv2 request: first-generation polls are to be used instead.
pub const FDV1_FALLBACK: &str = "x-ld-fd-fallback";
/// For how many seconds [`FDV1_FALLBACK`] holds. A draft; without it, for good.
pub const FDV1_FALLBACK_TTL: &str = "x-ld-fd-fallback-ttl";

/// How long an application tag may be.
const LONGEST_TAG: usize = 64;
/// How long an SDK key may be.
const LONGEST_SDK_KEY: usize = 8192;

/// What an application says of itself with each request. Only valid values are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplicationTags {
    id: Option<String>,
    version: Option<String>,
}

impl ApplicationTags {
    /// Whether a tag may have this value: 1 to 64 letters, digits, `.`, `_`, `-`.
    pub fn is_valid(value: &str) -> bool {
        (1..=LONGEST_TAG).contains(&value.len()) && value.bytes().all(is_plain)
    }

    /// Sets the application's id; false, and nothing set, if it is not valid.
    pub fn set_id(&mut self, id: &str) -> bool {
        set(&mut self.id, id)
    }

    /// Sets the application's version; false, and nothing set, if it is not valid.
    pub fn set_version(&mut self, version: &str) -> bool {
        set(&mut self.version, version)
    }

    /// The application's id.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The application's version.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// The value of the header [`TAGS`]; none if there is nothing to say.
    pub fn header(&self) -> Option<String> {
        let tags = [("application-id", &self.id), ("application-version", &self.version)];
        let said: Vec<String> =
            tags.iter().filter_map(|(tag, value)| Some(format!("{tag}/{}", value.as_ref()?))).collect();
        (!said.is_empty()).then(|| said.join(" "))
    }
}

fn set(tag: &mut Option<String>, value: &str) -> bool {
    *tag = ApplicationTags::is_valid(value).then(|| value.to_owned());
    tag.is_some()
}

/// Letters, digits and what may stand beside them in keys and tags.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

/// The value of the header [`WRAPPER`]; none without a name.
pub fn wrapper(name: Option<&str>, version: Option<&str>) -> Option<String> {
    let name = name.filter(|name| !name.is_empty())?;
    Some(match version.filter(|version| !version.is_empty()) {
        Some(version) => format!("{name}/{version}"),
        None => name.to_owned(),
    })
}

/// Whether a key may be sent: one that may not must not be logged either.
pub fn is_sdk_key(key: &str) -> bool {
    (1..=LONGEST_SDK_KEY).contains(&key.len()) && key.bytes().all(is_plain)
}

/// A credential as logs and lists show it: a prefix like `sdk-` and the last five characters, and
/// the hexadecimal digits between as `*`.
pub struct Masked<'a>(pub &'a str);

impl fmt::Display for Masked<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.chars().count();
        let prefix = match self.0.as_bytes() {
            [a, b, c, b'-', ..] if [a, b, c].iter().all(|byte| byte.is_ascii_lowercase()) => 4,
            _ => 0,
        };
        for (index, character) in self.0.chars().enumerate() {
            let shown = index < prefix || index + 5 >= count || !character.is_ascii_hexdigit();
            write!(formatter, "{}", if shown { character } else { '*' })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Masked<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_in_order_and_a_bad_value_does_not_spoil_the_other() {
        let mut tags = ApplicationTags::default();
        assert_eq!(tags.header(), None);
        assert!(tags.set_version("1.2"));
        assert!(!tags.set_id("my app"));
        assert_eq!(tags.header().as_deref(), Some("application-version/1.2"));
        assert!(tags.set_id("shop"));
        assert_eq!(tags.header().as_deref(), Some("application-id/shop application-version/1.2"));
        assert!(!tags.set_id(&"a".repeat(65)));
        assert!(!tags.set_id(""));
    }

    #[test]
    fn a_wrapper_without_a_name_says_nothing() {
        assert_eq!(wrapper(None, Some("1")), None);
        assert_eq!(wrapper(Some("shop"), None).as_deref(), Some("shop"));
        assert_eq!(wrapper(Some("shop"), Some("1")).as_deref(), Some("shop/1"));
    }

    #[test]
    fn a_masked_key_can_be_told_apart_but_not_used() {
        let key = "sdk-01234567-89ab-cdef-0123-456789a99999";
        assert_eq!(Masked(key).to_string(), "sdk-********-****-****-****-*******99999");
        assert_eq!(Masked("abc").to_string(), "abc");
    }

    #[test]
    fn keys_that_cannot_stand_in_a_header_are_refused() {
        for (key, valid) in
            [("sdk-demo_1.x", true), ("", false), ("a b", false), ("a\n", false), ("ä", false)]
        {
            assert_eq!(is_sdk_key(key), valid, "{key:?}");
        }
    }
}
