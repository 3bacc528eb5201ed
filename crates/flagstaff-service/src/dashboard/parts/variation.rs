//! A variation: its colour and shape, which are the same on every page, and what it is called.

use askama::Template;
use askama::filters::HtmlSafe;
use flagstaff_eval::Value;

use crate::dashboard::words::shortened;
use crate::store::targeting::Variation;

/// How many hues and shapes there are; after that they come round again.
const HUES: usize = 8;
/// A longer value is cut where it only serves to recognise a variation.
const LONGEST_VALUE: usize = 48;
/// A longer value is left out beside a name.
const LONGEST_BESIDE_NAME: usize = 24;

/// One variation as it stands in a sentence, a list or a table.
#[derive(Clone, Debug, PartialEq, Template)]
#[template(path = "parts/variation.html")]
pub(in crate::dashboard) struct VariationMark {
    /// The class that gives the colour.
    pub(in crate::dashboard) class: String,
    shape: usize,
    name: Option<String>,
    value: Option<String>,
    whole: String,
}

impl HtmlSafe for VariationMark {}

/// The variations of one flag.
#[derive(Clone, Copy, Debug)]
pub(in crate::dashboard) struct Variations<'a>(pub(in crate::dashboard) &'a [Variation]);

impl Variations<'_> {
    /// The variation with this index; none if there is no such one.
    pub(in crate::dashboard) fn mark(&self, index: i64) -> Option<VariationMark> {
        let place = usize::try_from(index).ok()?;
        let variation = self.0.get(place)?;
        let whole = value_text(&variation.value);
        let name = variation.name.clone().filter(|name| !name.trim().is_empty());
        // `true` called "true" is said once.
        let name = name.filter(|name| *name != whole);
        let value = match name {
            Some(_) => (whole.chars().count() <= LONGEST_BESIDE_NAME).then(|| whole.clone()),
            None => Some(shortened(&whole, LONGEST_VALUE)),
        };
        Some(VariationMark { class: format!("v{}", place % HUES), shape: place % HUES, name, value, whole })
    }

    /// The variation with this index, or words that say that there is none.
    pub(in crate::dashboard) fn mark_or_missing(&self, index: i64) -> VariationMark {
        self.mark(index).unwrap_or_else(|| VariationMark {
            class: "v-none".to_owned(),
            shape: HUES,
            name: Some(format!("variation {index}, which does not exist")),
            value: None,
            whole: "callers get the default in their code".to_owned(),
        })
    }
}

impl VariationMark {
    /// What callers get when no variation is served.
    pub(in crate::dashboard) fn default_in_code() -> Self {
        Self {
            class: "v-none".to_owned(),
            shape: HUES,
            name: Some("the default in the code".to_owned()),
            value: None,
            whole: "No variation: callers get the default they pass".to_owned(),
        }
    }

    /// The same, by its name alone if it has one: for where room is scarce.
    #[must_use]
    pub(in crate::dashboard) fn short(mut self) -> Self {
        self.value = self.value.filter(|_| self.name.is_none());
        self
    }

    /// The value as far as it is worth reading, unless the mark shows all of it already.
    pub(in crate::dashboard) fn unseen_value(&self) -> Option<String> {
        const MOST: usize = 1000;
        let seen = self.value.as_ref() == Some(&self.whole);
        (!seen).then(|| shortened(&self.whole, MOST))
    }

    /// As plain text: its name, and its value.
    pub(in crate::dashboard) fn text(&self) -> String {
        match (&self.name, &self.value) {
            (Some(name), Some(value)) => format!("{name} ({value})"),
            (Some(text), None) | (None, Some(text)) => text.clone(),
            (None, None) => String::new(),
        }
    }
}

/// A JSON value as people write it: text without quotes, unless it would be taken for something else.
pub(in crate::dashboard) fn value_text(value: &Value) -> String {
    match value {
        Value::String(text) => {
            let unlike_text = serde_json::from_str::<Value>(text).is_ok();
            let untidy = text.is_empty() || text.trim() != text || text.contains(char::is_control);
            if unlike_text || untidy { value.to_string() } else { text.clone() }
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_that_looks_like_something_else_is_in_quotes() {
        let check = |value: Value, text: &str| assert_eq!(value_text(&value), text);
        check(json!("blue"), "blue");
        check(json!("true"), "\"true\"");
        check(json!("42"), "\"42\"");
        check(json!(42), "42");
        check(json!(true), "true");
        check(json!(""), "\"\"");
        check(json!(" a"), "\" a\"");
        check(json!({"a": 1}), "{\"a\":1}");
    }

    #[test]
    fn ninth_variation_has_the_first_hue_again() {
        let all: Vec<Variation> =
            (0..9).map(|n| Variation { value: json!(n), ..Variation::default() }).collect();
        let marks = Variations(&all);
        assert_eq!(marks.mark(8).unwrap().class, "v0");
        assert_eq!(marks.mark(9), None);
        assert_eq!(marks.mark(-1), None);
        assert!(marks.mark_or_missing(9).text().contains("does not exist"));
    }
}
