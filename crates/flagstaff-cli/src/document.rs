//! The file that `export` writes and `import` and `evaluate` read: where it comes from.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use flagstaff_eval::model::FlagData;
use flagstaff_sdk::read_flags_file;
use flagstaff_service::management::transfer::Document;
use flagstaff_service::management::transfer::document::{Items, Section};
use serde::Deserialize;

use crate::Failure;

/// The longest file that is read, in bytes.
const LONGEST: u64 = 256 << 20;

/// Reads a file: one of ours, or any that the SDK's file source reads, in JSON or YAML. `-` is standard input.
pub(crate) fn read(path: &Path) -> Result<Document, Failure> {
    let shown =
        if path == Path::new("-") { "standard input".to_owned() } else { format!("`{}`", path.display()) };
    let failed = |why: String| format!("could not read {shown}: {why}");
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(LONGEST + 1).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| failed(error.to_string()))?;
    if bytes.len() as u64 > LONGEST {
        return Err(failed(format!("it is longer than {LONGEST} bytes, which no export is")));
    }
    parse(&bytes).map_err(failed)
}

/// Whatever the SDK's file source reads, and the section of ours, if there is one.
fn parse(bytes: &[u8]) -> Result<Document, Failure> {
    #[derive(Default, Deserialize)]
    struct Ours {
        #[serde(default)]
        flagstaff: Option<Section>,
    }

    let data = read_flags_file(bytes).map_err(|error| error.to_string())?;
    // We write JSON alone.
    let is_json = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start().starts_with(b"{");
    let ours: Ours = if is_json {
        let bare = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        serde_json::from_slice(bare).map_err(|error| format!("its part `flagstaff` is not right: {error}"))?
    } else {
        Ours::default()
    };
    Ok(Document { data: items(data), section: ours.flagstaff })
}

/// Flags and segments by key, as they are.
pub(crate) fn items(data: FlagData) -> Items {
    Items { flags: data.flags.into_iter().collect(), segments: data.segments.into_iter().collect() }
}

/// The other way.
pub(crate) fn data(items: Items) -> FlagData {
    FlagData { flags: items.flags.into_iter().collect(), segments: items.segments.into_iter().collect() }
}
