//! From a REST API by an access token: projects and environments, and what people called everything.
//!
//! A service of ours is asked for its export, which is all of it. Others are asked page by page. Their API does
//! not tell everything that decides evaluations, such as the salts of segments; where the token may see an
//! environment's SDK key, its stream is read for that, and otherwise a note says what could not be known.

use std::collections::btree_map::Entry;

use flagstaff_eval::model::{Flag, Segment};
use flagstaff_service::management::transfer::Document;
use flagstaff_service::management::transfer::document::{
    EnvironmentPart, FORMAT, FlagPart, Items, KeysPart, ProjectPart, RulePart, Section, SegmentPart,
    VariationPart,
};
use reqwest::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::remote::{Api, Network, part, stream_once};
use crate::{Failure, document};

/// How many items are asked for at a time.
const PAGE: usize = 50;

/// What is read, and from where.
#[derive(Debug)]
pub(super) struct Source<'a> {
    pub(super) url: &'a str,
    pub(super) stream_url: &'a str,
    pub(super) token: &'a str,
    /// One project; all when absent.
    pub(super) project: Option<&'a str>,
    /// One environment of each; all when absent.
    pub(super) environment: Option<&'a str>,
    /// Whether the keys that SDKs come with are taken over.
    pub(super) with_keys: bool,
}

impl Source<'_> {
    /// Everything, and what somebody should know about it.
    pub(super) async fn read(&self, network: &Network) -> Result<(Document, Vec<String>), Failure> {
        let api = Api::new(self.url, self.token, network)?;
        if let Some(document) = self.own_export(&api).await? {
            return Ok((document, Vec::new()));
        }
        let mut reading = Reading { source: self, api: &api, network, notes: Vec::new() };
        let projects = match self.project {
            Some(key) => vec![api.get(&format!("/api/v2/projects/{}", part(key))).await?],
            None => reading.pages("/api/v2/projects?").await?,
        };
        let mut section = Section { format: FORMAT, ..Section::default() };
        for project in &projects {
            let key = text(project, "key");
            let read = reading.project(&key, project).await?;
            if !read.environments.is_empty() {
                section.projects.insert(key, read);
            }
        }
        if section.projects.is_empty() {
            return Err(format!("there is no such environment in `{}`", self.url));
        }
        Ok((Document { data: Items::default(), section: Some(section) }, reading.notes))
    }

    /// What a service of ours has; none if it is another.
    async fn own_export(&self, api: &Api) -> Result<Option<Document>, Failure> {
        let mut path = format!("/api/v2/export?keys={}", self.with_keys);
        for (name, value) in [("project", self.project), ("environment", self.environment)] {
            path.extend(value.map(|value| format!("&{name}={}", part(value))));
        }
        match api.get(&path).await {
            Ok(export) if export.get("flagstaff").is_some() => read(export, "its export").map(Some),
            Ok(_) => Ok(None),
            Err(refused) if refused.status == Some(StatusCode::NOT_FOUND) => Ok(None),
            Err(refused) => Err(refused.into()),
        }
    }
}

struct Reading<'a> {
    source: &'a Source<'a>,
    api: &'a Api,
    network: &'a Network,
    notes: Vec<String>,
}

impl Reading<'_> {
    /// All items of a list, page by page. `path` ends where more of the query can follow.
    async fn pages(&self, path: &str) -> Result<Vec<Value>, Failure> {
        let mut all = Vec::new();
        loop {
            let page = self.api.get(&format!("{path}&limit={PAGE}&offset={}", all.len())).await?;
            let items = page["items"].as_array().cloned().unwrap_or_default();
            let has_more = page["_links"]["next"].is_object() && !items.is_empty();
            all.extend(items);
            if !has_more {
                return Ok(all);
            }
        }
    }

    async fn project(&mut self, key: &str, project: &Value) -> Result<ProjectPart, Failure> {
        let mut environments = self.pages(&format!("/api/v2/projects/{}/environments?", part(key))).await?;
        environments.retain(|known| self.source.environment.is_none_or(|wanted| known["key"] == wanted));
        let availability = project["defaultClientSideAvailability"].clone();
        let mut part = ProjectPart {
            name: text(project, "name"),
            tags: texts(project, "tags"),
            new_flag_availability: read(or_object(availability), "a project")?,
            ..ProjectPart::default()
        };
        for environment in &environments {
            let read = self.environment(key, environment, &mut part).await?;
            part.environments.push(read);
        }
        Ok(part)
    }

    async fn environment(
        &mut self,
        project: &str,
        environment: &Value,
        shared: &mut ProjectPart,
    ) -> Result<EnvironmentPart, Failure> {
        let key = text(environment, "key");
        let flags = format!("/api/v2/flags/{}?summary=0&env={}", part(project), part(&key));
        let flags = self.pages(&flags).await?;
        let segments = self.pages(&format!("/api/v2/segments/{}/{}?", part(project), part(&key))).await?;
        let mut own = settings(environment, self.source.with_keys);
        let mut items = Items::default();
        for flag in &flags {
            let flag_key = text(flag, "key");
            let targeting = &flag["environments"][&key];
            if targeting.is_null() {
                continue;
            }
            items.flags.insert(flag_key.clone(), sdk_flag(flag, targeting)?);
            let rules = rule_parts(&targeting["rules"]);
            if !rules.is_empty() {
                own.rules.insert(flag_key.clone(), rules);
            }
            if let Entry::Vacant(place) = shared.flags.entry(flag_key) {
                place.insert(flag_part(flag)?);
            }
        }
        for segment in &segments {
            let segment_key = text(segment, "key");
            items.segments.insert(segment_key.clone(), sdk_segment(segment)?);
            own.segments.insert(segment_key, segment_part(segment));
        }
        self.make_exact(project, environment, &mut items).await;
        own.data = Some(items);
        Ok(own)
    }

    /// What SDKs get is exactly what decides; the REST API leaves some of it out.
    async fn make_exact(&mut self, project: &str, environment: &Value, items: &mut Items) {
        let key = text(environment, "key");
        let sdk_key = text(environment, "apiKey");
        let streamed = if sdk_key.is_empty() || sdk_key.contains('*') {
            Err("the token may not see its SDK key".to_owned())
        } else {
            stream_once(self.source.stream_url, &sdk_key, self.network).await
        };
        match streamed {
            Ok(data) => *items = document::items(data),
            Err(why) => {
                self.notes.push(format!(
                    "`{project}/{key}` is taken from the REST API alone ({why}): experiments come over as the splits \
                     that it tells"
                ));
                let has_share = |segment: &&Segment| {
                    segment.salt.is_empty() && segment.rules.iter().any(|rule| rule.weight.is_some())
                };
                for segment in items.segments.values().filter(has_share) {
                    self.notes.push(format!(
                        "segment `{}` in `{project}/{key}` takes in a share of contexts, and the REST API does not \
                         tell by which salt: others will be in it; import this environment with --from-sdk-key",
                        segment.key
                    ));
                }
            }
        }
    }
}

fn settings(environment: &Value, with_keys: bool) -> EnvironmentPart {
    let is = |name: &str| environment[name].as_bool().unwrap_or_default();
    let keys = KeysPart {
        sdk_key: text(environment, "apiKey"),
        mobile_key: text(environment, "mobileKey"),
        client_side_id: text(environment, "_id"),
    };
    let is_whole = !keys.sdk_key.is_empty() && !keys.sdk_key.contains('*') && !keys.mobile_key.contains('*');
    EnvironmentPart {
        key: text(environment, "key"),
        name: text(environment, "name"),
        color: text(environment, "color"),
        tags: texts(environment, "tags"),
        default_ttl: environment["defaultTtl"].as_i64().unwrap_or_default(),
        secure_mode: is("secureMode"),
        default_track_events: is("defaultTrackEvents"),
        confirm_changes: is("confirmChanges"),
        require_comments: is("requireComments"),
        critical: is("critical"),
        keys: (with_keys && is_whole).then_some(keys),
        ..EnvironmentPart::default()
    }
}

/// A flag of one environment as SDKs get it, as far as the API tells.
fn sdk_flag(flag: &Value, targeting: &Value) -> Result<Flag, Failure> {
    let values: Vec<Value> = flag["variations"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|variation| variation["value"].clone())
        .collect();
    let mut json = Map::new();
    for name in [
        "on",
        "salt",
        "targets",
        "contextTargets",
        "prerequisites",
        "offVariation",
        "trackEvents",
        "trackEventsFallthrough",
    ] {
        json.insert(name.to_owned(), targeting[name].clone());
    }
    json.insert("debugEventsUntilDate".to_owned(), targeting["_debugEventsUntilDate"].clone());
    json.insert("key".to_owned(), flag["key"].clone());
    json.insert("version".to_owned(), json!(1));
    json.insert("variations".to_owned(), json!(values));
    json.insert("clientSide".to_owned(), flag["includeInSnippet"].clone());
    json.insert("clientSideAvailability".to_owned(), flag["clientSideAvailability"].clone());
    json.insert("fallthrough".to_owned(), served(&targeting["fallthrough"]));
    let rules = targeting["rules"].as_array().into_iter().flatten().map(|rule| {
        let mut sent = served(rule);
        sent["id"] = rule["_id"].clone();
        sent["clauses"] = rule["clauses"].clone();
        sent["trackEvents"] = rule["trackEvents"].clone();
        sent
    });
    json.insert("rules".to_owned(), rules.collect());
    read(Value::Object(json), "a flag")
}

/// A variation, or a split; one that is measured says so in another way than to SDKs.
fn served(given: &Value) -> Value {
    let mut rollout = given["rollout"].clone();
    if rollout["experimentAllocation"].is_object() {
        rollout["kind"] = json!("experiment");
    }
    let mut sent = Map::new();
    if !given["variation"].is_null() {
        sent.insert("variation".to_owned(), given["variation"].clone());
    }
    if !rollout.is_null() {
        sent.insert("rollout".to_owned(), rollout);
    }
    Value::Object(sent)
}

fn flag_part(flag: &Value) -> Result<FlagPart, Failure> {
    let variation = |variation: &Value| VariationPart {
        id: text(variation, "_id"),
        name: filled(variation, "name"),
        description: filled(variation, "description"),
    };
    let defaults = &flag["defaults"];
    Ok(FlagPart {
        name: text(flag, "name"),
        description: text(flag, "description"),
        tags: texts(flag, "tags"),
        temporary: flag["temporary"].as_bool().unwrap_or(true),
        maintainer: filled(&flag["_maintainer"], "email"),
        defaults: if defaults.is_object() {
            Some(read(defaults.clone(), "a flag's defaults")?)
        } else {
            None
        },
        created_at: flag["creationDate"].as_i64(),
        variations: flag["variations"].as_array().into_iter().flatten().map(variation).collect(),
    })
}

fn sdk_segment(segment: &Value) -> Result<Segment, Failure> {
    let mut json = segment.clone();
    for rule in json["rules"].as_array_mut().into_iter().flatten() {
        rule["id"] = rule["_id"].clone();
    }
    json["deleted"] = json!(false);
    read(json, "a segment")
}

fn segment_part(segment: &Value) -> SegmentPart {
    SegmentPart {
        name: text(segment, "name"),
        description: text(segment, "description"),
        tags: texts(segment, "tags"),
        created_at: segment["creationDate"].as_i64(),
        rules: rule_parts(&segment["rules"]),
    }
}

fn rule_parts(rules: &Value) -> Vec<RulePart> {
    let part = |rule: &Value| RulePart {
        description: filled(rule, "description"),
        clauses: rule["clauses"].as_array().into_iter().flatten().map(|clause| text(clause, "_id")).collect(),
    };
    rules.as_array().into_iter().flatten().map(part).collect()
}

fn read<T: DeserializeOwned>(json: Value, what: &str) -> Result<T, Failure> {
    let key = text(&json, "key");
    serde_json::from_value(json).map_err(|error| format!("{what} `{key}` cannot be understood: {error}"))
}

fn or_object(value: Value) -> Value {
    if value.is_object() { value } else { json!({}) }
}

fn text(json: &Value, name: &str) -> String {
    json[name].as_str().unwrap_or_default().to_owned()
}

fn filled(json: &Value, name: &str) -> Option<String> {
    json[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn texts(json: &Value, name: &str) -> Vec<String> {
    json[name].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
