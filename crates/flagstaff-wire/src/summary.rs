//! Counts of evaluations over a time span.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

/// A summary event without its `kind`, which [`Event`](crate::event::Event) writes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// The earliest evaluation counted, Unix milliseconds.
    #[serde(rename = "startDate")]
    pub start_date_ms: u64,
    /// The latest evaluation counted, Unix milliseconds.
    #[serde(rename = "endDate")]
    pub end_date_ms: u64,
    /// The flags by key.
    pub features: BTreeMap<String, FlagSummary>,
}

/// The evaluations of one flag.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FlagSummary {
    /// The caller's default in the first of them.
    pub default: Value,
    /// The kinds of all contexts.
    pub context_kinds: BTreeSet<String>,
    /// How often what was served.
    pub counters: Vec<Counter>,
}

/// How often one value was served by one version of a flag.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Counter {
    /// The variation index; none for the caller's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variation: Option<usize>,
    /// The flag's version; none if there is no such flag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Whether there is no such flag.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unknown: bool,
    /// The value.
    pub value: Value,
    /// How often.
    pub count: u64,
}

impl Summary {
    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.features.is_empty()
    }
}
