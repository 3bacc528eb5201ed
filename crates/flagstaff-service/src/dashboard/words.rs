//! Numbers, names and addresses as pages show them.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stands in a path segment as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// `1,204`.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 flag`, `1,204 flags`.
pub(super) fn count(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(count), if count == 1 { one } else { many })
}

/// Thousandths of a percent as a percentage, to three decimals, without zeros at the end: `33.333 %`.
pub(super) fn percentage(thousandths: i64) -> String {
    let (whole, rest) = (thousandths / 1000, (thousandths % 1000).abs());
    let decimals = format!("{rest:03}");
    match decimals.trim_end_matches('0') {
        "" => format!("{whole} %"),
        decimals => format!("{whole}.{decimals} %"),
    }
}

/// The first letter in upper case, and a full stop at the end: an error as a sentence.
pub(super) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    let mut sentence: String = first.chain(letters).collect();
    if !sentence.ends_with(['.', '!', '?']) {
        sentence.push('.');
    }
    quoted(&sentence)
}

/// Backticks, in which errors quote, as quotation marks.
fn quoted(text: &str) -> String {
    let mut open = false;
    let quote = |letter| match letter {
        '`' => {
            open = !open;
            if open { '“' } else { '”' }
        }
        other => other,
    };
    text.chars().map(quote).collect()
}

/// One segment of a path.
pub(super) fn segment(text: &str) -> String {
    // A browser would take these for steps in the path.
    match text {
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        _ => utf8_percent_encode(text, SEGMENT).to_string(),
    }
}

/// An id for the element of an item: letters, digits, `-` and `_` only, so that it is a selector as it
/// stands; different keys have different ids.
pub(super) fn element_id(kind: &str, key: &str) -> String {
    use std::fmt::Write as _;
    let mut id = format!("{kind}-");
    for letter in key.chars() {
        if letter.is_ascii_alphanumeric() || letter == '-' {
            id.push(letter);
        } else {
            // Writing to a string cannot fail.
            let _ = write!(id, "_{:x}_", u32::from(letter));
        }
    }
    id
}

/// The text, or its beginning and an ellipsis.
pub(super) fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

/// `a, b and c`.
pub(super) fn joined(words: &[String], last: &str) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., end] => format!("{} {last} {end}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_thousands_separators() {
        let numbers = [0, 999, 1000, 1_234_567].map(number);
        assert_eq!(numbers, ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            (count(1, "flag", "flags"), count(0, "flag", "flags")),
            ("1 flag".into(), "0 flags".into())
        );
    }

    #[test]
    fn percentages_have_up_to_three_decimals() {
        let percentages = [0, 100_000, 33_333, 12_500, 1, 10].map(percentage);
        assert_eq!(percentages, ["0 %", "100 %", "33.333 %", "12.5 %", "0.001 %", "0.01 %"]);
    }

    #[test]
    fn segments_cannot_leave_their_place() {
        assert_eq!(segment("a/b?c#d e"), "a%2Fb%3Fc%23d%20e");
        assert_eq!(
            (segment("."), segment(".."), segment("v1.2")),
            ("%2E".into(), "%2E%2E".into(), "v1.2".into())
        );
    }

    #[test]
    fn element_ids_are_selectors_and_differ() {
        assert_eq!(element_id("flag", "a-b1"), "flag-a-b1");
        assert_eq!(element_id("flag", "a.b"), "flag-a_2e_b");
        assert_ne!(element_id("flag", "a_2e_b"), element_id("flag", "a.b"));
    }

    #[test]
    fn errors_become_sentences() {
        assert_eq!(sentence("flag `a` is gone"), "Flag “a” is gone.");
        assert_eq!(sentence("Done."), "Done.");
    }
}
