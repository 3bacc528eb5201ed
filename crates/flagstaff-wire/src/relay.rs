//! What a relay is told of the environments that it serves: by stream, as automatic configuration, and by
//! the file of an offline archive.
//!
//! Source: the protocol's *Automatic configuration* and *Offline archive*. [`ConfigurationMessage::read`] is
//! the relay's side, `write_…` the service's.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::full_data::read_object;
use crate::sse::write_event;
use crate::stream::{BadMessage, whole_version, write_delete_at, write_patch_at, write_put};

/// Where a relay asks for its configuration.
pub const PATH: &str = "/relay_auto_config";
/// The query parameter that says which form of it the relay reads.
pub const PROTOCOL_VERSION_PARAMETER: &str = "rpacProtocolVersion";
/// The form with payload filters.
pub const PROTOCOL_VERSION: &str = "2";

const ENVIRONMENTS: &str = "/environments/";
const FILTERS: &str = "/filters/";

/// Everything a relay serves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// By the environment's ID, which browsers use too.
    #[serde(default)]
    pub environments: BTreeMap<String, RelayedEnvironment>,
    /// By the filter's ID.
    #[serde(default)]
    pub filters: BTreeMap<String, RelayedFilter>,
}

/// An environment as a relay is told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RelayedEnvironment {
    /// Its ID, which browsers use too.
    #[serde(rename = "envID")]
    pub id: String,
    /// Its stable name within the project.
    #[serde(rename = "envKey")]
    pub key: String,
    /// As people call it.
    #[serde(rename = "envName")]
    pub name: String,
    /// Its project's stable name.
    #[serde(rename = "projKey")]
    pub project_key: String,
    /// Its project, as people call it.
    #[serde(rename = "projName")]
    pub project_name: String,
    /// The key of mobile SDKs; empty if there is none.
    #[serde(rename = "mobKey", default)]
    pub mobile_key: String,
    /// The secrets of server-side SDKs.
    pub sdk_key: RelayedSdkKey,
    /// Minutes that the PHP SDK may cache.
    #[serde(default)]
    pub default_ttl: i64,
    /// Whether browser SDKs have to prove the user.
    #[serde(default)]
    pub secure_mode: bool,
    /// Rises with each change to any of this.
    #[serde(deserialize_with = "whole_version")]
    pub version: u64,
}

/// The secrets of server-side SDKs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayedSdkKey {
    /// The one that counts.
    pub value: String,
    /// The one before it, which still counts for a while.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "expiring")]
    pub expiring: Option<ExpiringKey>,
}

/// A key that still counts for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpiringKey {
    /// The key.
    pub value: String,
    /// When it stops counting, in Unix milliseconds.
    pub timestamp: i64,
}

/// A payload filter as a relay is told of it. It counts in every environment of its project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayedFilter {
    /// Its project's stable name.
    #[serde(rename = "projKey")]
    pub project_key: String,
    /// Its own.
    pub key: String,
    /// Rises with each change to it.
    #[serde(deserialize_with = "whole_version")]
    pub version: u64,
}

/// A message as a relay reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigurationMessage {
    /// Everything there is: what is not in there is not served any more.
    Put(Configuration),
    /// An environment with this ID is new, or changed.
    Environment(String, RelayedEnvironment),
    /// A filter with this ID is new, or changed.
    Filter(String, RelayedFilter),
    /// The environment with this ID is gone, as of this version.
    EnvironmentGone(String, u64),
    /// The filter with this ID is gone, as of this version.
    FilterGone(String, u64),
    /// The relay is to dial again.
    Reconnect,
}

impl ConfigurationMessage {
    /// Reads an event. None for one that is to be passed over: an unknown name, an unknown path.
    ///
    /// # Errors
    /// If the data is not JSON, or JSON of another shape.
    pub fn read(event: &str, data: &[u8]) -> Result<Option<Self>, BadMessage> {
        let read = match event {
            "put" => put(data),
            "patch" => patch(data),
            "delete" => delete(data),
            "reconnect" => Ok(Some(Self::Reconnect)),
            _ => Ok(None),
        };
        read.map_err(|source| BadMessage { event: event.to_owned(), source })
    }
}

fn put(data: &[u8]) -> Result<Option<ConfigurationMessage>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Put<'a> {
        #[serde(borrow, default)]
        path: Cow<'a, str>,
        data: Configuration,
    }
    let put: Put = read_object(data)?;
    Ok(matches!(&*put.path, "" | "/").then_some(ConfigurationMessage::Put(put.data)))
}

fn patch(data: &[u8]) -> Result<Option<ConfigurationMessage>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Patch<'a> {
        #[serde(borrow)]
        path: Cow<'a, str>,
        #[serde(borrow)]
        data: &'a RawValue,
    }
    let Patch { path, data } = read_object(data)?;
    Ok(if let Some(id) = path.strip_prefix(ENVIRONMENTS) {
        Some(ConfigurationMessage::Environment(id.to_owned(), serde_json::from_str(data.get())?))
    } else if let Some(id) = path.strip_prefix(FILTERS) {
        Some(ConfigurationMessage::Filter(id.to_owned(), serde_json::from_str(data.get())?))
    } else {
        None
    })
}

fn delete(data: &[u8]) -> Result<Option<ConfigurationMessage>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Delete<'a> {
        #[serde(borrow)]
        path: Cow<'a, str>,
        #[serde(deserialize_with = "whole_version")]
        version: u64,
    }
    let Delete { path, version } = read_object(data)?;
    Ok(if let Some(id) = path.strip_prefix(ENVIRONMENTS) {
        Some(ConfigurationMessage::EnvironmentGone(id.to_owned(), version))
    } else {
        path.strip_prefix(FILTERS).map(|id| ConfigurationMessage::FilterGone(id.to_owned(), version))
    })
}

/// Where nothing expires, some senders write an empty key.
fn expiring<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<ExpiringKey>, D::Error> {
    #[derive(Deserialize)]
    struct Sent {
        #[serde(default)]
        value: String,
        #[serde(default)]
        timestamp: i64,
    }
    let sent = Option::<Sent>::deserialize(deserializer)?.filter(|sent| !sent.value.is_empty());
    Ok(sent.map(|Sent { value, timestamp }| ExpiringKey { value, timestamp }))
}

/// Appends everything there is.
///
/// # Errors
/// Never in practice: there is nothing in it that cannot be serialised.
pub fn write_configuration(
    out: &mut Vec<u8>,
    configuration: &Configuration,
) -> Result<(), serde_json::Error> {
    write_put(out, configuration)
}

/// Appends that an environment is new, or changed.
///
/// # Errors
/// Never in practice: there is nothing in it that cannot be serialised.
pub fn write_environment(
    out: &mut Vec<u8>,
    id: &str,
    environment: &RelayedEnvironment,
) -> Result<(), serde_json::Error> {
    write_patch_at(out, &format!("{ENVIRONMENTS}{id}"), environment)
}

/// Appends that a filter is new, or changed.
///
/// # Errors
/// Never in practice: there is nothing in it that cannot be serialised.
pub fn write_filter(out: &mut Vec<u8>, id: &str, filter: &RelayedFilter) -> Result<(), serde_json::Error> {
    write_patch_at(out, &format!("{FILTERS}{id}"), filter)
}

/// Appends that an environment is gone.
///
/// # Errors
/// Never in practice: there is nothing in it that cannot be serialised.
pub fn write_environment_gone(out: &mut Vec<u8>, id: &str, version: u64) -> Result<(), serde_json::Error> {
    write_delete_at(out, &format!("{ENVIRONMENTS}{id}"), version)
}

/// Appends that a filter is gone.
///
/// # Errors
/// Never in practice: there is nothing in it that cannot be serialised.
pub fn write_filter_gone(out: &mut Vec<u8>, id: &str, version: u64) -> Result<(), serde_json::Error> {
    write_delete_at(out, &format!("{FILTERS}{id}"), version)
}

/// Appends that the relay is to dial again.
///
/// # Errors
/// Never in practice: there is nothing in it that cannot be serialised.
pub fn write_reconnect(out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    write_event(out, "reconnect", &serde_json::Map::new())
}

/// What an offline archive says of an environment, beside its flags and segments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedEnvironment {
    /// The environment.
    pub env: RelayedEnvironment,
    /// Changes whenever its flags or segments do.
    #[serde(rename = "dataId")]
    pub data_id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENVIRONMENT: &str = r#"{"envID":"e1","envKey":"production","envName":"Production","projKey":"demo","projName":"Demo shop","mobKey":"mob-1","sdkKey":{"value":"sdk-2","expiring":{"value":"sdk-1","timestamp":1700000000000}},"defaultTtl":5,"secureMode":true,"version":7}"#;

    fn environment() -> RelayedEnvironment {
        serde_json::from_str(ENVIRONMENT).unwrap()
    }

    fn written(write: impl FnOnce(&mut Vec<u8>) -> Result<(), serde_json::Error>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_environment_has_the_wire_form() {
        assert_eq!(serde_json::to_string(&environment()).unwrap(), ENVIRONMENT);
        assert_eq!(environment().sdk_key.expiring.unwrap().timestamp, 1_700_000_000_000);
        let mut without = environment();
        without.sdk_key.expiring = None;
        assert!(!serde_json::to_string(&without).unwrap().contains("expiring"));
    }

    #[test]
    fn what_is_written_is_read() {
        let filter = RelayedFilter { project_key: "demo".to_owned(), key: "web".to_owned(), version: 2 };
        let all = Configuration {
            environments: [("e1".to_owned(), environment())].into(),
            filters: [("f1".to_owned(), filter.clone())].into(),
        };
        let (e1, f1) = ("e1".to_owned(), "f1".to_owned());
        for (text, message) in [
            (written(|out| write_configuration(out, &all)), ConfigurationMessage::Put(all.clone())),
            (
                written(|out| write_environment(out, "e1", &environment())),
                ConfigurationMessage::Environment(e1.clone(), environment()),
            ),
            (
                written(|out| write_filter(out, "f1", &filter)),
                ConfigurationMessage::Filter(f1.clone(), filter.clone()),
            ),
            (
                written(|out| write_environment_gone(out, "e1", 8)),
                ConfigurationMessage::EnvironmentGone(e1, 8),
            ),
            (written(|out| write_filter_gone(out, "f1", 3)), ConfigurationMessage::FilterGone(f1, 3)),
            (written(write_reconnect), ConfigurationMessage::Reconnect),
        ] {
            let (mut parser, mut events) = (crate::sse::SseParser::default(), Vec::new());
            parser.feed(text.as_bytes(), &mut events).unwrap();
            assert_eq!(events.len(), 1, "{text}");
            let read = ConfigurationMessage::read(events[0].name(), events[0].data());
            assert_eq!(read.unwrap(), Some(message), "{text}");
        }
    }

    #[test]
    fn what_others_leave_out_or_write_differently_is_understood() {
        let text = r#"{"data":{"environments":{"e":{"envID":"e","envKey":"k","envName":"","projKey":"p","projName":"","sdkKey":{"value":"s","expiring":{"value":"","timestamp":0}},"version":1.0,"new":[]}},"other":1}}"#;
        let Ok(Some(ConfigurationMessage::Put(read))) = ConfigurationMessage::read("put", text.as_bytes())
        else {
            panic!("no put")
        };
        let environment = &read.environments["e"];
        assert_eq!((environment.version, &*environment.mobile_key, environment.default_ttl), (1, "", 0));
        assert_eq!((&environment.sdk_key.expiring, read.filters.len()), (&None, 0));
    }

    #[test]
    fn what_is_not_known_is_passed_over_and_what_is_known_must_be_right() {
        for (event, data) in [
            ("other", "junk"),
            ("put", r#"{"path":"/environments","data":{}}"#),
            ("patch", r#"{"path":"/other/e","data":1}"#),
            ("delete", r#"{"path":"/other/e","version":1}"#),
        ] {
            assert_eq!(ConfigurationMessage::read(event, data.as_bytes()).unwrap(), None, "{event} {data}");
        }
        for (event, data) in [
            ("put", ""),
            ("put", "{}"),
            ("put", r#"{"data":{"environments":{"e":{}}}}"#),
            ("patch", r#"{"path":"/environments/e","data":{"envID":"e"}}"#),
            ("patch", r#"{"path":"/filters/f"}"#),
            ("delete", r#"{"path":"/environments/e"}"#),
        ] {
            assert!(ConfigurationMessage::read(event, data.as_bytes()).is_err(), "{event} {data}");
        }
    }
}
