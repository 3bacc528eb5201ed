//! Lists of context keys, as they are read.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, SeqAccess, Visitor};

/// Context keys in one text: for a flag that is read only to be made ready, by the thousand, a text
/// of its own for each key would be most of the work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    text: String,
    /// Where in the text each key ends.
    ends: Vec<usize>,
}

/// Room for this many keys is made at once, and for this much text.
const FIRST_KEYS: usize = 32;
const FIRST_TEXT: usize = 512;

impl Keys {
    fn push(&mut self, key: &str) {
        if self.ends.is_empty() {
            self.ends.reserve(FIRST_KEYS);
            self.text.reserve(FIRST_TEXT);
        }
        self.text.push_str(key);
        self.ends.push(self.text.len());
    }
}

/// A list of context keys, in whatever form.
pub(crate) trait KeyList {
    fn keys(&self) -> impl Iterator<Item = &str> + Clone;

    fn is_empty(&self) -> bool {
        self.keys().next().is_none()
    }
}

impl KeyList for Vec<String> {
    fn keys(&self) -> impl Iterator<Item = &str> + Clone {
        self.iter().map(String::as_str)
    }
}

impl KeyList for Keys {
    fn keys(&self) -> impl Iterator<Item = &str> + Clone {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.text[start..*end])
    }
}

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(KeysVisitor)
    }
}

struct KeysVisitor;

impl<'de> Visitor<'de> for KeysVisitor {
    type Value = Keys;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a list of keys")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Keys, A::Error> {
        let mut keys = Keys::default();
        while list.next_element_seed(KeyOf(&mut keys))?.is_some() {}
        Ok(keys)
    }
}

/// Reads one key to the end of the list.
struct KeyOf<'k>(&'k mut Keys);

impl<'de> DeserializeSeed<'de> for KeyOf<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyOf<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<(), E> {
        self.0.push(key);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_one_text_are_those_of_a_list_of_texts() {
        let many: Vec<String> = (0..100).map(|i| format!("user-{i:05}")).collect();
        let odd = ["", "a", "", "\u{1F6A9} \"x\"", "b", ""].map(str::to_owned).to_vec();
        for texts in [Vec::new(), vec![String::new()], odd, many] {
            let json = serde_json::to_string(&texts).unwrap();
            let keys: Keys = serde_json::from_str(&json).unwrap();
            assert_eq!(keys.keys().collect::<Vec<_>>(), texts, "{json}");
            assert_eq!(KeyList::is_empty(&keys), texts.is_empty(), "{json}");
        }
    }

    #[test]
    fn what_is_no_list_of_texts_is_refused() {
        for json in ["{}", "1", "\"a\"", "[1]", "[null]", "[[\"a\"]]"] {
            assert!(serde_json::from_str::<Keys>(json).is_err(), "{json}");
            assert!(serde_json::from_str::<Vec<String>>(json).is_err(), "{json}");
        }
    }
}
