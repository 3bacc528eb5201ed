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

    /// Makes a flag that serves the numbers from 0 on, as [`Service::make_flag`] does.
    pub(crate) fn make_steps(&self, key: &str, count: usize) -> Vec<String> {
        let steps: Vec<Json> = (0..count).map(Json::from).collect();
        self.make_flag(key, &steps)
    }

    /// Makes a flag that is on in production and serves the first of these values. Gives the ids of its
    /// variations.
    pub(crate) fn make_flag(&self, key: &str, values: &[Json]) -> Vec<String> {
        let variations: Vec<Json> = values.iter().map(|value| json!({"value": value})).collect();
        let flag = json!({"key": key, "name": key, "variations": variations});
        let answer = self.api("POST", "flags/demo", "application/json", &flag.to_string());
        assert_eq!(answer.status, 201, "{answer:?}");
        let made = answer.json();
        let ids = made["variations"].as_array().into_iter().flatten();
        let ids: Vec<String> =
            ids.filter_map(|variation| variation["_id"].as_str().map(str::to_owned)).collect();
        assert_eq!(ids.len(), values.len(), "{made}");
        self.serve(key, &ids[0]);
        let on = json!({"environmentKey": "production", "instructions": [{"kind": "turnFlagOn"}]});
        let answer = self.api("PATCH", &format!("flags/demo/{key}"), SEMANTIC_PATCH, &on.to_string());
        assert_eq!(answer.status, 200, "{answer:?}");
        ids
    }

    /// Has the flag serve the variation with this id to whoever has no target or rule.
    pub(crate) fn serve(&self, key: &str, variation_id: &str) {
        let instruction = json!({"kind": "updateFallthroughVariationOrRollout", "variationId": variation_id});
        let change = json!({"environmentKey": "production", "instructions": [instruction]});
        let answer = self.api("PATCH", &format!("flags/demo/{key}"), SEMANTIC_PATCH, &change.to_string());
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// Gives a flag these tags and no others.
    pub(crate) fn tag(&self, key: &str, tags: &[&str]) {
        let patch = json!([{"op": "replace", "path": "/tags", "value": tags}]);
        let answer = self.api("PATCH", &format!("flags/demo/{key}"), "application/json", &patch.to_string());
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// Makes a payload filter.
    pub(crate) fn make_filter(&self, key: &str, conditions: &Json) {
        let filter = json!({"key": key, "conditions": conditions});
        let path = "projects/demo/payload-filters";
        let answer = self.api("POST", path, "application/json", &filter.to_string());
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    /// Gives it other conditions.
    pub(crate) fn make_filter_another(&self, key: &str, conditions: &Json) {
        let patch = json!([{"op": "replace", "path": "/conditions", "value": conditions}]);
        let path = format!("projects/demo/payload-filters/{key}");
        let answer = self.api("PATCH", &path, "application/json", &patch.to_string());
        assert_eq!(answer.status, 200, "{answer:?}");
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

    pub(crate) fn api(&self, method: &str, path: &str, content_type: &str, body: &str) -> Answer {
        let url = format!("{}/api/v2/{path}", self.url());
        let headers = [("Authorization", "api-demo"), ("Content-Type", content_type)];
        request(method, &url, &headers, body).unwrap_or_else(|error| panic!("{method} {url}: {error}"))
    }
}
