//! Flags on their way to a server-side SDK: put, patch, delete, ping.
//!
//! Source: the protocol's streaming section. [`StreamMessage::read`] is the SDK's side, `write_…`
//! the service's.

use std::borrow::Cow;

use flagstaff_eval::DataSet;
use flagstaff_eval::model::{Flag, Segment};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::full_data::{FullData, ItemText, ItemTexts, read_json, read_object};
use crate::sse::write_event;

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ItemKind {
    /// A flag.
    Flag,
    /// A segment.
    Segment,
}

impl ItemKind {
    /// The path prefix of items of this kind.
    pub fn prefix(self) -> &'static str {
        match self {
            ItemKind::Flag => "/flags/",
            ItemKind::Segment => "/segments/",
        }
    }

    /// The kind and key a path names. The whole rest after the prefix is the key, as it stands.
    pub fn of_path(path: &str) -> Option<(ItemKind, &str)> {
        [ItemKind::Flag, ItemKind::Segment]
            .into_iter()
            .find_map(|kind| Some((kind, path.strip_prefix(kind.prefix())?)))
    }
}

/// A message as an SDK reads it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StreamMessage {
    /// Everything there is, made ready: replaces what was there.
    Put(Box<DataSet>),
    /// A flag, newer than the one with this key, or a tombstone.
    PatchFlag(String, Box<Flag>),
    /// A segment, newer than the one with this key, or a tombstone.
    PatchSegment(String, Box<Segment>),
    /// The item with this key was deleted.
    Delete {
        /// What it was.
        kind: ItemKind,
        /// The key it had.
        key: String,
        /// The version of the deletion.
        version: u64,
    },
    /// Something changed: ask again. Only clients of a relay see this.
    Ping,
}

/// The data of a message that is known is not what it should be: the connection cannot be trusted.
#[derive(Debug, thiserror::Error)]
#[error("the data of a `{event}` message cannot be read")]
pub struct BadMessage {
    /// The event's name.
    pub event: String,
    /// What is wrong with it.
    pub source: serde_json::Error,
}

impl StreamMessage {
    /// Reads an event. None for one that is to be passed over: an unknown name, an unknown path.
    ///
    /// # Errors
    /// If the data is not JSON, or JSON of another shape.
    pub fn read(event: &str, data: &[u8]) -> Result<Option<Self>, BadMessage> {
        let read = match event {
            "put" => put(data),
            "patch" => patch(data),
            "delete" => delete(data),
            "ping" => Ok(Some(StreamMessage::Ping)),
            _ => Ok(None),
        };
        read.map_err(|source| BadMessage { event: event.to_owned(), source })
    }
}

/// The texts of the items in an event that [`StreamMessage::read`] could read: for whoever passes them
/// on as they came. A deletion has none.
///
/// # Errors
/// If the data is not JSON, or JSON of another shape.
pub fn item_texts<'a>(event: &str, data: &'a [u8]) -> Result<Vec<ItemText<'a>>, BadMessage> {
    #[derive(Deserialize)]
    struct Put<'a> {
        #[serde(borrow)]
        data: ItemTexts<'a>,
    }
    let read = match event {
        "put" => read_json::<Put>(data).map(|put| put.data.0),
        "patch" => read_json::<Patch>(data).map(|patch| {
            let Patch { path, data: json } = patch;
            let item = ItemKind::of_path(&path).map(|(kind, key)| (kind, key.to_owned()));
            item.map(|(kind, key)| ItemText { kind, key: key.into(), json }).into_iter().collect()
        }),
        _ => Ok(Vec::new()),
    };
    read.map_err(|source| BadMessage { event: event.to_owned(), source })
}

fn put(data: &[u8]) -> Result<Option<StreamMessage>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Put {
        data: FullData,
    }
    let put: Put = read_object(data)?;
    Ok(Some(StreamMessage::Put(Box::new(put.data.0))))
}

#[derive(Deserialize)]
struct Patch<'a> {
    #[serde(borrow)]
    path: Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

fn patch(data: &[u8]) -> Result<Option<StreamMessage>, serde_json::Error> {
    let patch: Patch = read_object(data)?;
    Ok(match ItemKind::of_path(&patch.path) {
        None => None,
        Some((ItemKind::Flag, key)) => {
            Some(StreamMessage::PatchFlag(key.to_owned(), serde_json::from_str(patch.data.get())?))
        }
        Some((ItemKind::Segment, key)) => {
            Some(StreamMessage::PatchSegment(key.to_owned(), serde_json::from_str(patch.data.get())?))
        }
    })
}

fn delete(data: &[u8]) -> Result<Option<StreamMessage>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Delete<'a> {
        #[serde(borrow)]
        path: Cow<'a, str>,
        #[serde(deserialize_with = "whole_version")]
        version: u64,
    }
    let delete: Delete = read_object(data)?;
    Ok(ItemKind::of_path(&delete.path).map(|(kind, key)| StreamMessage::Delete {
        kind,
        key: key.to_owned(),
        version: delete.version,
    }))
}

/// A version, also when written `3.0`, as the versions of items may be.
pub(crate) fn whole_version<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    let whole = number.as_f64().filter(|float| float.fract() == 0.0 && (0.0..9.0e18).contains(float));
    let version = number.as_u64().or(whole.map(|float| float as u64));
    version.ok_or_else(|| serde::de::Error::custom(format_args!("{number} is not a version")))
}

/// Appends a `put` of everything.
///
/// # Errors
/// Only what serialising an item fails with.
pub fn write_put<T: Serialize>(out: &mut Vec<u8>, data: &T) -> Result<(), serde_json::Error> {
    #[derive(Serialize)]
    struct Put<'a, T> {
        path: &'static str,
        data: &'a T,
    }
    write_event(out, "put", &Put { path: "/", data })
}

/// Appends a `patch` of one item.
///
/// # Errors
/// Only what serialising the item fails with.
pub fn write_patch<T: Serialize + ?Sized>(
    out: &mut Vec<u8>,
    kind: ItemKind,
    key: &str,
    item: &T,
) -> Result<(), serde_json::Error> {
    write_patch_at(out, &format!("{}{key}", kind.prefix()), item)
}

/// Appends a `delete` of one item.
///
/// # Errors
/// Never in practice: there is nothing in it that cannot be serialised.
pub fn write_delete(
    out: &mut Vec<u8>,
    kind: ItemKind,
    key: &str,
    version: u64,
) -> Result<(), serde_json::Error> {
    write_delete_at(out, &format!("{}{key}", kind.prefix()), version)
}

/// Appends a `patch` at a path of the caller's: the stream of flags alone calls a flag `/KEY`.
///
/// # Errors
/// Only what serialising the item fails with.
pub fn write_patch_at<T: Serialize + ?Sized>(
    out: &mut Vec<u8>,
    path: &str,
    item: &T,
) -> Result<(), serde_json::Error> {
    #[derive(Serialize)]
    struct Patch<'a, T: ?Sized> {
        path: &'a str,
        data: &'a T,
    }
    write_event(out, "patch", &Patch { path, data: item })
}

/// Appends a `delete` at a path of the caller's: see [`write_patch_at`].
///
/// # Errors
/// Never in practice: there is nothing in it that cannot be serialised.
pub fn write_delete_at(out: &mut Vec<u8>, path: &str, version: u64) -> Result<(), serde_json::Error> {
    #[derive(Serialize)]
    struct Delete<'a> {
        path: &'a str,
        version: u64,
    }
    write_event(out, "delete", &Delete { path, version })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(event: &str, data: &str) -> Result<Option<StreamMessage>, BadMessage> {
        StreamMessage::read(event, data.as_bytes())
    }

    fn written(write: impl FnOnce(&mut Vec<u8>) -> Result<(), serde_json::Error>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn put_replaces_everything_and_may_leave_out_path_and_collections() {
        let Ok(Some(StreamMessage::Put(data))) =
            read("put", r#"{"data":{"flags":{"a":{"key":"a","version":1}},"x":1}}"#)
        else {
            panic!("no put")
        };
        assert_eq!((data.flags().count(), data.segments().count()), (1, 0));
        assert!(matches!(read("put", r#"{"path":"","data":{}}"#), Ok(Some(StreamMessage::Put(_)))));
    }

    #[test]
    fn the_texts_of_items_are_as_they_came() {
        let texts = |event, data: &'static str| -> Vec<(ItemKind, String, &'static str)> {
            let texts = item_texts(event, data.as_bytes()).unwrap().into_iter();
            texts.map(|text| (text.kind, text.key.into_owned(), text.json.get())).collect()
        };
        assert_eq!(
            texts(
                "put",
                r#"{"path":"/","data":{"segments":null,"flags":{"a\"b":{"version":1,"new":[1, 2]}},"x":1}}"#
            ),
            [(ItemKind::Flag, "a\"b".to_owned(), r#"{"version":1,"new":[1, 2]}"#)]
        );
        assert_eq!(
            texts("patch", r#"{"path":"/segments/s","data":{"key":"s","version":2}}"#),
            [(ItemKind::Segment, "s".to_owned(), r#"{"key":"s","version":2}"#)]
        );
        assert_eq!(texts("delete", r#"{"path":"/flags/f","version":3}"#), []);
    }

    #[test]
    fn the_whole_rest_of_a_path_is_the_key() {
        let Ok(Some(StreamMessage::PatchFlag(key, flag))) =
            read("patch", r#"{"data":{"key":"x","version":2},"path":"/flags/a/b%20c"}"#)
        else {
            panic!("no patch")
        };
        assert_eq!((key.as_str(), flag.version), ("a/b%20c", 2));
        let Ok(Some(StreamMessage::Delete { kind, key, version })) =
            read("delete", r#"{"path":"/segments/s\u00e4","version":3}"#)
        else {
            panic!("no delete")
        };
        assert_eq!((kind, key.as_str(), version), (ItemKind::Segment, "sä", 3));
    }

    #[test]
    fn a_version_may_be_written_as_a_float() {
        let Ok(Some(StreamMessage::Delete { version, .. })) =
            read("delete", r#"{"path":"/flags/a","version":3.0}"#)
        else {
            panic!("no delete")
        };
        assert_eq!(version, 3);
    }

    #[test]
    fn what_is_not_known_is_passed_over() {
        assert!(read("new-thing", "junk").unwrap().is_none());
        assert!(read("patch", r#"{"path":"/other/a","data":7}"#).unwrap().is_none());
        assert!(read("delete", r#"{"path":"/other/a","version":1}"#).unwrap().is_none());
        assert!(matches!(read("ping", ""), Ok(Some(StreamMessage::Ping))));
    }

    #[test]
    fn what_is_known_must_be_right() {
        for (event, data) in [
            ("put", "{"),
            ("put", ""),
            ("put", r#"{"path":"/"}"#),
            ("put", r#"{"data":null}"#),
            ("put", r#"{"data":{"flags":[]}}"#),
            ("put", r#"{"data":{"flags":{"a":{"key":"a","version":1,"on":"yes"}}}}"#),
            ("patch", r#"{"data":{"key":"a","version":1}}"#),
            ("patch", r#"{"path":"/flags/a"}"#),
            ("patch", r#"{"path":"/flags/a","data":3}"#),
            ("patch", r#"{"path":"/flags/a","data":[]}"#),
            ("patch", r#"["/flags/a",{"version":1}]"#),
            ("delete", r#"["/flags/a",1]"#),
            ("put", r#"[{"flags":{}}]"#),
            ("delete", r#"{"path":"/flags/a"}"#),
            ("delete", r#"{"version":1}"#),
            ("delete", r#"{"path":"/flags/a","version":1.5}"#),
            ("delete", r#"{"path":"/flags/a","version":-1}"#),
            ("delete", r#"{"path":"/flags/a","version":null}"#),
        ] {
            assert!(read(event, data).is_err(), "{event} {data}");
        }
    }

    #[test]
    fn messages_have_the_wire_form() {
        let flag = serde_json::json!({"key": "a", "version": 1});
        let data = serde_json::json!({"flags": {"a": flag}, "segments": {}});
        assert_eq!(
            written(|out| write_put(out, &data)),
            "event: put\ndata: {\"path\":\"/\",\"data\":{\"flags\":{\"a\":{\"key\":\"a\",\"version\":1}},\"segments\":{}}}\n\n"
        );
        assert_eq!(
            written(|out| write_patch(out, ItemKind::Flag, "a", &flag)),
            "event: patch\ndata: {\"path\":\"/flags/a\",\"data\":{\"key\":\"a\",\"version\":1}}\n\n"
        );
        assert_eq!(
            written(|out| write_delete(out, ItemKind::Segment, "s\"", 4)),
            "event: delete\ndata: {\"path\":\"/segments/s\\\"\",\"version\":4}\n\n"
        );
    }
}
