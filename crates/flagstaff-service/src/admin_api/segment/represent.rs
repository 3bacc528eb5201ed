//! A segment as the API shows it.

use serde_json::{Map, Value, json};

use crate::admin_api::link::{link, part};
use crate::management::segment::SegmentState;
use crate::store::big_segment::Filling;
use crate::store::environment::Environment;
use crate::store::membership::SegmentRule;
use crate::store::project::Project;
use crate::store::segment::SegmentRow;

/// A segment with the flags that use it.
pub(super) fn with_flags(state: &SegmentState) -> Value {
    let mut value = segment(&state.project, &state.environment, &state.row, state.filling.as_ref());
    let (project, environment) = (part(&state.project.key), part(&state.environment.key));
    let flag = |(key, name): &(String, String)| {
        let key_part = part(key);
        json!({
            "key": key,
            "name": name,
            "_links": {"self": link(format!("/api/v2/flags/{project}/{key_part}"))},
            "_site": {"href": format!("/ui/{project}/{environment}/flags/{key_part}"), "type": "text/html"},
        })
    };
    value["_flags"] = state.flags.iter().map(flag).collect();
    value
}

/// A segment; of a big one, which lists nobody, how many are in it.
pub(super) fn segment(
    project: &Project,
    environment: &Environment,
    row: &SegmentRow,
    filling: Option<&Filling>,
) -> Value {
    let membership = &row.membership;
    let parent = format!("/api/v2/segments/{}/{}", part(&project.key), part(&environment.key));
    let own = format!("{parent}/{}", part(&row.key));
    let mut value = json!({
        "_links": {"parent": link(&parent), "self": link(&own)},
        "key": row.key,
        "name": row.name,
        "description": row.description,
        "tags": row.tags,
        "creationDate": row.created_at,
        "lastModifiedDate": row.changed_at,
        "included": membership.included,
        "excluded": membership.excluded,
        "includedContexts": membership.included_contexts,
        "excludedContexts": membership.excluded_contexts,
        "rules": membership.rules.iter().map(rule).collect::<Vec<_>>(),
        "version": row.version,
        "deleted": false,
        "generation": membership.generation.unwrap_or(0),
        "unbounded": membership.unbounded,
    });
    if let Some(kind) = &membership.unbounded_context_kind {
        value["unboundedContextKind"] = json!(kind);
    }
    if membership.unbounded {
        value["_unboundedMetadata"] = json!({
            "envId": environment.client_side_id,
            "segmentId": row.public_id,
            "version": row.version,
            "includedCount": filling.map_or(0, |filling| filling.included),
            "excludedCount": filling.map_or(0, |filling| filling.excluded),
            "lastModified": filling.map_or(row.created_at, |filling| filling.changed_at),
            "deleted": false,
        });
    }
    value
}

fn rule(rule: &SegmentRule) -> Value {
    let clauses: Vec<Value> = rule
        .clauses
        .iter()
        .map(|clause| {
            let mut value = json!(clause.clause);
            value["_id"] = json!(clause.id);
            value
        })
        .collect();
    let mut value =
        Map::from_iter([("_id".to_owned(), json!(rule.id)), ("clauses".to_owned(), json!(clauses))]);
    let mut add = |name: &str, present: Option<Value>| {
        if let Some(present) = present {
            value.insert(name.to_owned(), present);
        }
    };
    add("weight", rule.weight.map(Value::from));
    add("rolloutContextKind", rule.rollout_context_kind.clone().map(Value::from));
    add("bucketBy", rule.bucket_by.clone().map(Value::from));
    add("description", rule.description.clone().map(Value::from));
    Value::Object(value)
}
