//! What an environment is to SDKs at one moment. Each form is made when somebody first asks
//! for it, once, and shared by all connections.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha1::{Digest as _, Sha1};

use super::transfer::WhyEverything;
use super::{Item, Moment};

/// What an environment is to SDKs at one moment.
#[derive(Debug)]
pub struct Image {
    tag: String,
    flags: Vec<(Arc<str>, Item)>,
    segments: Vec<(Arc<str>, Item)>,
    all: OnceLock<Packed>,
    all_flags: OnceLock<Packed>,
    all_segments: OnceLock<Packed>,
    /// By why everything is sent.
    transfer_streams: [OnceLock<Bytes>; 2],
    transfer_polls: [OnceLock<Arc<Packed>>; 2],
    flag_versions: OnceLock<String>,
}

/// A body, and its compressed form once somebody asked for it.
#[derive(Debug)]
pub struct Packed {
    plain: Bytes,
    gzip: OnceLock<Bytes>,
}

impl Image {
    pub(super) fn new(
        lineage: &str,
        moment: Moment,
        flags: &BTreeMap<Arc<str>, Item>,
        segments: &BTreeMap<Arc<str>, Item>,
    ) -> Self {
        let list = |items: &BTreeMap<Arc<str>, Item>| {
            items.iter().map(|(key, item)| (key.clone(), item.clone())).collect()
        };
        Self {
            tag: format!("{lineage}-{moment}"),
            flags: list(flags),
            segments: list(segments),
            all: OnceLock::new(),
            all_flags: OnceLock::new(),
            all_segments: OnceLock::new(),
            transfer_streams: Default::default(),
            transfer_polls: Default::default(),
            flag_versions: OnceLock::new(),
        }
    }

    /// Changes whenever anything does; fit for an ETag once in quotes.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// `{"flags":{…},"segments":{…}}`.
    pub fn all(&self) -> &Packed {
        self.all.get_or_init(|| {
            let mut json = Vec::with_capacity(object_size(&self.flags) + object_size(&self.segments) + 32);
            json.extend_from_slice(b"{\"flags\":");
            write_object(&mut json, &self.flags);
            json.extend_from_slice(b",\"segments\":");
            write_object(&mut json, &self.segments);
            json.push(b'}');
            Packed::new(json)
        })
    }

    /// `{KEY: flag}`.
    pub fn all_flags(&self) -> &Packed {
        self.all_flags.get_or_init(|| object(&self.flags))
    }

    /// `{KEY: segment}`.
    pub fn all_segments(&self) -> &Packed {
        self.all_segments.get_or_init(|| object(&self.segments))
    }

    /// Everything in second-generation delivery, as a stream begins.
    pub(super) fn transfer_stream(&self, why: WhyEverything, write: impl FnOnce() -> Bytes) -> Bytes {
        self.transfer_streams[why as usize].get_or_init(write).clone()
    }

    /// The same as the answer to a poll.
    pub(super) fn transfer_poll(
        &self,
        why: WhyEverything,
        write: impl FnOnce() -> Arc<Packed>,
    ) -> Arc<Packed> {
        self.transfer_polls[why as usize].get_or_init(write).clone()
    }

    pub(super) fn transfer_stream_if_written(&self, why: WhyEverything) -> Option<Bytes> {
        self.transfer_streams[why as usize].get().cloned()
    }

    pub(super) fn transfer_poll_if_written(&self, why: WhyEverything) -> Option<Arc<Packed>> {
        self.transfer_polls[why as usize].get().cloned()
    }

    pub(super) fn flags(&self) -> &[(Arc<str>, Item)] {
        &self.flags
    }

    pub(super) fn segments(&self) -> &[(Arc<str>, Item)] {
        &self.segments
    }

    /// One flag and its version.
    pub fn flag(&self, key: &str) -> Option<(u64, Bytes)> {
        find(&self.flags, key)
    }

    /// A sum of every flag's key and version, as the PHP SDK's tags have it: 15 hex digits.
    pub fn flag_versions(&self) -> &str {
        self.flag_versions.get_or_init(|| {
            let mut sum = Sha1::new();
            for (key, item) in &self.flags {
                sum.update(format!("{key}:{}", item.version));
            }
            let mut digits: String = sum.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
            digits.truncate(15);
            digits
        })
    }

    /// One segment and its version.
    pub fn segment(&self, key: &str) -> Option<(u64, Bytes)> {
        find(&self.segments, key)
    }
}

impl Packed {
    pub(super) fn new(plain: Vec<u8>) -> Self {
        Self { plain: plain.into(), gzip: OnceLock::new() }
    }

    /// As it is.
    pub fn plain(&self) -> Bytes {
        self.plain.clone()
    }

    /// Compressed, if somebody asked before.
    pub fn gzip_if_done(&self) -> Option<Bytes> {
        self.gzip.get().cloned()
    }

    /// Compressed. The first call takes its time: off the async threads, for a large body.
    pub fn gzip(&self) -> Bytes {
        let compress = || {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            let written = encoder.write_all(&self.plain).and_then(|()| encoder.finish());
            written.unwrap_or_else(|error| unreachable!("memory takes every byte: {error}")).into()
        };
        self.gzip.get_or_init(compress).clone()
    }
}

fn find(items: &[(Arc<str>, Item)], key: &str) -> Option<(u64, Bytes)> {
    let place = items.binary_search_by(|(known, _)| known.as_ref().cmp(key)).ok()?;
    let item = &items[place].1;
    Some((item.version, item.json.clone()))
}

fn object(items: &[(Arc<str>, Item)]) -> Packed {
    let mut json = Vec::with_capacity(object_size(items));
    write_object(&mut json, items);
    Packed::new(json)
}

fn object_size(items: &[(Arc<str>, Item)]) -> usize {
    items.iter().map(|(key, item)| key.len() + item.json.len() + 8).sum::<usize>() + 2
}

fn write_object(json: &mut Vec<u8>, items: &[(Arc<str>, Item)]) {
    json.push(b'{');
    for (place, (key, item)) in items.iter().enumerate() {
        if place > 0 {
            json.push(b',');
        }
        json.extend_from_slice(serde_json::Value::from(key.as_ref()).to_string().as_bytes());
        json.push(b':');
        json.extend_from_slice(&item.json);
    }
    json.push(b'}');
}
