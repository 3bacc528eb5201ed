//! Everything of one environment, as it travels.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use super::{Flag, Segment, read};

read::from_objects_only!(FlagData);

/// All flags and segments of one environment, each under its key, in the order of the document.
/// A missing or null collection is empty.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(remote = "Self")]
pub struct FlagData {
    /// The flags.
    #[serde(default, deserialize_with = "in_order")]
    pub flags: Vec<(String, Flag)>,
    /// The segments.
    #[serde(default, deserialize_with = "in_order")]
    pub segments: Vec<(String, Segment)>,
}

fn in_order<'de, D, T>(deserializer: D) -> Result<Vec<(String, T)>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Entries<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
        type Value = Vec<(String, T)>;

        fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
            formatter.write_str("an object of items by key")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut entries = Vec::with_capacity(map.size_hint().unwrap_or(0));
            while let Some(entry) = map.next_entry()? {
                entries.push(entry);
            }
            Ok(entries)
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }

        fn visit_none<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }

        fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
            deserializer.deserialize_any(self)
        }
    }

    deserializer.deserialize_any(Entries(PhantomData))
}
