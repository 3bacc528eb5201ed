//! `POST /api/v2/projects/{project}/environments/{environment}/flags/evaluate`: what a context gets, for people
//! and scripts that want to know. It leaves no trace: nothing is counted, and the context is not seen.
//!
//! Beside the published shape an item has `variation`, the index of what is served.

use axum::Json;
use axum::extract::{Request, State};
use flagstaff_eval::Reason;
use flagstaff_wire::all_flags::{AllFlags, AllFlagsOptions, FlagState as Evaluated};
use serde_json::{Value, json};

use super::list::{Filter, Order};
use crate::SharedApp;
use crate::admin_api::body::JsonBody;
use crate::admin_api::link::{link, part};
use crate::admin_api::params::Params;
use crate::auth::{Action, Caller};
use crate::client_side::context::{self, LONGEST_CONTEXT};
use crate::client_side::evaluation;
use crate::error::ApiError;
use crate::extract::Keys;
use crate::management::environment;
use crate::management::flag::{self as rules, FlagState};

/// `?limit=…&offset=…&sort=…&filter=query equals …, tags contains […]`, with the context as the body.
pub(super) async fn evaluate(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys((project_key, environment_key)): Keys<(String, String)>,
    params: Params,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    caller.actor.may(Action::Read)?;
    let page = params.page_or_all()?;
    let filters = params.all("filter").map(parse).collect::<Result<Vec<_>, _>>()?.concat();
    let order = Order::of(&params, &[])?;
    let body = JsonBody::up_to(LONGEST_CONTEXT, request).await?;
    let context = context::from_value(&body.read()?)?;
    let (_, environment) = environment::get(&app, &project_key, &environment_key).await?;
    let mut flags = rules::list(&app, &project_key, &[]).await?;
    flags.retain(|flag| filters.iter().all(|filter| filter.takes(flag)));
    order.sort(&mut flags);

    let live = app.live.by_id(environment.id).ok_or_else(|| {
        ApiError::not_found(format!("environment `{environment_key}` of project `{project_key}` is gone"))
    })?;
    let (moment, data) = live.evaluable()?;
    let members = live.known_members(moment, &data, &context).await;
    let place = format!("/{}/{}", part(&project_key), part(&environment_key));
    let work = move || {
        params.paged(page, &flags, |flag| {
            let options = AllFlagsOptions { with_reasons: true, ..AllFlagsOptions::default() };
            let key = flag.flag.key.as_str();
            let evaluated =
                AllFlags::of_keys(&data, members.to_ask(), &context, options, crate::now_ms(), [key], |_| {
                    true
                });
            represent(&place, flag, evaluated.flags().first())
        })
    };
    Ok(Json(evaluation::of_flags(live.flag_count(), work).await?))
}

fn represent(place: &str, flag: &FlagState, evaluated: Option<&Evaluated<'_>>) -> Value {
    let key = &flag.flag.key;
    let page = json!({"href": format!("/ui{place}/flags/{}", part(key)), "type": "text/html"});
    // A flag that was made a moment ago may not be in force yet.
    let not_yet = || json!({"kind": "ERROR", "errorKind": "FLAG_NOT_FOUND"});
    let mut item = json!({
        "key": key,
        "name": flag.flag.definition.name,
        "_value": evaluated.and_then(Evaluated::value),
        "reason": evaluated.map_or_else(not_yet, |evaluated| reason(evaluated.reason())),
        "_links": {"self": link(format!("/api/v2/flags{}/{}", place.rsplit_once('/').map_or("", |(project, _)| project), part(key))), "site": page},
    });
    if let Some(index) = evaluated.and_then(Evaluated::variation_index) {
        item["variation"] = index.into();
    }
    item
}

/// In this API's spelling.
fn reason(reason: &Reason<'_>) -> Value {
    let mut told = json!(reason);
    if let Some(id) = told.as_object_mut().and_then(|told| told.remove("ruleId")) {
        told["ruleID"] = id;
    }
    told
}

/// The filters of this path, which are written unlike those of the list.
fn parse(text: &str) -> Result<Vec<Filter>, ApiError> {
    let wrong = || {
        ApiError::bad_request(format!(
            "filter: `{}` is neither `query equals TEXT` nor `tags contains [\"TAG\", …]`, nor both with a comma between them",
            text.escape_debug()
        ))
    };
    let mut filters = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        if let Some(query) = rest.strip_prefix("query equals ") {
            let (query, after) = query.split_once(',').unwrap_or((query, ""));
            filters.push(Filter::Query(query.trim().trim_matches('"').to_lowercase()));
            rest = after.trim();
        } else if let Some(tags) = rest.strip_prefix("tags contains ") {
            let end = tags.find(']').ok_or_else(wrong)? + 1;
            let (tags, after) = tags.split_at(end);
            filters.push(Filter::Tags(serde_json::from_str(tags).map_err(|_| wrong())?));
            rest = after.trim().trim_start_matches(',').trim();
        } else {
            return Err(wrong());
        }
    }
    Ok(filters)
}
