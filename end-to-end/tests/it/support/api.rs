//! The REST API as these journeys use it, on the demo project's production environment.

use serde_json::{Value as Json, json};

use super::http::{Answer, request};
use super::service::Service;

/// The flag the example programs watch unless told otherwise.
pub(crate) const FLAG: &str = "checkout-redesign";

const SEMANTIC_PATCH: &str = "application/json; domain-model=launchdarkly.semanticpatch";

impl Service {
    /// Turns the flag's targeting on or off in production.
    pub(crate) fn turn(&self, on: bool) {
        let kind = if on { "turnFlagOn" } else { "turnFlagOff" };
        let change = json!({"environmentKey": "production", "instructions": [{"kind": kind}]});
        let answer = self.api("PATCH", &format!("flags/demo/{FLAG}"), SEMANTIC_PATCH, &change.to_string());
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// Whether the flag's targeting is on in production.
    pub(crate) fn is_on(&self) -> bool {
        let answer = self.get(&format!("flags/demo/{FLAG}"));
        answer["environments"]["production"]["on"].as_bool().unwrap_or_else(|| panic!("{answer}"))
    }

    /// The keys of the users that a search in production finds.
    pub(crate) fn users(&self, query: &str) -> Vec<String> {
        let answer = self.get(&format!("user-search/demo/production?q={query}"));
        let items = answer["items"].as_array().unwrap_or_else(|| panic!("{answer}"));
        items.iter().map(|item| item["user"]["key"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// One read that must succeed.
    pub(crate) fn get(&self, path: &str) -> Json {
        let answer = self.api("GET", path, "application/json", "");
        assert_eq!(answer.status, 200, "GET {path}: {answer:?}");
        answer.json()
    }

    fn api(&self, method: &str, path: &str, content_type: &str, body: &str) -> Answer {
        let url = format!("{}/api/v2/{path}", self.url());
        let headers = [("Authorization", "api-demo"), ("Content-Type", content_type)];
        request(method, &url, &headers, body).unwrap_or_else(|error| panic!("{method} {url}: {error}"))
    }
}
