//! A context as it comes from a client-side SDK: base64 in a path, or JSON in a body.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use flagstaff_eval::Context;
use serde_json::Value;

use crate::error::ApiError;

/// A context is never longer, in bytes.
pub(crate) const LONGEST_CONTEXT: usize = 1024 * 1024;

/// With or without padding.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// What a client-side SDK wrote as base64. The standard alphabet is tolerated, also where a query made
/// blanks of its plus signs.
pub(crate) fn base64(encoded: &str) -> Result<Vec<u8>, base64::DecodeError> {
    let replaced = |character| match character {
        '+' | ' ' => '-',
        '/' => '_',
        other => other,
    };
    URL_SAFE.decode(encoded.chars().map(replaced).collect::<String>())
}

/// The context in a path.
pub(super) fn from_path(encoded: &str) -> Result<Context, ApiError> {
    let json = base64(encoded)
        .map_err(|error| ApiError::bad_request(format!("the context in the path is not base64: {error}")))?;
    from_json(&json)
}

/// The context in a body.
pub(super) fn from_json(json: &[u8]) -> Result<Context, ApiError> {
    let json: Value = serde_json::from_slice(json)
        .map_err(|error| ApiError::bad_request(format!("the context is not JSON: {error}")))?;
    from_value(&json)
}

/// The context that this JSON is.
pub(crate) fn from_value(json: &Value) -> Result<Context, ApiError> {
    // What has no kind is a user of the time before contexts, and keeps to the rules of that time.
    let context =
        if json.get("kind").is_some() { Context::from_json(json) } else { Context::from_legacy_user(json) };
    let context =
        context.map_err(|error| ApiError::bad_request(format!("the context is not valid: {error}")))?;
    if context.members().iter().any(|member| member.key().is_empty()) {
        return Err(ApiError::bad_request("the context is not valid: its key is empty"));
    }
    Ok(context)
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    use super::*;

    #[test]
    fn contexts_and_users_are_read_in_either_alphabet_with_or_without_padding() {
        for json in [
            r#"{"key":"a"}"#,
            r#"{"kind":"user","key":"a"}"#,
            r#"{"kind":"user","key":"a","name":"??>>ü"}"#,
            r#"{"key":"a","custom":{"b":"ÿÿÿ"}}"#,
        ] {
            for encoded in [STANDARD.encode(json), URL_SAFE_NO_PAD.encode(json)] {
                assert_eq!(from_path(&encoded).unwrap().canonical_key(), "a", "{json} as {encoded}");
            }
        }
    }

    #[test]
    fn what_is_no_context_is_refused_with_a_reason() {
        for (encoded, says) in [
            ("%%%".to_owned(), "not base64"),
            (URL_SAFE_NO_PAD.encode("{"), "not JSON"),
            (URL_SAFE_NO_PAD.encode("[]"), "not valid"),
            (URL_SAFE_NO_PAD.encode("{}"), "not valid"),
            (URL_SAFE_NO_PAD.encode(r#"{"key":""}"#), "its key is empty"),
            (URL_SAFE_NO_PAD.encode(r#"{"kind":"org"}"#), "not valid"),
            (URL_SAFE_NO_PAD.encode("[".repeat(1000)), "not JSON"),
        ] {
            let error = from_path(&encoded).unwrap_err();
            assert_eq!(error.status(), 400);
            assert!(error.message().contains(says), "{}", error.message());
        }
    }
}
