//! A feature flag of one environment.

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::{Clause, Keys, Rollout, read};

read::from_objects_only!(
    Flag,
    FlagToPrepare,
    Prerequisite,
    Target,
    TargetToPrepare,
    FlagRule,
    VariationOrRollout,
    ClientSideAvailability,
    Migration
);
read::written_as_derived!(
    Prerequisite,
    Target,
    FlagRule,
    VariationOrRollout,
    ClientSideAvailability,
    Migration
);

/// One switch: its variations, and who gets which.
pub type Flag = FlagOf<Vec<String>>;

/// A flag that is read only to be made ready for evaluation.
pub type FlagToPrepare = FlagOf<Keys>;

/// One switch, with lists of keys of the type `K`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase", bound(deserialize = "TargetOf<K>: Deserialize<'de>"))]
pub struct FlagOf<K> {
    /// The flag's stable name within a project.
    #[serde(default, deserialize_with = "read::or_default")]
    pub key: String,
    /// Rises on each change; decides every upsert.
    #[serde(default, deserialize_with = "read::version")]
    pub version: u64,
    /// Whether targeting is in force.
    #[serde(default, deserialize_with = "read::or_default")]
    pub on: bool,
    /// Flags that must serve a given variation first.
    #[serde(default, deserialize_with = "read::or_default")]
    pub prerequisites: Vec<Prerequisite>,
    /// Keys of kind `user` that get a variation by name.
    #[serde(default, deserialize_with = "read::or_default")]
    pub targets: Vec<TargetOf<K>>,
    /// Keys of any kind, in priority order. An entry of kind `user` without values stands for the
    /// entry of `targets` with the same variation.
    #[serde(default, deserialize_with = "read::or_default")]
    pub context_targets: Vec<TargetOf<K>>,
    /// Tried in order; the first match serves.
    #[serde(default, deserialize_with = "read::or_default")]
    pub rules: Vec<FlagRule>,
    /// What is served when nothing matched.
    #[serde(default, deserialize_with = "read::or_default")]
    pub fallthrough: VariationOrRollout,
    /// What is served when targeting is off; none means the caller's default.
    #[serde(default, deserialize_with = "read::optional_integer")]
    pub off_variation: Option<i64>,
    /// The values this flag can serve.
    #[serde(default, deserialize_with = "read::or_default")]
    pub variations: Vec<Value>,
    /// Which client-side SDKs see the flag.
    #[serde(default)]
    pub client_side_availability: Option<ClientSideAvailability>,
    /// The older form of `clientSideAvailability.usingEnvironmentId`.
    #[serde(default, deserialize_with = "read::or_default")]
    pub client_side: bool,
    /// What keys are hashed with in a rollout.
    #[serde(default, deserialize_with = "read::or_default")]
    pub salt: String,
    /// Whether each evaluation is reported by an event of its own.
    #[serde(default, deserialize_with = "read::or_default")]
    pub track_events: bool,
    /// As `track_events`, for evaluations that end in the fallthrough; with their reason.
    #[serde(default, deserialize_with = "read::or_default")]
    pub track_events_fallthrough: bool,
    /// Debug events are sent until then, Unix milliseconds.
    #[serde(default, deserialize_with = "read::optional_millis")]
    pub debug_events_until_date: Option<i64>,
    /// Whether this is a tombstone.
    #[serde(default, deserialize_with = "read::or_default")]
    pub deleted: bool,
    /// One in so many feature, debug and migration events is sent; 0 means none. Absent means 1.
    #[serde(default, deserialize_with = "read::optional_integer")]
    pub sampling_ratio: Option<i64>,
    /// Whether evaluations are left out of summaries.
    #[serde(default, deserialize_with = "read::or_default")]
    pub exclude_from_summaries: bool,
    /// Settings of a migration flag.
    #[serde(default)]
    pub migration: Option<Migration>,
}

/// A flag that must serve a given variation first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Prerequisite {
    /// The other flag's key.
    #[serde(default, deserialize_with = "read::or_default")]
    pub key: String,
    /// The variation index it must serve.
    #[serde(default, deserialize_with = "read::integer")]
    pub variation: i64,
}

/// Context keys that get a variation by name.
pub type Target = TargetOf<Vec<String>>;

type TargetToPrepare = TargetOf<Keys>;

/// Context keys of the type `K` that get a variation by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase", bound(deserialize = "K: Default + Deserialize<'de>"))]
pub struct TargetOf<K> {
    /// The kind of the keys; `user` when absent or empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_kind: Option<String>,
    /// The variation index they get.
    #[serde(default, deserialize_with = "read::integer")]
    pub variation: i64,
    /// The keys.
    #[serde(default, deserialize_with = "read::or_default")]
    pub values: K,
}

/// Clauses joined by AND that serve a variation or rollout.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
pub struct FlagRule {
    /// The rule's stable name.
    #[serde(default, deserialize_with = "read::or_default")]
    pub id: String,
    /// All must match; none means that everything matches.
    #[serde(default, deserialize_with = "read::or_default")]
    pub clauses: Vec<Clause>,
    /// The variation index served; wins over `rollout`.
    #[serde(default, deserialize_with = "read::optional_integer", skip_serializing_if = "Option::is_none")]
    pub variation: Option<i64>,
    /// The split served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// Whether evaluations that end here are reported one by one, with their reason.
    #[serde(default, deserialize_with = "read::or_default")]
    pub track_events: bool,
}

/// What the fallthrough serves. Both set: the variation wins. Neither: malformed when reached.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct VariationOrRollout {
    /// One variation for all.
    #[serde(default, deserialize_with = "read::optional_integer", skip_serializing_if = "Option::is_none")]
    pub variation: Option<i64>,
    /// A split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
}

impl VariationOrRollout {
    /// One variation for all.
    pub fn variation(index: i64) -> Self {
        Self { variation: Some(index), rollout: None }
    }

    /// A split.
    pub fn rollout(rollout: Rollout) -> Self {
        Self { variation: None, rollout: Some(rollout) }
    }
}

/// Which client-side SDKs see a flag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
pub struct ClientSideAvailability {
    /// Those that connect with a client-side ID: browsers.
    #[serde(default, deserialize_with = "read::or_default")]
    pub using_environment_id: bool,
    /// Those that connect with a mobile key.
    #[serde(default, deserialize_with = "read::or_default")]
    pub using_mobile_key: bool,
}

/// Settings of a migration flag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
pub struct Migration {
    /// One in so many reads is checked for consistency; 0 means none. Absent means 1.
    #[serde(default, deserialize_with = "read::optional_integer", skip_serializing_if = "Option::is_none")]
    pub check_ratio: Option<i64>,
}

impl<K> FlagOf<K> {
    /// Which client-side SDKs see the flag: `clientSideAvailability` alone if present, else the
    /// older `clientSide`, and every mobile SDK.
    pub fn availability(&self) -> ClientSideAvailability {
        self.client_side_availability.unwrap_or(ClientSideAvailability {
            using_environment_id: self.client_side,
            using_mobile_key: true,
        })
    }
}

/// Canonical: availability is written in both its forms, whichever was read.
impl Serialize for Flag {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let availability = self.availability();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("key", &self.key)?;
        map.serialize_entry("version", &self.version)?;
        map.serialize_entry("on", &self.on)?;
        map.serialize_entry("prerequisites", &self.prerequisites)?;
        map.serialize_entry("targets", &self.targets)?;
        map.serialize_entry("contextTargets", &self.context_targets)?;
        map.serialize_entry("rules", &self.rules)?;
        map.serialize_entry("fallthrough", &self.fallthrough)?;
        map.serialize_entry("offVariation", &self.off_variation)?;
        map.serialize_entry("variations", &self.variations)?;
        map.serialize_entry("clientSideAvailability", &availability)?;
        map.serialize_entry("clientSide", &availability.using_environment_id)?;
        map.serialize_entry("salt", &self.salt)?;
        map.serialize_entry("trackEvents", &self.track_events)?;
        map.serialize_entry("trackEventsFallthrough", &self.track_events_fallthrough)?;
        map.serialize_entry("debugEventsUntilDate", &self.debug_events_until_date)?;
        map.serialize_entry("deleted", &self.deleted)?;
        if let Some(ratio) = self.sampling_ratio {
            map.serialize_entry("samplingRatio", &ratio)?;
        }
        if self.exclude_from_summaries {
            map.serialize_entry("excludeFromSummaries", &true)?;
        }
        if let Some(migration) = self.migration {
            map.serialize_entry("migration", &migration)?;
        }
        map.end()
    }
}
