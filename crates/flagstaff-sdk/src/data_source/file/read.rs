//! The flags and segments in one file, or in several.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flagstaff_eval::Value;
use flagstaff_eval::model::{Flag, FlagData, Segment, VariationOrRollout};
use flagstaff_wire::sse::DEFAULT_LIMIT;
use serde::de::DeserializeOwned;

use super::DuplicateKeys;
use super::document::{FlagsDocument, Format};

/// Files longer than this are not read.
const LONGEST: usize = DEFAULT_LIMIT;

/// Reads the flags and segments of a file, as [`FileDataSource`](crate::FileDataSource) does: JSON if the
/// first character that is no white space is `{`, else YAML. Versions that are missing are 1.
///
/// # Errors
/// If the file cannot be read, or something stands in it twice.
pub fn read_flags_file(bytes: &[u8]) -> Result<FlagData, FlagsFileError> {
    let mut collector = Collector::new(DuplicateKeys::Fail);
    collector.add(bytes)?;
    let items = collector.items;
    let flags = items.flags.into_iter().map(|(key, stated)| (key, stated.or_first()));
    let segments = items.segments.into_iter().map(|(key, stated)| (key, stated.or_first()));
    Ok(FlagData { flags: flags.collect(), segments: segments.collect() })
}

/// Reads what stands in a file, and nothing into it: for whoever makes flags of it in another way than
/// [`read_flags_file`].
///
/// # Errors
/// If the file is not JSON or YAML with such collections. What stands in these is not looked at.
pub fn read_flags_document(bytes: &[u8]) -> Result<FlagsDocument, FlagsFileError> {
    let (text, format) = text_of(bytes)?;
    document_in(text, format)
}

fn text_of(bytes: &[u8]) -> Result<(&str, Format), FlagsFileError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes)
        .map_err(|error| FlagsFileError::Invalid { message: format!("it is not UTF-8: {error}") })?;
    Ok((text, Format::of(text)?))
}

fn document_in(text: &str, format: Format) -> Result<FlagsDocument, FlagsFileError> {
    format.read(text).map_err(|message| FlagsFileError::Invalid { message })
}

/// A file of flags cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FlagsFileError {
    /// It is not JSON or YAML of that shape. The message says where.
    #[error("{message}")]
    Invalid {
        /// What is wrong with it, and where.
        message: String,
    },
    /// The same key stands in it twice.
    #[error("{kind} `{key}` is there twice")]
    Duplicate {
        /// `flag` or `segment`.
        kind: &'static str,
        /// The key.
        key: String,
    },
    /// It is YAML, which this program was built without.
    #[error(
        "it does not begin with `{{`, so it is no JSON, and YAML needs the feature `yaml` of flagstaff-sdk"
    )]
    NoYaml,
}

/// As [`FlagsFileError`], of a file with a name.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error("`{}`: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("`{}`: {error}", path.display())]
    Flags { path: PathBuf, error: FlagsFileError },
}

/// An item as it stands in a file.
#[derive(Debug)]
pub(super) struct Stated<T> {
    pub(super) item: T,
    /// Whether its version stands there too.
    pub(super) has_version: bool,
}

/// What stands in files.
#[derive(Debug, Default)]
pub(super) struct Items {
    pub(super) flags: Vec<(String, Stated<Flag>)>,
    pub(super) segments: Vec<(String, Stated<Segment>)>,
}

/// Reads files in order.
pub(super) fn read_files(paths: &[PathBuf], duplicate_keys: DuplicateKeys) -> Result<Items, FileError> {
    let mut collector = Collector::new(duplicate_keys);
    for path in paths {
        let bytes = read_file(path).map_err(|error| FileError::Io { path: path.clone(), error })?;
        collector.add(&bytes).map_err(|error| FileError::Flags { path: path.clone(), error })?;
    }
    Ok(collector.items)
}

/// Reads a whole file, if it is one and not too long.
pub(crate) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    // Asked before it is opened: opening a pipe waits for whoever writes.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(LONGEST as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > LONGEST {
        return Err(io::Error::other(format!("it is longer than {LONGEST} bytes")));
    }
    Ok(bytes)
}

/// Collects what stands in files.
struct Collector {
    duplicate_keys: DuplicateKeys,
    items: Items,
    flag_keys: HashSet<String>,
    segment_keys: HashSet<String>,
}

impl Collector {
    fn new(duplicate_keys: DuplicateKeys) -> Self {
        let (flag_keys, segment_keys) = (HashSet::new(), HashSet::new());
        Self { duplicate_keys, items: Items::default(), flag_keys, segment_keys }
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), FlagsFileError> {
        let (text, format) = text_of(bytes)?;
        let FlagsDocument { flags, flag_values, segments } = document_in(text, format)?;
        for (key, json) in flags {
            if self.is_new("flag", &key)? {
                let mut stated: Stated<Flag> = stated(json, text, format, ("flag", &key))?;
                if stated.item.key.is_empty() {
                    stated.item.key.clone_from(&key);
                }
                self.items.flags.push((key, stated));
            }
        }
        for (key, value) in flag_values {
            if self.is_new("flag", &key)? {
                let stated = Stated { item: serving(&key, value), has_version: false };
                self.items.flags.push((key, stated));
            }
        }
        for (key, json) in segments {
            if self.is_new("segment", &key)? {
                let mut stated: Stated<Segment> = stated(json, text, format, ("segment", &key))?;
                if stated.item.key.is_empty() {
                    stated.item.key.clone_from(&key);
                }
                self.items.segments.push((key, stated));
            }
        }
        Ok(())
    }

    fn is_new(&mut self, kind: &'static str, key: &str) -> Result<bool, FlagsFileError> {
        let keys = if kind == "flag" { &mut self.flag_keys } else { &mut self.segment_keys };
        if keys.insert(key.to_owned()) {
            return Ok(true);
        }
        match self.duplicate_keys {
            DuplicateKeys::Ignore => Ok(false),
            DuplicateKeys::Fail => Err(FlagsFileError::Duplicate { kind, key: key.to_owned() }),
        }
    }
}

/// An item from its JSON. If it is none, the text is read once more, to say where.
fn stated<T: DeserializeOwned>(
    json: Value,
    text: &str,
    format: Format,
    (kind, key): (&str, &str),
) -> Result<Stated<T>, FlagsFileError> {
    let has_version = json.get("version").is_some_and(|version| !version.is_null());
    match serde_json::from_value(json) {
        Ok(item) => Ok(Stated { item, has_version }),
        Err(error) => {
            let message = match format.read_as::<FlagData>(text) {
                Err(placed) => format!("{kind} `{key}`: {placed}"),
                Ok(_) => format!("{kind} `{key}`: {error}"),
            };
            Err(FlagsFileError::Invalid { message })
        }
    }
}

/// A flag that serves this value to everybody.
fn serving(key: &str, value: Value) -> Flag {
    Flag {
        key: key.to_owned(),
        on: true,
        fallthrough: VariationOrRollout { variation: Some(0), ..VariationOrRollout::default() },
        variations: vec![value],
        ..Flag::default()
    }
}

impl<T: super::versions::Versioned> Stated<T> {
    /// The item, with version 1 if none is stated.
    fn or_first(mut self) -> T {
        if !self.has_version {
            *self.item.version() = 1;
        }
        self.item
    }
}
