//! OpenFeature's remote evaluation protocol, OFREP: values for any OpenFeature provider that speaks it.
//!
//! | Path | What it answers |
//! |---|---|
//! | `POST /ofrep/v1/evaluate/flags/{key}` | one flag |
//! | `POST /ofrep/v1/evaluate/flags` | all flags, with an ETag, and where to hear of changes |
//! | `GET /ofrep/v1/event-streams/{environment}` | that there was a change |
//!
//! The credential is an SDK key, a mobile key or a client-side ID, as `Authorization: Bearer …` or
//! `X-API-Key: …`; it decides which flags are seen. Source: the protocol's public OpenAPI document, 0.3.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use flagstaff_eval::{Context, PreparedFlag};
use flagstaff_wire::all_flags::{AllFlags, AllFlagsOptions, FlagState};
use flagstaff_wire::openfeature::{self, ContextProblem};
use flagstaff_wire::secure_mode;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::context::LONGEST_CONTEXT;
use super::cors::{By, for_pages};
use super::{evaluation, stream};
use crate::SharedServing;
use crate::auth::{asked_filter, filtered, unknown};
use crate::delivery::behind;
use crate::delivery::poll::{WORTH_COMPRESSING, compressed, json as answer_json, json_compressed};
use crate::delivery::poll::{matches, takes_gzip, unchanged};
use crate::error::ApiError;
use crate::extract::{Asked, Keys, whole_body};
use crate::live_environment::{Audience, LiveEnvironment};
use crate::peer::Peer;
use crate::router::wrong_method;

/// After so many seconds in the background a page need not keep its stream.
const INACTIVITY_SECONDS: u32 = 120;

/// The paths of this protocol. Pages of other origins may ask.
pub(super) fn router(serving: &SharedServing) -> Router<SharedServing> {
    Router::new()
        .route("/ofrep/v1/evaluate/flags", for_pages(serving, By::Post, post(all).fallback(wrong_method)))
        .route(
            "/ofrep/v1/evaluate/flags/{key}",
            for_pages(serving, By::Post, post(one).fallback(wrong_method)),
        )
        .route(
            "/ofrep/v1/event-streams/{environment}",
            for_pages(serving, By::Get, get(stream::refetches).fallback(wrong_method)),
        )
}

/// Whose flags are asked for, and which of them may be seen.
struct Asker {
    live: Arc<LiveEnvironment>,
    audience: Audience,
    /// By which payload filter, if by any.
    filter: Option<String>,
}

impl FromRequestParts<SharedServing> for Asker {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, serving: &SharedServing) -> Result<Self, ApiError> {
        let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let bearer = text("authorization").map(|value| {
            let scheme = value.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer "));
            if scheme { value[7..].trim() } else { value }
        });
        let key = bearer.or(text("x-api-key")).filter(|key| !key.is_empty()).ok_or_else(|| {
            ApiError::unauthorized(
                "no key: send an SDK key, a mobile key or a client-side ID as `Authorization: Bearer KEY` or `X-API-Key: KEY`",
            )
        })?;
        let found = (serving.live.by_sdk_key(key).map(|live| (live, Audience::Server)))
            .or_else(|| serving.live.by_mobile_key(key).map(|live| (live, Audience::Mobile)))
            .or_else(|| serving.live.by_client_side_id(key).map(|live| (live, Audience::Browser)));
        let (live, audience) = found.ok_or_else(|| {
            let refusal = "unknown key: it is neither an SDK key, a mobile key nor a client-side ID";
            unknown(serving, ApiError::unauthorized(refusal))
        })?;
        let live = filtered(live, &parts.uri).map_err(|refusal| unknown(serving, refusal))?;
        Ok(Self { live, audience, filter: asked_filter(&parts.uri)? })
    }
}

/// The hash of secure mode, which a browser that is to prove itself adds to the address.
#[derive(serde::Deserialize)]
struct Proof {
    h: Option<String>,
}

/// What is wrong with a request, in the protocol's words.
struct Refusal {
    code: &'static str,
    details: String,
}

impl Refusal {
    fn answer(&self, status: StatusCode, key: Option<&str>) -> Response {
        let mut body = json!({"errorCode": self.code, "errorDetails": self.details});
        if let Some(key) = key {
            body["key"] = key.into();
        }
        (status, Json(body)).into_response()
    }
}

/// `POST /ofrep/v1/evaluate/flags/{key}`
async fn one(
    State(serving): State<SharedServing>,
    asker: Asker,
    Keys(key): Keys<String>,
    Asked(proof): Asked<Proof>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let body = whole_body(&headers, body, LONGEST_CONTEXT).await?;
    let context = match context(&body).and_then(|context| asker.check(context, &proof)) {
        Ok(context) => context,
        Err(refusal) => return Ok(refusal.answer(StatusCode::BAD_REQUEST, Some(&key))),
    };
    let (moment, data) = asker.live.evaluable()?;
    let members = asker.live.known_members(moment, &data, &context).await;
    let (options, now) = (AllFlagsOptions::default(), crate::now_ms());
    let seen = |flag: &PreparedFlag| asker.audience.sees(flag);
    let all = AllFlags::of_keys(&data, members.to_ask(), &context, options, now, [&*key], seen);
    serving.metrics.evaluated_for_client();
    let Some(flag) = all.flags().first() else {
        let details = format!("there is no flag `{}` in this environment", key.escape_debug());
        return Ok(Refusal { code: "FLAG_NOT_FOUND", details }.answer(StatusCode::NOT_FOUND, Some(&key)));
    };
    let evaluated = evaluated(flag, &context, &asker.live);
    let failed = evaluated.get("errorCode").is_some();
    let status = if failed { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    Ok((status, Json(evaluated)).into_response())
}

/// `POST /ofrep/v1/evaluate/flags`
async fn all(
    State(serving): State<SharedServing>,
    asker: Asker,
    peer: Peer,
    Asked(proof): Asked<Proof>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let body = whole_body(&headers, body, LONGEST_CONTEXT).await?;
    let context = match context(&body).and_then(|context| asker.check(context, &proof)) {
        Ok(context) => context,
        Err(refusal) => return Ok(refusal.answer(StatusCode::BAD_REQUEST, None)),
    };
    behind::catch_up_with(&serving, &asker.live, behind::of_poll(&asker.live, &headers)).await?;
    let (moment, data) = asker.live.evaluable()?;
    let url = asker.event_stream(&headers, peer);
    let question = Sha256::new()
        .chain_update([asker.audience as u8])
        .chain_update(url.as_deref().unwrap_or_default())
        .chain_update("\n")
        .chain_update(&body)
        .finalize();
    let question: String = question[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let members = asker.live.known_members(moment, &data, &context).await;
    let tag = format!("{}-{moment}-{question}{}", asker.live.lineage(), members.tag());
    if matches(&headers, &tag) {
        return Ok(unchanged(&asker.live, &tag));
    }
    serving.metrics.evaluated_for_client();
    let packs = takes_gzip(&headers);
    let Asker { live, audience, .. } = asker;
    let (count, environment) = (live.flag_count(), live.clone());
    let work = move || {
        let (options, now) = (AllFlagsOptions::default(), crate::now_ms());
        let seen = |flag: &PreparedFlag| audience.sees(flag);
        let all = AllFlags::of_those(&data, members.to_ask(), &context, options, now, seen);
        let flags: Vec<Value> =
            all.flags().iter().map(|flag| evaluated(flag, &context, &environment)).collect();
        let mut answer = json!({"flags": flags, "metadata": {"version": moment.sequence}});
        if let Some(url) = url {
            answer["eventStreams"] =
                json!([{"type": "sse", "url": url, "inactivityDelaySec": INACTIVITY_SECONDS}]);
        }
        let body = answer.to_string().into_bytes();
        if body.len() < WORTH_COMPRESSING || !packs {
            (body.into(), false)
        } else {
            (compressed(&body), true)
        }
    };
    let (body, is_packed) = evaluation::of_flags(count, work).await?;
    let answer = if is_packed { json_compressed } else { answer_json };
    Ok(answer(&live, &tag, body))
}

impl Asker {
    /// In secure mode a browser has to prove its context.
    fn check(&self, context: Context, proof: &Proof) -> Result<Context, Refusal> {
        let about = self.live.about();
        if self.audience != Audience::Browser || !about.environment.secure_mode {
            return Ok(context);
        }
        let shown = proof.h.as_deref().unwrap_or_default();
        if about
            .environment
            .sdk_keys(crate::now_ms())
            .any(|key| secure_mode::is_hash(shown, key, context.canonical_key()))
        {
            return Ok(context);
        }
        let details = "this environment is in secure mode: send the context's secure mode hash as the query parameter `h`";
        Err(Refusal { code: "INVALID_CONTEXT", details: details.to_owned() })
    }

    /// Where to hear of changes, as this request reached the service. The address names the environment by
    /// its public ID: a browser's stream can carry no key, and nothing but that there was a change is said.
    fn event_stream(&self, headers: &HeaderMap, peer: Peer) -> Option<String> {
        let host = headers.get(header::HOST)?.to_str().ok()?;
        let scheme = if peer.encrypted { "https" } else { "http" };
        let about = self.live.about();
        // A relay may not know it.
        let id = Some(&about.environment.client_side_id).filter(|id| !id.is_empty())?;
        let filter = self.filter.as_deref().map(|key| format!("?filter={key}")).unwrap_or_default();
        Some(format!("{scheme}://{host}/ofrep/v1/event-streams/{id}{filter}"))
    }
}

/// The context of a request.
fn context(body: &[u8]) -> Result<Context, Refusal> {
    let unreadable = |details: String| Refusal { code: "PARSE_ERROR", details };
    let mut request: Value =
        serde_json::from_slice(body).map_err(|error| unreadable(format!("the body is not JSON: {error}")))?;
    let fields: Map<String, Value> = match request.get_mut("context").map(Value::take) {
        Some(Value::Object(fields)) => fields,
        None | Some(Value::Null) => Map::new(),
        Some(_) => return Err(unreadable("`context` is not an object".to_owned())),
    };
    openfeature::context(fields).map_err(|problem| Refusal {
        code: match problem {
            ContextProblem::TargetingKeyMissing(_) => "TARGETING_KEY_MISSING",
            ContextProblem::Invalid(_) => "INVALID_CONTEXT",
        },
        details: problem.to_string(),
    })
}

/// One flag's answer: a value, that the program's own is to be used, or what is wrong.
fn evaluated(flag: &FlagState<'_>, context: &Context, live: &LiveEnvironment) -> Value {
    if flag.reason().error_kind().is_some() {
        let details = "the flag contradicts itself; the service's dashboard says where";
        return json!({"key": flag.key(), "errorCode": "GENERAL", "errorDetails": details});
    }
    let id = live.public_id();
    let metadata =
        openfeature::metadata(flag.reason(), flag.variation_index(), context.canonical_key(), id.as_deref());
    let mut answer =
        json!({"key": flag.key(), "reason": openfeature::reason(flag.reason()), "metadata": metadata});
    // Without either, the program's own default is to be used.
    if let (Some(value), Some(index)) = (flag.value(), flag.variation_index()) {
        answer["value"] = value.clone();
        answer["variant"] = index.to_string().into();
    }
    answer
}
