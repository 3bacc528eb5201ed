//! JSON and YAML as they stand in a file.
//!
//! Both are read into the same JSON values. An alias in YAML repeats what was said elsewhere, so that a
//! few bytes can stand for any amount of memory: what is read is counted, and may be no more than a
//! multiple of the file's length. Depth is bounded by the parsers.

use std::cell::Cell;
use std::fmt;

use flagstaff_eval::Value;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::{Map, Number};

use super::read::FlagsFileError;

/// What may be read of a file however short it is, in bytes as they are counted here.
const ALLOWANCE: usize = 32 << 20;
/// What may be read for each byte of a file: a list of single digits takes as much.
const FOR_EACH_BYTE: usize = 32;
/// What one value counts, besides its text.
const VALUE: usize = 64;

/// What stands in a file of flags: the three collections, in the order of the file. A key that is there
/// twice is here twice.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct FlagsDocument {
    /// Flags by key, as JSON.
    pub flags: Vec<(String, Value)>,
    /// Values by flag key.
    pub flag_values: Vec<(String, Value)>,
    /// Segments by key, as JSON.
    pub segments: Vec<(String, Value)>,
}

/// What a file is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    #[cfg(feature = "yaml")]
    Yaml,
}

impl Format {
    /// By the first character that is no white space.
    pub(super) fn of(text: &str) -> Result<Self, FlagsFileError> {
        let text = text.trim_start();
        if text.is_empty() {
            return Err(FlagsFileError::Invalid { message: "it is empty".to_owned() });
        }
        if text.starts_with('{') {
            return Ok(Format::Json);
        }
        #[cfg(feature = "yaml")]
        return Ok(Format::Yaml);
        #[cfg(not(feature = "yaml"))]
        return Err(FlagsFileError::NoYaml);
    }

    /// Reads a file; the error says where it cannot be read.
    pub(super) fn read(self, text: &str) -> Result<FlagsDocument, String> {
        let reading = Reading {
            left: Cell::new(text.len().saturating_mul(FOR_EACH_BYTE).saturating_add(ALLOWANCE)),
            merges: self != Format::Json,
        };
        match self {
            Format::Json => {
                let mut json = serde_json::Deserializer::from_str(text);
                let document = DocumentSeed(&reading).deserialize(&mut json);
                let document = document.and_then(|document| json.end().map(|()| document));
                document.map_err(|error| error.to_string())
            }
            #[cfg(feature = "yaml")]
            Format::Yaml => {
                let yaml = serde_yaml_ng::Deserializer::from_str(text);
                DocumentSeed(&reading).deserialize(yaml).map_err(|error| error.to_string())
            }
        }
    }

    /// Reads a file that [`Format::read`] could read, as something else.
    pub(super) fn read_as<T: DeserializeOwned>(self, text: &str) -> Result<T, String> {
        match self {
            Format::Json => serde_json::from_str(text).map_err(|error| error.to_string()),
            #[cfg(feature = "yaml")]
            Format::Yaml => serde_yaml_ng::from_str(text).map_err(|error| error.to_string()),
        }
    }
}

/// One file being read.
struct Reading {
    /// How much may still be read.
    left: Cell<usize>,
    /// Whether `<<` puts another map's entries in, as it does in YAML.
    merges: bool,
}

impl Reading {
    fn count<E: Error>(&self, text: &str) -> Result<(), E> {
        match self.left.get().checked_sub(VALUE + text.len()) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(E::custom("aliases repeat more than there is room for")),
        }
    }
}

struct DocumentSeed<'r>(&'r Reading);

impl<'de> DeserializeSeed<'de> for DocumentSeed<'_> {
    type Value = FlagsDocument;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<FlagsDocument, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for DocumentSeed<'_> {
    type Value = FlagsDocument;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object with `flags`, `flagValues` and `segments`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FlagsDocument, A::Error> {
        let mut document = FlagsDocument::default();
        while let Some(name) = map.next_key_seed(KeySeed(self.0))? {
            let collection = match name.as_str() {
                "flags" => &mut document.flags,
                "flagValues" => &mut document.flag_values,
                "segments" => &mut document.segments,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            collection.extend(map.next_value_seed(CollectionSeed(self.0))?);
        }
        Ok(document)
    }
}

/// Items by key, in their order, each as often as it is there.
struct CollectionSeed<'r>(&'r Reading);

impl<'de> DeserializeSeed<'de> for CollectionSeed<'_> {
    type Value = Vec<(String, Value)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for CollectionSeed<'_> {
    type Value = Vec<(String, Value)>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of items by key")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(key) = map.next_key_seed(KeySeed(self.0))? {
            items.push((key, map.next_value_seed(ValueSeed(self.0))?));
        }
        Ok(items)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }
}

/// A key; in YAML it may look like a number.
struct KeySeed<'r>(&'r Reading);

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        let reading = self.0;
        let key = deserializer.deserialize_any(self)?;
        reading.count(&key)?;
        Ok(key)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = String;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<String, E> {
        Ok(key.to_owned())
    }

    fn visit_string<E>(self, key: String) -> Result<String, E> {
        Ok(key)
    }

    fn visit_bool<E>(self, key: bool) -> Result<String, E> {
        Ok(key.to_string())
    }

    fn visit_i64<E>(self, key: i64) -> Result<String, E> {
        Ok(key.to_string())
    }

    fn visit_u64<E>(self, key: u64) -> Result<String, E> {
        Ok(key.to_string())
    }

    fn visit_f64<E>(self, key: f64) -> Result<String, E> {
        Ok(key.to_string())
    }
}

/// Any value.
struct ValueSeed<'r>(&'r Reading);

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.0.count("")?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value);
        number
            .map(Value::Number)
            .ok_or_else(|| E::custom(format!("{value} is no number that a flag can have")))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.0.count(value)?;
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        self.0.count(&value)?;
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(ValueSeed(self.0))? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let (mut values, mut merged) = (Map::new(), Vec::new());
        while let Some(key) = map.next_key_seed(KeySeed(self.0))? {
            let value = map.next_value_seed(ValueSeed(self.0))?;
            match value {
                Value::Object(entries) if self.0.merges && key == "<<" => merged.push(entries),
                Value::Array(maps) if self.0.merges && key == "<<" => {
                    for map in maps {
                        let Value::Object(entries) = map else {
                            return Err(A::Error::custom("`<<` is followed by something other than maps"));
                        };
                        merged.push(entries);
                    }
                }
                value => {
                    values.insert(key, value);
                }
            }
        }
        // What stands in the map itself counts, then what was put in first.
        for (key, value) in merged.into_iter().flatten() {
            values.entry(key).or_insert(value);
        }
        Ok(Value::Object(values))
    }
}
