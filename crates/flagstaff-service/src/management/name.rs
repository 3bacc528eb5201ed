//! What keys, names and the like may be.

use serde_json::Value;

use super::ChangeError;

/// The longest key.
pub const LONGEST_KEY: usize = 100;
/// The longest name, tag or comment, in characters.
pub const LONGEST_NAME: usize = 256;
/// The longest description or comment, in characters.
pub const LONGEST_TEXT: usize = 4096;
/// The most levels of lists and objects in a value.
pub const DEEPEST_VALUE: usize = 64;

/// A key of a project, environment or flag: letters, digits, `.`, `_` and `-`, first a letter or
/// digit.
pub fn check_key(place: &str, key: &str) -> Result<(), ChangeError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let problem = if key.is_empty() {
        "a key is needed".to_owned()
    } else if key.len() > LONGEST_KEY {
        format!("a key has at most {LONGEST_KEY} characters, this one has {}", key.chars().count())
    } else if !key.bytes().all(plain) || !key.as_bytes()[0].is_ascii_alphanumeric() {
        let shown = key.escape_debug();
        format!(
            "`{shown}` is not a key: use letters, digits, `.`, `_` and `-`, and begin with a letter or digit"
        )
    } else {
        return Ok(());
    };
    Err(ChangeError::invalid(place, problem))
}

/// A name: something to read, in one line.
pub fn check_name(place: &str, name: &str) -> Result<(), ChangeError> {
    if name.trim().is_empty() {
        return Err(ChangeError::invalid(place, "a name is needed"));
    }
    check_length(place, name, LONGEST_NAME)?;
    check_no_nul(place, name)
}

/// A description or comment, possibly empty.
pub fn check_text(place: &str, text: &str) -> Result<(), ChangeError> {
    check_length(place, text, LONGEST_TEXT)?;
    check_no_nul(place, text)
}

/// Tags: letters, digits, `.`, `_`, `-`, `:` and blanks.
pub fn check_tags(tags: &[String]) -> Result<(), ChangeError> {
    for (place, tag) in tags.iter().enumerate() {
        check_name(&format!("tags[{place}]"), tag)?;
    }
    Ok(())
}

/// A context kind.
pub fn check_context_kind(place: &str, kind: &str) -> Result<(), ChangeError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if kind.is_empty() || matches!(kind, "kind" | "multi") || !kind.bytes().all(plain) {
        let shown = kind.escape_debug();
        let problem = format!(
            "`{shown}` is not a context kind: use letters, digits, `.`, `_` and `-`, but neither `kind` nor `multi`"
        );
        return Err(ChangeError::invalid(place, problem));
    }
    Ok(())
}

/// A JSON value inside a flag. Readers of JSON give up at 128 levels, some in the middle of a message
/// with every flag in it, so a value leaves them room for what it stands in.
pub fn check_value(place: &str, value: &Value) -> Result<(), ChangeError> {
    let depth = depth(value);
    if depth > DEEPEST_VALUE {
        let problem = format!("a value is at most {DEEPEST_VALUE} levels deep, this one has {depth}");
        return Err(ChangeError::invalid(place, problem));
    }
    Ok(())
}

/// How many lists and objects stand in each other.
pub(crate) fn depth(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
        Value::Object(object) => 1 + object.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// A colour: six hex digits.
pub fn check_colour(place: &str, colour: &str) -> Result<(), ChangeError> {
    if colour.len() == 6 && colour.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Ok(());
    }
    let shown = colour.escape_debug();
    Err(ChangeError::invalid(place, format!("`{shown}` is not a colour; give six hex digits, like `417505`")))
}

fn check_length(place: &str, text: &str, longest: usize) -> Result<(), ChangeError> {
    let count = text.chars().count();
    if count > longest {
        let problem = format!("at most {longest} characters fit here, these are {count}");
        return Err(ChangeError::invalid(place, problem));
    }
    Ok(())
}

/// PostgreSQL takes no NUL in text, and nobody means one.
fn check_no_nul(place: &str, text: &str) -> Result<(), ChangeError> {
    if text.contains('\0') {
        return Err(ChangeError::invalid(place, "a NUL character cannot stand in a text; leave it out"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_plain() {
        let long = "a".repeat(LONGEST_KEY + 1);
        for (key, fine) in [
            ("a", true),
            ("9.a_b-c", true),
            ("", false),
            ("-a", false),
            ("a b", false),
            ("a\0", false),
            ("ä", false),
            (&*long, false),
        ] {
            assert_eq!(check_key("key", key).is_ok(), fine, "{key}");
        }
    }
}
