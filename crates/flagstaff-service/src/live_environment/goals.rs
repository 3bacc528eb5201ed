//! What browsers are to report: clicks and page views that metrics count.
//!
//! Source: the protocol's *Goals*.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::LiveEnvironment;
use crate::store::metric::{Metric, Page};

/// What browsers are to report, as they are told.
#[derive(Debug)]
pub struct Goals {
    /// A JSON array.
    pub body: Bytes,
    /// Changes whenever that does; fit for an ETag once in quotes.
    pub tag: String,
}

/// The same for an environment and its parts.
#[derive(Clone, Debug, Default)]
pub(super) struct SharedGoals(Arc<ArcSwap<Goals>>);

#[derive(Serialize)]
struct Goal<'m> {
    key: &'m str,
    kind: &'m str,
    #[serde(skip_serializing_if = "Option::is_none")]
    selector: Option<&'m str>,
    urls: &'m [Page],
}

impl<'m> Goal<'m> {
    fn of(metric: &'m Metric) -> Option<Self> {
        let selector = match metric.kind.as_str() {
            "click" => Some(metric.selector.as_str()),
            "pageview" => None,
            _ => return None,
        };
        Some(Self { key: &metric.key, kind: &metric.kind, selector, urls: &metric.pages })
    }
}

impl Goals {
    /// Those among these metrics. What a browser sends for one has its key.
    pub fn of(metrics: &[Metric]) -> Self {
        let goals: Vec<Goal<'_>> = metrics.iter().filter_map(Goal::of).collect();
        let body = serde_json::to_vec(&goals).unwrap_or_else(|error| unreachable!("it has JSON: {error}"));
        Self::with(body.into())
    }

    /// Those that another service names, as it wrote them.
    ///
    /// # Errors
    /// If it is no list of them.
    pub fn received(body: Bytes) -> Result<Self, serde_json::Error> {
        serde_json::from_slice::<Vec<Map<String, Value>>>(&body)?;
        Ok(Self::with(body))
    }

    fn with(body: Bytes) -> Self {
        let tag = Sha256::digest(&body)[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        Self { body, tag }
    }
}

impl Default for Goals {
    fn default() -> Self {
        Self::of(&[])
    }
}

impl LiveEnvironment {
    /// What browsers are to report.
    pub fn goals(&self) -> Arc<Goals> {
        self.goals.0.load_full()
    }

    /// From now on it is this.
    pub fn tell_goals(&self, goals: Goals) {
        self.goals.0.store(Arc::new(goals));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_to_report_is_an_empty_list() {
        assert_eq!(Goals::default().body, "[]");
    }

    #[test]
    fn what_another_service_names_is_handed_on_as_it_was_written() {
        let written = r#"[ {"key":"buy","kind":"click","new":1.0} ]"#;
        assert_eq!(Goals::received(written.into()).unwrap().body, written);
        assert_eq!(Goals::received("[]".into()).unwrap().tag, Goals::default().tag);
        for strange in ["", "{}", "[1]", "<html>"] {
            assert!(Goals::received(strange.into()).is_err(), "{strange}");
        }
    }
}
