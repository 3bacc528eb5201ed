//! The one file that `export` writes.
//!
//! Its top level is what the SDK's file source reads: the flags and segments of one environment. Beside them
//! stands `flagstaff`, which file sources pass over: what people called things, and the other environments.
//! Nothing stands there twice: what decides an evaluation is in the flags and segments alone, and the rest is
//! joined to it by key, and by place in a list.
//!
//! Equal contents make equal bytes: keys are sorted, versions are 1, and nothing is in it that a copy of the
//! contents would have differently.

use std::collections::BTreeMap;

use flagstaff_eval::Value;
use flagstaff_eval::model::{ClientSideAvailability, Flag, Segment};
use serde::{Deserialize, Serialize};

use crate::store::metric::Page;
use crate::store::payload_filter::Condition;
use crate::store::targeting::Defaults;

/// Which form of the section this program writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// Flags and segments of one environment.
    #[serde(flatten)]
    pub data: Items,
    /// What file sources pass over.
    #[serde(rename = "flagstaff", default, skip_serializing_if = "Option::is_none")]
    pub section: Option<Section>,
}

/// Flags and segments as SDKs get them, by key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Items {
    /// The flags.
    pub flags: BTreeMap<String, Flag>,
    /// The segments.
    pub segments: BTreeMap<String, Segment>,
}

/// Everything that SDKs do not read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Section {
    /// The form of this section.
    pub format: u32,
    /// The project of the flags and segments at the top.
    pub project: String,
    /// Their environment.
    pub environment: String,
    /// Whether it does not say all that there is of projects and environments, so that it only serves to make those
    /// that are missing.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_partial: bool,
    /// Every project in the file, by key.
    pub projects: BTreeMap<String, ProjectPart>,
}

/// A project.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProjectPart {
    /// As people call it.
    pub name: String,
    /// For finding it.
    pub tags: Vec<String>,
    /// Which client-side SDKs see a new flag, unless it says otherwise.
    pub new_flag_availability: ClientSideAvailability,
    /// What all environments share of the flags, by key.
    pub flags: BTreeMap<String, FlagPart>,
    /// What experiments measure, by key.
    pub metrics: BTreeMap<String, MetricPart>,
    /// The parts of its flags that SDKs can ask for, by key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub payload_filters: BTreeMap<String, PayloadFilterPart>,
    /// The environments, in the order in which they were made.
    pub environments: Vec<EnvironmentPart>,
}

/// What all environments share of a flag.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FlagPart {
    /// As people call it.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// For finding it.
    pub tags: Vec<String>,
    /// Whether it is meant to be removed one day.
    pub temporary: bool,
    /// The e-mail address of who looks after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maintainer: Option<String>,
    /// What a new environment serves; the first and the last variation when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub defaults: Option<Defaults>,
    /// When it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<i64>,
    /// What stands beside the values, in their order.
    pub variations: Vec<VariationPart>,
}

/// What stands beside the value of a variation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VariationPart {
    /// A stable id.
    pub id: String,
    /// As people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// What experiments measure.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MetricPart {
    /// As people call it.
    pub name: String,
    /// What it says.
    pub description: String,
    /// `custom`, `pageview` or `click`.
    pub kind: String,
    /// The key of the custom event.
    pub event_key: String,
    /// Whether the event's value counts, or only that it happened.
    pub is_numeric: bool,
    /// Of the value, possibly empty.
    pub unit: String,
    /// Whether more is better.
    pub higher_is_better: bool,
    /// What has to be clicked, for a click.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub selector: String,
    /// On which pages, for a click or a page view.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<Page>,
    /// For finding it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// A part of a project's flags.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PayloadFilterPart {
    /// As people call it.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// A flag that meets one of these is in it.
    pub conditions: Vec<Condition>,
}

/// An environment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvironmentPart {
    /// Its stable name within the project.
    pub key: String,
    /// As people call it.
    pub name: String,
    /// Six hex digits.
    pub color: String,
    /// For finding it.
    pub tags: Vec<String>,
    /// Minutes that the PHP SDK may cache.
    pub default_ttl: i64,
    /// Whether browser SDKs have to prove the user.
    pub secure_mode: bool,
    /// Whether new flags report each evaluation.
    pub default_track_events: bool,
    /// Whether the dashboard asks once more before a change.
    pub confirm_changes: bool,
    /// Whether a change needs a comment.
    pub require_comments: bool,
    /// Whether it is one to be careful with.
    pub critical: bool,
    /// What SDKs come with: secrets, only in the file if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<KeysPart>,
    /// What stands beside the rules of the flags that have any, by flag key.
    pub rules: BTreeMap<String, Vec<RulePart>>,
    /// What stands beside the segments, by key.
    pub segments: BTreeMap<String, SegmentPart>,
    /// Its flags and segments, unless they stand at the top.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Items>,
}

/// What SDKs come with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeysPart {
    /// The secret of server-side SDKs.
    pub sdk_key: String,
    /// The key of mobile SDKs.
    pub mobile_key: String,
    /// The public id of browser SDKs.
    pub client_side_id: String,
}

/// What stands beside a rule of a flag or a segment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RulePart {
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The ids of its clauses.
    pub clauses: Vec<String>,
}

/// What stands beside a segment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SegmentPart {
    /// As people call it.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// For finding it.
    pub tags: Vec<String>,
    /// When it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<i64>,
    /// What stands beside its rules.
    pub rules: Vec<RulePart>,
}

impl Document {
    /// The file's text: indented, keys sorted, one line break at the end.
    pub fn to_text(&self) -> String {
        let value = serde_json::to_value(self)
            .unwrap_or_else(|error| unreachable!("our own types have JSON: {error}"));
        let mut text = serde_json::to_string_pretty(&sorted(value))
            .unwrap_or_else(|error| unreachable!("a value is JSON already: {error}"));
        text.push('\n');
        text
    }

    /// Each environment in the file with its project's key: its part, and its flags and segments. None if the
    /// file has no section.
    pub fn environments(&self) -> Option<Vec<(&str, &EnvironmentPart, &Items)>> {
        let section = self.section.as_ref()?;
        let mut found = Vec::new();
        for (project_key, project) in &section.projects {
            for part in &project.environments {
                found.push((project_key.as_str(), part, part.data.as_ref().unwrap_or(&self.data)));
            }
        }
        Some(found)
    }
}

impl Items {
    /// Flags and segments without what another copy of them would have differently.
    pub fn canonical(
        flags: impl IntoIterator<Item = Flag>,
        segments: impl IntoIterator<Item = Segment>,
    ) -> Self {
        let flag = |flag: Flag| (flag.key.clone(), Flag { version: 1, ..flag });
        // A big segment's generation says which filling counts, and a copy has none yet.
        let segment = |segment: Segment| {
            let generation = segment.generation.filter(|_| !segment.unbounded);
            (segment.key.clone(), Segment { version: 1, generation, ..segment })
        };
        Self {
            flags: flags.into_iter().filter(|flag| !flag.deleted).map(flag).collect(),
            segments: segments.into_iter().filter(|segment| !segment.deleted).map(segment).collect(),
        }
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

/// The same value with the keys of all objects in order, whatever order their map keeps.
fn sorted(value: Value) -> Value {
    match value {
        Value::Array(list) => Value::Array(list.into_iter().map(sorted).collect()),
        Value::Object(object) => {
            let entries: BTreeMap<String, Value> =
                object.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            Value::Object(entries.into_iter().collect())
        }
        other => other,
    }
}
