//! The file that `export` writes and `import` and `evaluate` read: where it comes from.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use flagstaff_eval::model::FlagData;
use flagstaff_relay::archive;
use flagstaff_sdk::read_flags_file;
use flagstaff_service::error::chain;
use flagstaff_service::management::transfer::Document;
use flagstaff_service::management::transfer::document::{EnvironmentPart, FORMAT, Items, KeysPart, Section};
use serde::Deserialize;

use crate::Failure;

/// The longest file that is read, in bytes.
const LONGEST: u64 = 256 << 20;

/// Reads a file: one of ours, an archive, or any that the SDK's file source reads, in JSON or YAML. `-` is standard
/// input. The keys that stand in an archive are left there unless they are wanted.
pub(crate) fn read(path: &Path, with_keys: bool) -> Result<Document, Failure> {
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
    if is_archive(&bytes) {
        if path == Path::new("-") {
            return Err("an archive is read from a file, not from standard input; name the file".to_owned());
        }
        let contents = archive::read(path).map_err(|error| chain(&error))?;
        return from_archive(contents, with_keys).map_err(failed);
    }
    parse(&bytes).map_err(failed)
}

/// A tar, or something compressed, which is never one of the other files.
fn is_archive(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b]) || bytes.get(257..262) == Some(b"ustar".as_slice())
}

/// The environments of an archive, each where it came from.
fn from_archive(contents: archive::Contents, with_keys: bool) -> Result<Document, Failure> {
    let mut section = Section { format: FORMAT, is_partial: true, ..Section::default() };
    for archived in contents.into_values() {
        let environment = archived.environment;
        let data: FlagData = serde_json::from_slice(&archived.data).map_err(|error| {
            format!(
                "the flags of `{}/{}` cannot be understood: {error}",
                environment.project_key, environment.key
            )
        })?;
        let keys = KeysPart {
            sdk_key: environment.sdk_key.value,
            mobile_key: environment.mobile_key,
            client_side_id: environment.id,
        };
        let part = EnvironmentPart {
            key: environment.key,
            name: environment.name,
            default_ttl: environment.default_ttl,
            secure_mode: environment.secure_mode,
            keys: with_keys.then_some(keys),
            data: Some(items(data)),
            ..EnvironmentPart::default()
        };
        let project = section.projects.entry(environment.project_key).or_default();
        project.name = environment.project_name;
        project.environments.push(part);
    }
    Ok(Document { data: Items::default(), section: Some(section) })
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
