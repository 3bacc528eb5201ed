//! The list of a project's flags: filtered, sorted, a page at a time.

use std::cmp::Ordering;

use axum::Json;
use axum::extract::State;
use serde_json::Value;

use super::represent::{Detail, flag as represent};
use crate::SharedApp;
use crate::admin_api::params::Params;
use crate::auth::{Action, Caller};
use crate::error::ApiError;
use crate::extract::Keys;
use crate::management::flag::{self as rules, FlagState};

/// `GET /api/v2/flags/{project}`. Environments are shown if they are asked for by `env`, and their
/// rules and targets with `summary=0`.
pub(super) async fn list(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys(project): Keys<String>,
    params: Params,
) -> Result<Json<Value>, ApiError> {
    caller.actor.may(Action::Read)?;
    let page = params.page(20)?;
    let environments: Vec<&str> = params.all("env").flat_map(|keys| keys.split(',')).collect();
    let detail = if params.flag("summary", true)? { Detail::Summary } else { Detail::Full };
    let filters = Filter::of(&params)?;
    let order = Order::of(&params, &environments)?;
    let mut flags = rules::list(&app, &project, &environments).await?;
    flags.retain(|flag| filters.iter().all(|filter| filter.takes(flag)));
    order.sort(&mut flags);
    Ok(Json(params.paged(page, &flags, |flag| represent(flag, detail))))
}

/// One condition on flags.
#[derive(Clone)]
pub(super) enum Filter {
    Query(String),
    Tags(Vec<String>),
    Maintainer(String),
    Temporary(bool),
    Created { before: i64 },
    Available { client: Option<bool>, mobile: Option<bool>, any: bool },
    Nothing,
}

impl Filter {
    /// Those of `filter`, and of the older `query` and `tag`.
    fn of(params: &Params) -> Result<Vec<Self>, ApiError> {
        let mut filters: Vec<Self> =
            params.all("query").map(|text| Filter::Query(text.to_lowercase())).collect();
        filters.extend(params.all("tag").map(|tag| Filter::Tags(vec![tag.to_owned()])));
        if params.flag("archived", false)? {
            filters.push(Filter::Nothing);
        }
        for text in params.all("filter").flat_map(split_filters) {
            filters.push(Self::parse(&text)?);
        }
        Ok(filters)
    }

    fn parse(text: &str) -> Result<Self, ApiError> {
        let wrong = |problem: String| ApiError::bad_request(format!("filter: {problem}"));
        let (field, value) = text.split_once(':').unwrap_or((text, ""));
        let unknown = || wrong(format!("`{}` is not a value of `{field}`", value.escape_debug()));
        Ok(match field {
            "query" => Filter::Query(value.to_lowercase()),
            "tags" => Filter::Tags(value.split(['+', ' ']).map(str::to_owned).collect()),
            "maintainerId" => Filter::Maintainer(value.to_owned()),
            "type" => match value {
                "temporary" => Filter::Temporary(true),
                "permanent" => Filter::Temporary(false),
                _ => return Err(unknown()),
            },
            // Everything is live as long as nothing can be archived or deprecated.
            "state" => match value {
                "live" => Filter::Tags(Vec::new()),
                "archived" | "deprecated" => Filter::Nothing,
                _ => return Err(unknown()),
            },
            "archived" => match value {
                "false" => Filter::Tags(Vec::new()),
                "true" => Filter::Nothing,
                _ => return Err(unknown()),
            },
            "creationDate" => {
                let parsed: Value = serde_json::from_str(value).map_err(|_| unknown())?;
                Filter::Created { before: parsed["before"].as_i64().ok_or_else(unknown)? }
            }
            "sdkAvailability" => match value {
                "client" => Filter::Available { client: Some(true), mobile: None, any: false },
                "mobile" => Filter::Available { client: None, mobile: Some(true), any: false },
                "anyClient" => Filter::Available { client: None, mobile: None, any: true },
                "server" => Filter::Available { client: Some(false), mobile: Some(false), any: false },
                _ => return Err(unknown()),
            },
            // It only names the environment for filters that need one.
            "filterEnv" => Filter::Tags(Vec::new()),
            other => {
                let shown = other.escape_debug();
                return Err(wrong(format!(
                    "there is no filter `{shown}`; there are query, tags, maintainerId, type, state, archived, \
                     creationDate and sdkAvailability"
                )));
            }
        })
    }

    pub(super) fn takes(&self, state: &FlagState) -> bool {
        let definition = &state.flag.definition;
        match self {
            Filter::Query(text) => {
                state.flag.key.to_lowercase().contains(text) || definition.name.to_lowercase().contains(text)
            }
            Filter::Tags(tags) => tags.iter().all(|tag| definition.tags.contains(tag)),
            Filter::Maintainer(id) => definition.maintainer_id.as_ref() == Some(id),
            Filter::Temporary(temporary) => definition.temporary == *temporary,
            Filter::Created { before } => state.flag.created_at < *before,
            Filter::Available { client, mobile, any } => {
                let available = definition.availability;
                client.is_none_or(|wanted| available.using_environment_id == wanted)
                    && mobile.is_none_or(|wanted| available.using_mobile_key == wanted)
                    && (!any || available.using_environment_id || available.using_mobile_key)
            }
            Filter::Nothing => false,
        }
    }
}

/// At the commas, but not those inside braces.
fn split_filters(text: &str) -> Vec<String> {
    let mut filters = vec![String::new()];
    let mut depth = 0_u32;
    for letter in text.chars() {
        match letter {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        match filters.last_mut() {
            Some(last) if letter != ',' || depth > 0 => last.push(letter),
            _ => filters.push(String::new()),
        }
    }
    filters.retain(|filter| !filter.is_empty());
    filters
}

/// By which fields the list is sorted.
pub(super) struct Order(Vec<(Field, bool)>);

#[derive(Clone, Copy)]
enum Field {
    Created,
    Key,
    Name,
    Maintainer,
    Tags,
    Type,
    TargetingChanged,
}

impl Order {
    pub(super) fn of(params: &Params, environments: &[&str]) -> Result<Self, ApiError> {
        let mut fields = Vec::new();
        for text in params.all("sort").flat_map(|text| text.split(',')).filter(|text| !text.is_empty()) {
            let (name, descending) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
            let field = match name {
                "creationDate" => Field::Created,
                "key" => Field::Key,
                "name" => Field::Name,
                "maintainerId" => Field::Maintainer,
                "tags" => Field::Tags,
                "type" => Field::Type,
                "targetingModifiedDate" if environments.is_empty() => {
                    return Err(ApiError::bad_request(
                        "sort: `targetingModifiedDate` needs an environment; give `env`",
                    ));
                }
                "targetingModifiedDate" => Field::TargetingChanged,
                other => {
                    let shown = other.escape_debug();
                    return Err(ApiError::bad_request(format!(
                        "sort: there is no field `{shown}` to sort by"
                    )));
                }
            };
            fields.push((field, descending));
        }
        Ok(Self(fields))
    }

    pub(super) fn sort(&self, flags: &mut [FlagState]) {
        flags.sort_by(|one, other| {
            let by = |&(field, descending): &(Field, bool)| {
                let order = field.compare(one, other);
                if descending { order.reverse() } else { order }
            };
            self.0.iter().map(by).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        });
    }
}

impl Field {
    fn compare(self, one: &FlagState, other: &FlagState) -> Ordering {
        let (first, second) = (&one.flag.definition, &other.flag.definition);
        match self {
            Field::Created => one.flag.created_at.cmp(&other.flag.created_at),
            Field::Key => one.flag.key.cmp(&other.flag.key),
            Field::Name => first.name.to_lowercase().cmp(&second.name.to_lowercase()),
            Field::Maintainer => first.maintainer_id.cmp(&second.maintainer_id),
            Field::Tags => first.tags.cmp(&second.tags),
            Field::Type => first.temporary.cmp(&second.temporary),
            Field::TargetingChanged => {
                let changed = |state: &FlagState| state.environments.first().map(|(_, row)| row.changed_at);
                changed(one).cmp(&changed(other))
            }
        }
    }
}
