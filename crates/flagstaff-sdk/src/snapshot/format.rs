//! What a snapshot looks like.
//!
//! ```json
//! {"snapshot":{"version":1,"writtenAt":1700000000000,"sdkKeyHash":"…","checksum":"…"},
//! "flags":{
//! "checkout":{"key":"checkout","version":7}
//! },
//! "segments":{
//! }}
//! ```
//!
//! One JSON document, flags and segments as they came, which the file data source reads too. The first
//! line is about the snapshot itself. Its checksum, SHA-256, is of everything else: of what stands before
//! it, and of all that follows its line.

use std::any::Any;
use std::fmt::Write as _;
use std::io::{self, Seek, SeekFrom, Write};
use std::thread::{self, ScopedJoinHandle};

use flagstaff_eval::DataSet;
use flagstaff_wire::full_data::{FullData, ItemTexts, read_json};
use flagstaff_wire::stream::ItemKind;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::config::Config;
use crate::data_store::StoredItem;

/// The version of the format that is written and read.
const VERSION: u32 = 1;
/// How the first line ends: the checksum, in so many digits, and this.
const CHECKSUM_DIGITS: usize = 64;
const LINE_END: &str = "\"},\n";

/// What the first line says, but for the checksum.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Header {
    pub(super) version: u32,
    /// Unix milliseconds.
    pub(super) written_at: u64,
    #[serde(flatten)]
    pub(super) of: Origin,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) environment_id: Option<String>,
    /// What second-generation delivery calls this data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) selector: Option<String>,
}

/// Whose flags they are: those of another environment are not to be served.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Origin {
    /// SHA-256, so that the key itself stands in no file.
    sdk_key_hash: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload_filter: Option<String>,
}

impl Origin {
    pub(super) fn of(config: &Config) -> Self {
        let sdk_key_hash = hexadecimal(Sha256::new_with_prefix(config.sdk_key.as_bytes()));
        Self { sdk_key_hash, payload_filter: config.payload_filters() }
    }
}

impl Header {
    pub(super) fn new(of: Origin, written_at: u64) -> Self {
        Self { version: VERSION, written_at, of, environment_id: None, selector: None }
    }
}

/// Why a snapshot is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("it is no snapshot, or is damaged")]
    Damaged,
    #[error("it is of format version {version}, and this program reads {VERSION}")]
    OtherVersion { version: u32 },
    #[error("it is of another environment, or of another payload filter")]
    OtherOrigin,
    #[error("its flags cannot be read: {0}")]
    BadFlags(#[from] serde_json::Error),
}

/// A snapshot as it was read.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) header: Header,
    pub(super) data: DataSet,
    pub(super) texts: Vec<StoredItem>,
}

/// Reads a snapshot, if it is whole and of this origin.
pub(super) fn read(bytes: &[u8], of: &Origin) -> Result<Snapshot, Unusable> {
    let line_end = bytes.iter().position(|byte| *byte == b'\n').ok_or(Unusable::Damaged)? + 1;
    let (line, rest) = bytes.split_at(line_end);
    let about = line.strip_suffix(LINE_END.as_bytes()).ok_or(Unusable::Damaged)?;
    let (before, checksum) =
        about.split_at_checked(about.len().saturating_sub(CHECKSUM_DIGITS)).ok_or(Unusable::Damaged)?;
    let header = header(before).ok_or(Unusable::Damaged)?;
    if header.version != VERSION {
        return Err(Unusable::OtherVersion { version: header.version });
    }
    if header.of != *of {
        return Err(Unusable::OtherOrigin);
    }
    let is_whole = || hexadecimal(Sha256::new_with_prefix(before).chain_update(rest)).as_bytes() == checksum;
    // The ways through the file go side by side: a program's start waits for them.
    let (data, is_whole, texts) = thread::scope(|scope| {
        let beside = || (is_whole(), read_json::<ItemTexts<'_>>(bytes));
        let running = thread::Builder::new().spawn_scoped(scope, beside);
        let data = read_json::<FullData>(bytes);
        // Without a second thread, one after the other.
        let (is_whole, texts) = running.map_or_else(|_| Ok(beside()), ScopedJoinHandle::join)?;
        Ok::<_, Box<dyn Any + Send>>((data, is_whole, texts))
    })
    .map_err(|_| Unusable::Damaged)?;
    if !is_whole {
        return Err(Unusable::Damaged);
    }
    let (data, texts) = (data?, texts?);
    let texts = StoredItem::all(&texts.0, &data.0);
    Ok(Snapshot { header, data: data.0, texts })
}

/// What stands before the checksum.
fn header(before: &[u8]) -> Option<Header> {
    let json = before.strip_prefix(b"{\"snapshot\":")?.strip_suffix(b",\"checksum\":\"")?;
    serde_json::from_slice(&[json, b"}"].concat()).ok()
}

/// Writes a snapshot.
pub(super) fn write(to: &mut (impl Write + Seek), header: &Header, items: &[StoredItem]) -> io::Result<()> {
    let mut before = b"{\"snapshot\":".to_vec();
    serde_json::to_writer(&mut before, header)?;
    // The checksum is one more property.
    before.pop();
    before.extend_from_slice(b",\"checksum\":\"");
    to.write_all(&before)?;
    to.write_all(&[b'0'; CHECKSUM_DIGITS])?;
    to.write_all(LINE_END.as_bytes())?;
    let mut summed = Summed { to, sum: Sha256::new_with_prefix(&before) };
    for (name, kind, end) in
        [("\"flags\":{", ItemKind::Flag, "\n},\n"), ("\"segments\":{", ItemKind::Segment, "\n}}\n")]
    {
        summed.write_all(name.as_bytes())?;
        let mut between = "\n";
        for item in items.iter().filter(|item| item.kind == kind) {
            summed.write_all(between.as_bytes())?;
            serde_json::to_writer(&mut summed, &*item.key)?;
            summed.write_all(b":")?;
            summed.write_all(item.json.as_bytes())?;
            between = ",\n";
        }
        summed.write_all(end.as_bytes())?;
    }
    let Summed { to, sum } = summed;
    to.seek(SeekFrom::Start(before.len() as u64))?;
    to.write_all(hexadecimal(sum).as_bytes())?;
    to.flush()
}

/// Passes on what is written, and adds it up.
struct Summed<'w, W> {
    to: &'w mut W,
    sum: Sha256,
}

impl<W: Write> Write for Summed<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.sum.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

fn hexadecimal(sum: Sha256) -> String {
    sum.finalize().iter().fold(String::with_capacity(CHECKSUM_DIGITS), |mut text, byte| {
        // Text can always be written to.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use serde_json::json;

    use super::*;

    fn origin(key: &str) -> Origin {
        Origin::of(&Config::new(key))
    }

    fn item(kind: ItemKind, key: &str, version: u64) -> StoredItem {
        let json = json!({"key": key, "version": version, "unknown": "\n"}).to_string();
        StoredItem { kind, key: key.into(), version, json: json.into() }
    }

    fn written(items: &[StoredItem]) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let mut header = Header::new(origin("key"), 1);
        header.selector = Some("(p:1)".to_owned());
        write(&mut bytes, &header, items).unwrap();
        bytes.into_inner()
    }

    fn some_items() -> Vec<StoredItem> {
        vec![
            item(ItemKind::Segment, "s", 1),
            item(ItemKind::Flag, "a \"quoted\" key", 2),
            item(ItemKind::Flag, "b", 3),
            StoredItem::tombstone(ItemKind::Flag, "gone", 4),
        ]
    }

    #[test]
    fn what_is_written_is_one_json_document_and_is_read_again() {
        for items in [some_items(), Vec::new()] {
            let bytes = written(&items);
            let json: serde_json::Value = serde_json::from_slice(&bytes).expect("it is JSON");
            assert_eq!(json["snapshot"]["version"], 1);
            let snapshot = read(&bytes, &origin("key")).unwrap();
            assert_eq!(snapshot.header.selector.as_deref(), Some("(p:1)"));
            let (mut expected, mut found) = (items, snapshot.texts);
            for items in [&mut expected, &mut found] {
                items.sort_by(|a, b| a.key.cmp(&b.key));
            }
            assert_eq!(found, expected);
        }
        let data = read(&written(&some_items()), &origin("key")).unwrap().data;
        assert_eq!(data.flag_version("b"), Some(3));
        assert!(data.flag("gone").is_none() && data.flag_version("gone") == Some(4));
    }

    #[test]
    fn what_is_damaged_in_any_place_is_not_used() {
        let whole = written(&some_items());
        for place in 0..whole.len() {
            assert!(read(&whole[..place], &origin("key")).is_err(), "cut at {place}");
            for bit in 0..8 {
                let mut damaged = whole.clone();
                damaged[place] ^= 1 << bit;
                assert!(read(&damaged, &origin("key")).is_err(), "bit {bit} of byte {place}");
            }
        }
        let longer = [whole.as_slice(), b" "].concat();
        assert!(read(&longer, &origin("key")).is_err());
        assert!(read(&whole, &origin("key")).is_ok());
    }

    #[test]
    fn what_is_of_another_environment_or_filter_or_version_is_not_used() {
        let whole = written(&some_items());
        assert!(matches!(read(&whole, &origin("other")), Err(Unusable::OtherOrigin)));
        let filtered = Origin::of(&Config::new("key").payload_filter("half"));
        assert!(matches!(read(&whole, &filtered), Err(Unusable::OtherOrigin)));
        let newer = String::from_utf8(whole).unwrap().replacen("\"version\":1", "\"version\":2", 1);
        let newer = read(newer.as_bytes(), &origin("key"));
        assert!(matches!(newer, Err(Unusable::OtherVersion { version: 2 })), "{newer:?}");
    }

    #[test]
    fn keys_do_not_stand_in_the_file() {
        let text = String::from_utf8(written(&some_items())).unwrap();
        assert!(!text.lines().next().unwrap().contains("\"key\""), "{text}");
    }
}
