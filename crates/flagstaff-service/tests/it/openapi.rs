//! What the admin API answers has the shapes of the published document.
//!
//! The document is test data: the folder in `FLAGSTAFF_TEST_DATA`, or `shared/data` beside the
//! project. Where it is absent this says so and passes, unless `FLAGSTAFF_REQUIRE_TEST_DATA=1`.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::rest::FLAG;
use crate::support::Service;

fn document() -> Option<Value> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = std::env::var_os("FLAGSTAFF_TEST_DATA").map_or(beside, PathBuf::from);
    let path = folder.join("rest-api-v2.openapi.json");
    match std::fs::read(&path) {
        Ok(text) => Some(serde_json::from_slice(&text).unwrap()),
        Err(error) => {
            let required = std::env::var("FLAGSTAFF_REQUIRE_TEST_DATA").is_ok_and(|value| value == "1");
            assert!(!required, "the test data is required, but `{}`: {error}", path.display());
            println!("skipped: no test data at `{}`", path.display());
            None
        }
    }
}

/// What in `value` is not as `schema` says, by place.
fn faults(document: &Value, schema: &Value, value: &Value, place: &str, found: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.trim_start_matches('#')).expect("a known reference");
        return faults(document, target, value, place, found);
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        faults(document, part, value, place, found);
    }
    let fits = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        _ => true,
    };
    if !fits {
        found.push(format!("{place}: {value} is no {}", schema["type"]));
        return;
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.get(name).is_none() {
            found.push(format!("{place}: `{name}` is missing"));
        }
    }
    for (name, inner) in value.as_object().into_iter().flatten() {
        let known = schema["properties"].get(name).or_else(|| schema.get("additionalProperties"));
        if let Some(known) = known.filter(|known| known.is_object()) {
            faults(document, known, inner, &format!("{place}.{name}"), found);
        }
    }
    for (index, inner) in value.as_array().into_iter().flatten().enumerate() {
        faults(document, &schema["items"], inner, &format!("{place}[{index}]"), found);
    }
}

#[tokio::test]
async fn answers_have_the_published_shapes() {
    let Some(document) = document() else {
        return;
    };
    let service = Service::demo().await;
    let new_flag = json!({"key": "new", "name": "New"});
    let new_environment = json!({"key": "qa", "name": "QA", "color": "123456"});
    let statement = json!({"effect": "allow", "actions": ["*"], "resources": ["proj/*:env/*"]});
    let relays = json!({"name": "Edge", "policy": [statement]});
    let flip = json!([{"op": "replace", "path": "/environments/production/on", "value": true}]);
    let no_off_variation = json!([{"op": "remove", "path": "/environments/production/offVariation"}]);
    let click = json!({"key": "bought", "kind": "click", "selector": ".buy", "urls": [{"kind": "exact", "url": "https://shop.example/"}]});
    let rename = json!([{"op": "replace", "path": "/name", "value": "Other"}]);
    for (method, path, body, schema) in [
        ("GET", "/api/v2", None, "RootResponse"),
        ("GET", "/api/v2/caller-identity", None, "CallerIdentityRep"),
        ("GET", "/api/v2/versions", None, "VersionsRep"),
        ("GET", "/api/v2/projects", None, "Projects"),
        ("GET", "/api/v2/projects/demo", None, "Project"),
        ("GET", "/api/v2/projects/demo?expand=environments", None, "Project"),
        ("POST", "/api/v2/projects", Some(json!({"key": "p", "name": "P"})), "ProjectRep"),
        ("PATCH", "/api/v2/projects/p", Some(rename.clone()), "ProjectRep"),
        ("GET", "/api/v2/projects/demo/environments", None, "Environments"),
        ("POST", "/api/v2/projects/demo/environments", Some(new_environment), "Environment"),
        ("PATCH", "/api/v2/projects/demo/environments/qa", Some(rename.clone()), "Environment"),
        ("POST", "/api/v2/projects/demo/environments/qa/apiKey", None, "Environment"),
        (
            "POST",
            "/api/v2/projects/demo/environments/production/flags/evaluate",
            Some(json!({"kind": "user", "key": "ann"})),
            "ContextInstanceEvaluations",
        ),
        ("GET", "/api/v2/flags/demo?env=production&summary=0", None, "FeatureFlags"),
        ("GET", "/api/v2/flags/demo", None, "FeatureFlags"),
        ("POST", "/api/v2/flags/demo", Some(new_flag), "FeatureFlag"),
        ("GET", "/api/v2/flags/demo/wish-lists", None, "FeatureFlag"),
        ("GET", "/api/v2/flags/demo/instant-refunds", None, "FeatureFlag"),
        ("PATCH", FLAG, Some(flip), "FeatureFlag"),
        ("PATCH", FLAG, Some(no_off_variation), "FeatureFlag"),
        ("GET", "/api/v2/segments/demo/production", None, "UserSegments"),
        ("GET", "/api/v2/segments/demo/production/beta-testers", None, "UserSegment"),
        ("POST", "/api/v2/segments/demo/production", Some(json!({"key": "s", "name": "S"})), "UserSegment"),
        ("PATCH", "/api/v2/segments/demo/production/s", Some(rename.clone()), "UserSegment"),
        ("POST", "/api/v2/tokens", Some(json!({"role": "reader"})), "Token"),
        ("GET", "/api/v2/tokens", None, "Tokens"),
        ("POST", "/api/v2/metrics/demo", Some(click), "MetricRep"),
        ("PATCH", "/api/v2/metrics/demo/bought", Some(rename.clone()), "MetricRep"),
        ("GET", "/api/v2/metrics/demo/order-value", None, "MetricRep"),
        ("GET", "/api/v2/metrics/demo", None, "MetricCollectionRep"),
        ("POST", "/api/v2/account/relay-auto-configs", Some(relays), "RelayAutoConfigRep"),
        ("GET", "/api/v2/account/relay-auto-configs", None, "RelayAutoConfigCollectionRep"),
        ("GET", "/api/v2/nothing", None, "NotFoundErrorRep"),
        ("PATCH", FLAG, Some(json!({})), "InvalidRequestErrorRep"),
        ("POST", "/api/v2/projects", Some(json!({"key": "p", "name": "P"})), "StatusConflictErrorRep"),
    ] {
        let answer = service.rest(method, path, body).await.json();
        let published = &document["components"]["schemas"][schema];
        assert!(published.is_object(), "there is a schema {schema}");
        let mut found = Vec::new();
        faults(&document, published, &answer, schema, &mut found);
        assert!(found.is_empty(), "{method} {path}: {found:#?} in {answer:#}");
    }
}
