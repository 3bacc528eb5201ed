//! A full data set as it is read: each flag is made ready as soon as it has been read, so that the
//! JSON model of thousands of flags never stands in memory beside what is made of it.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use flagstaff_eval::model::{FlagToPrepare, SegmentToPrepare};
use flagstaff_eval::{DataSet, Entry, PreparedFlag, PreparedSegment};
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::stream::ItemKind;

/// Reads `{"flags":{…},"segments":{…}}`: the data of a `put`, the body of a poll. A collection that
/// is missing or null is empty.
#[derive(Clone, Debug, Default)]
pub struct FullData(pub DataSet);

impl<'de> Deserialize<'de> for FullData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FullDataVisitor)
    }
}

/// Reads JSON, a large document faster than piece by piece: that it is UTF-8 is checked once, and not
/// again for each text in it.
///
/// # Errors
/// If it is not JSON, or JSON of another shape.
pub fn read_json<'de, T: Deserialize<'de>>(json: &'de [u8]) -> Result<T, serde_json::Error> {
    match std::str::from_utf8(json) {
        Ok(text) => serde_json::from_str(text),
        // Says where, unless it stands in a text that is passed over: that is not looked at closely.
        Err(error) => serde_json::from_slice::<T>(json).and(Err(serde_json::Error::custom(error))),
    }
}

/// An item as it came: for whoever passes it on whole, fields and all that this version does not know.
#[derive(Clone, Debug)]
pub struct ItemText<'a> {
    /// Flag or segment.
    pub kind: ItemKind,
    /// The key under which it stands.
    pub key: Cow<'a, str>,
    /// Its JSON.
    pub json: &'a RawValue,
}

/// The texts in `{"flags":{…},"segments":{…}}`, which [`FullData`] reads too.
#[derive(Clone, Debug, Default)]
pub struct ItemTexts<'a>(pub Vec<ItemText<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for ItemTexts<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        struct Collections<'a> {
            #[serde(borrow, default)]
            flags: Option<Texts<'a>>,
            #[serde(borrow, default)]
            segments: Option<Texts<'a>>,
        }
        let Collections { flags, segments } = Collections::deserialize(deserializer)?;
        let of_kind = |kind, texts: Option<Texts<'a>>| {
            let texts = texts.unwrap_or_default().0.into_iter();
            texts.map(move |(key, json)| ItemText { kind, key, json })
        };
        Ok(Self(of_kind(ItemKind::Segment, segments).chain(of_kind(ItemKind::Flag, flags)).collect()))
    }
}

/// The key of an item, borrowed where nothing in it is escaped.
#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// The texts of one collection.
#[derive(Default)]
struct Texts<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Texts<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextsVisitor;

        impl<'de> Visitor<'de> for TextsVisitor {
            type Value = Texts<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("an object of items by key")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Texts<'de>, A::Error> {
                let mut texts = Vec::new();
                while let Some((Key(key), json)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    texts.push((key, json));
                }
                Ok(Texts(texts))
            }
        }

        deserializer.deserialize_map(TextsVisitor).map(|texts: Texts<'de>| texts)
    }
}

/// As [`read_json`], of an object. What `serde` derives would also take an array of the properties'
/// values for it.
pub(crate) fn read_object<'de, T: Deserialize<'de>>(json: &'de [u8]) -> Result<T, serde_json::Error> {
    let first = json.iter().find(|byte| !byte.is_ascii_whitespace());
    if first.is_some_and(|first| *first != b'{') {
        return Err(serde_json::Error::custom("it is not an object"));
    }
    read_json(json)
}

struct FullDataVisitor;

impl<'de> Visitor<'de> for FullDataVisitor {
    type Value = FullData;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("an object with `flags` and `segments`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FullData, A::Error> {
        let mut flags: Option<Vec<Entry<PreparedFlag>>> = None;
        let mut segments: Option<Vec<Entry<PreparedSegment>>> = None;
        while let Some(name) = map.next_key::<Name>()? {
            match name {
                // Whichever of two were taken, a reader of the texts might take the other.
                Name::Flags if flags.is_some() => return Err(A::Error::duplicate_field("flags")),
                Name::Segments if segments.is_some() => return Err(A::Error::duplicate_field("segments")),
                Name::Flags => flags = Some(map.next_value::<Entries<FlagToPrepare>>()?.0),
                Name::Segments => segments = Some(map.next_value::<Entries<SegmentToPrepare>>()?.0),
                Name::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(FullData(DataSet::new(flags.unwrap_or_default(), segments.unwrap_or_default())))
    }
}

#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Name {
    Flags,
    Segments,
    #[serde(other)]
    Other,
}

/// An item as it travels, and what is made of it.
trait Item: DeserializeOwned {
    type Prepared;
    fn entry(self, key: &str) -> Entry<Self::Prepared>;
}

impl Item for FlagToPrepare {
    type Prepared = PreparedFlag;

    fn entry(self, key: &str) -> Entry<PreparedFlag> {
        Entry::flag_to_prepare(key, self)
    }
}

impl Item for SegmentToPrepare {
    type Prepared = PreparedSegment;

    fn entry(self, key: &str) -> Entry<PreparedSegment> {
        Entry::segment_to_prepare(key, self)
    }
}

/// The entries of a collection, each made ready once it is read.
struct Entries<T: Item>(Vec<Entry<T::Prepared>>);

impl<'de, T: Item> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EntriesVisitor(PhantomData))
    }
}

struct EntriesVisitor<T>(PhantomData<T>);

impl<'de, T: Item> Visitor<'de> for EntriesVisitor<T> {
    type Value = Entries<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("an object of items by key")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<T>, A::Error> {
        let mut entries = Vec::new();
        while let Some((Key(key), item)) = map.next_entry::<Key<'de>, T>()? {
            entries.push(item.entry(&key));
        }
        Ok(Entries(entries))
    }

    fn visit_unit<E>(self) -> Result<Entries<T>, E> {
        Ok(Entries(Vec::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<DataSet, serde_json::Error> {
        serde_json::from_str::<FullData>(json).map(|data| data.0)
    }

    #[test]
    fn items_are_addressed_by_the_key_they_stand_under() {
        let data = read(
            r#"{"x":[1],"flags":{"a":{"key":"other","version":3},"gone":{"version":4,"deleted":true}},
                "segments":{"s":{"key":"s","version":5}}}"#,
        )
        .unwrap();
        assert_eq!(data.flag("a").map(|flag| flag.version()), Some(3));
        assert_eq!((data.flag("gone").is_none(), data.flag_version("gone")), (true, Some(4)));
        assert_eq!(data.segment_version("s"), Some(5));
    }

    #[test]
    fn what_is_not_utf_8_is_refused_and_said_where() {
        let json = b"{\"flags\":{\"a\xff\":{\"version\":1}}}";
        let error = read_json::<FullData>(json).expect_err("no UTF-8");
        assert_eq!(error.line(), 1, "{error}");
        let error = read_json::<FullData>(b"{\"other\":\"\xff\"}").expect_err("no UTF-8 either");
        assert!(error.to_string().contains("index 10"), "{error}");
        assert!(read_json::<FullData>(b"{} x").is_err());
    }

    #[test]
    fn a_collection_may_be_missing_or_null_but_nothing_else() {
        for json in ["{}", r#"{"flags":null}"#, r#"{"flags":{},"segments":null}"#] {
            assert_eq!(read(json).unwrap().flags().count(), 0, "{json}");
        }
        for json in [
            "null",
            "[]",
            "3",
            r#"{"flags":[]}"#,
            r#"{"flags":{"a":1}}"#,
            r#"{"flags":{"a":[]}}"#,
            r#"{"flags":{},"flags":{}}"#,
            r#"{"flags":{},"segments":null,"segments":{}}"#,
            r#"{"flags":{"a":{"rules":[[]]}}}"#,
            r#"{"flags":{"a":{"version":"1"}}}"#,
        ] {
            assert!(read(json).is_err(), "{json}");
        }
    }
}
