//! Who is in segments that are too large to be sent, on the way to those who copy it into a database that
//! SDKs ask.
//!
//! Source: the protocol's *Big segment synchronisation* and *Big segment stores*. Contexts are known by the
//! hash of their key, whatever their kind.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest as _, Sha256};

/// What stands for a context: the SHA-256 of its key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContextHash([u8; 32]);

impl ContextHash {
    /// Of this key.
    pub fn of(context_key: &str) -> Self {
        Self(Sha256::digest(context_key).into())
    }

    /// As it is written, in base64; none if it is anything else.
    pub fn from_base64(text: &str) -> Option<Self> {
        STANDARD.decode(text).ok().and_then(|bytes| Self::from_bytes(&bytes))
    }

    /// The hash itself; none if there are not as many bytes as it has.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The hash itself.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// As it is written: in base64.
impl fmt::Display for ContextHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        STANDARD.encode(self.0).fmt(formatter)
    }
}

impl fmt::Debug for ContextHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// What a segment is called where memberships are asked for: `vip.g3`.
pub fn reference(segment_key: &str, generation: i64) -> String {
    format!("{segment_key}.g{generation}")
}

/// A change of the members of one segment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Patch {
    /// The environment's id.
    #[serde(deserialize_with = "text")]
    pub environment_id: String,
    /// The segment's reference.
    #[serde(deserialize_with = "text")]
    pub segment_id: String,
    /// Where whoever copies is after this patch.
    #[serde(deserialize_with = "text")]
    pub version: String,
    /// Where it has to be for the patch to count.
    #[serde(deserialize_with = "text")]
    pub previous_version: String,
    /// Who.
    #[serde(deserialize_with = "or_default")]
    pub changes: Changes,
}

/// Who comes and who goes, by their hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Changes {
    /// Of those who are in.
    #[serde(deserialize_with = "or_default")]
    pub included: ListChanges,
    /// Of those who are kept out.
    #[serde(deserialize_with = "or_default")]
    pub excluded: ListChanges,
}

/// Who comes and who goes, of one list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListChanges {
    /// Who comes.
    #[serde(deserialize_with = "or_default")]
    pub add: Vec<String>,
    /// Who goes.
    #[serde(deserialize_with = "or_default")]
    pub remove: Vec<String>,
}

impl Changes {
    /// Every context that this is about; one may be named several times.
    pub fn contexts(&self) -> impl Iterator<Item = &str> {
        let lists = [&self.included.add, &self.included.remove, &self.excluded.add, &self.excluded.remove];
        lists.into_iter().flatten().map(String::as_str)
    }
}

/// Versions are text that nobody looks into; a number is one as well.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Text {
        Text(String),
        Number(serde_json::Number),
    }
    Ok(match Option::<Text>::deserialize(deserializer)? {
        None => String::new(),
        Some(Text::Text(text)) => text,
        Some(Text::Number(number)) => number.to_string(),
    })
}

/// Absent, null and empty are the same.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Source: the protocol's *Big segment stores*.
    #[test]
    fn contexts_are_hashed_as_every_sdk_hashes_them() {
        for (key, hash) in [
            ("user1", "CgQblGLKpKMbrDVn4Lbm/ZEAeH2yq0M9lvbReMq/zpA="),
            ("user2", "YCXRj+SKvUUWhSjxioLiZd2Y1CGnCEqgn2GzQXA5AaM="),
            ("user-key", "CEXjZY7cHJG/ydFy7q4+YEFwVrG3/pkJwA4FAjrbfx0="),
        ] {
            assert_eq!(ContextHash::of(key).to_string(), hash);
            assert_eq!(ContextHash::from_base64(hash), Some(ContextHash::of(key)));
        }
        assert_eq!(ContextHash::from_base64("CgQb"), None);
        assert_eq!(ContextHash::from_base64("no base64"), None);
    }

    #[test]
    fn patches_are_written_whole_and_read_with_gaps() {
        let patch = Patch {
            environment_id: "e".into(),
            segment_id: reference("vip", 3),
            version: "2".into(),
            previous_version: String::new(),
            changes: Changes {
                included: ListChanges { add: vec!["a".into()], remove: vec!["b".into()] },
                excluded: ListChanges::default(),
            },
        };
        let written = json!({"environmentId": "e", "segmentId": "vip.g3", "version": "2", "previousVersion": "",
            "changes": {"included": {"add": ["a"], "remove": ["b"]}, "excluded": {"add": [], "remove": []}}});
        assert_eq!(serde_json::to_value(&patch).unwrap(), written);
        let given = json!({"environmentId": "e", "segmentId": "vip.g3", "version": 2, "previousVersion": null,
            "changes": {"included": {"add": ["a"], "remove": ["b"]}, "excluded": {"add": null}}, "new": true});
        assert_eq!(serde_json::from_value::<Patch>(given).unwrap(), patch);
        assert_eq!(patch.changes.contexts().collect::<Vec<_>>(), ["a", "b"]);
        for nothing in [
            json!({"version": "2", "changes": null}),
            json!({"version": "2", "segmentId": null, "changes": {"included": null, "excluded": null}}),
        ] {
            let nobody = Patch { version: "2".into(), ..Patch::default() };
            assert_eq!(
                serde_json::from_value::<Patch>(nothing).unwrap(),
                nobody,
                "null is the same as absent"
            );
        }
    }
}
