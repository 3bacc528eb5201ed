//! Who asks for values: of which environment, for which context, and whether they may.

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts as _, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use flagstaff_eval::{Context, DataSet, PreparedFlag};
use flagstaff_wire::all_flags::{AllFlags, AllFlagsOptions};
use flagstaff_wire::big_segments::ContextHash;
use flagstaff_wire::{paths, secure_mode};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::context::{self, LONGEST_CONTEXT};
use crate::SharedServing;
use crate::auth::client_side::ENVIRONMENT;
use crate::auth::{BrowserEnvironment, Keyed, Lasting, MobileEnvironment, SdkEnvironment};
use crate::error::ApiError;
use crate::extract::{Asked, whole_body};
use crate::live_environment::{Audience, KnownMembers, LiveEnvironment, Moment};

/// Who asks for values.
pub(super) struct Viewer {
    pub(super) live: Arc<LiveEnvironment>,
    /// Cancelled when what this viewer was let in by stops counting.
    pub(super) revoked: CancellationToken,
    pub(super) audience: Audience,
    pub(super) context: Context,
    pub(super) options: AllFlagsOptions,
    /// Tells what is asked for from anything else that is.
    pub(super) question: String,
}

#[derive(Debug, Deserialize)]
struct Query {
    #[serde(default, rename = "withReasons")]
    with_reasons: Option<String>,
    /// The hash of secure mode.
    h: Option<String>,
}

impl FromRequest<SharedServing> for Viewer {
    type Rejection = ApiError;

    async fn from_request(request: Request, serving: &SharedServing) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        let parameters = RawPathParams::from_request_parts(&mut parts, serving).await;
        let parameters =
            parameters.map_err(|error| ApiError::bad_request(format!("the path cannot be read: {error}")))?;
        let parameter =
            |name: &str| parameters.iter().find(|(known, _)| *known == name).map(|(_, value)| value);
        let (audience, live, revoked) = if parameter(ENVIRONMENT).is_some() {
            let Lasting(BrowserEnvironment(live), revoked) =
                Lasting::from_request_parts(&mut parts, serving).await?;
            (Audience::Browser, live, revoked)
        } else if is_second_generation(&parts) {
            let Keyed { live, audience, revoked } = Keyed::find(&parts, serving)?;
            (audience, live, revoked)
        } else if parts.uri.path().starts_with("/m") {
            let Lasting(MobileEnvironment(live), revoked) =
                Lasting::from_request_parts(&mut parts, serving).await?;
            (Audience::Mobile, live, revoked)
        } else {
            let Lasting(SdkEnvironment(live), revoked) =
                Lasting::from_request_parts(&mut parts, serving).await?;
            (Audience::Server, live, revoked)
        };
        let Asked(query) = Asked::<Query>::from_request_parts(&mut parts, serving).await?;

        let mut question = Sha256::new();
        let context = match (parts.method.as_str(), parameter("context")) {
            ("GET" | "HEAD", Some(encoded)) => {
                question.update(encoded);
                context::from_path(encoded)?
            }
            (method, None) if method == "REPORT" || (method == "POST" && is_second_generation(&parts)) => {
                check_is_json(&parts.headers)?;
                let body = whole_body(&parts.headers, body, LONGEST_CONTEXT).await?;
                question.update(&body);
                context::from_json(&body)?
            }
            (_, in_path) => return Err(wrong_method(&parts, in_path.is_some())),
        };
        if audience == Audience::Browser {
            check_hash(&live, &context, query.h.as_deref())?;
        }
        let with_reasons = query.with_reasons.is_some_and(|given| matches!(&*given, "true" | "1" | ""));
        question.update([u8::from(with_reasons), audience as u8]);
        let question = question.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let options = AllFlagsOptions { with_reasons, ..AllFlagsOptions::default() };
        Ok(Self { live, revoked, audience, context, options, question })
    }
}

impl Viewer {
    /// What the context is known by in big segments.
    pub(super) fn hashes(&self) -> Vec<ContextHash> {
        self.context.members().iter().map(|member| ContextHash::of(member.key())).collect()
    }

    /// What has to be known of big segments to see.
    pub(super) async fn members(&self, moment: Moment, data: &DataSet) -> KnownMembers {
        self.live.known_members(moment, data, &self.context).await
    }

    /// What this viewer may see.
    pub(super) fn see<'d>(&self, data: &'d DataSet, members: &KnownMembers) -> AllFlags<'d> {
        let seen = |flag: &PreparedFlag| self.audience.sees(flag);
        AllFlags::of_those(data, members.to_ask(), &self.context, self.options, crate::now_ms(), seen)
    }

    /// What this viewer may see of the flags with these keys.
    pub(super) fn see_of<'d, 'k>(
        &self,
        data: &'d DataSet,
        members: &KnownMembers,
        keys: impl IntoIterator<Item = &'k str>,
    ) -> AllFlags<'d> {
        let seen = |flag: &PreparedFlag| self.audience.sees(flag);
        AllFlags::of_keys(data, members.to_ask(), &self.context, self.options, crate::now_ms(), keys, seen)
    }
}

/// In secure mode a browser has to prove that a server of the environment's owner knows its context.
fn check_hash(live: &LiveEnvironment, context: &Context, shown: Option<&str>) -> Result<(), ApiError> {
    let about = live.about();
    if !about.environment.secure_mode {
        return Ok(());
    }
    let Some(shown) = shown.filter(|shown| !shown.is_empty()) else {
        return Err(ApiError::bad_request(
            "this environment is in secure mode: send the context's secure mode hash, which a server-side SDK makes, as `h`",
        ));
    };
    if about
        .environment
        .sdk_keys(crate::now_ms())
        .any(|key| secure_mode::is_hash(shown, key, context.canonical_key()))
    {
        Ok(())
    } else {
        Err(ApiError::bad_request("the secure mode hash `h` is not that of this context in this environment"))
    }
}

fn check_is_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let message = format!(
        "the content type is `{}`; send the context with `Content-Type: application/json`",
        kind.escape_debug()
    );
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message))
}

fn wrong_method(parts: &Parts, context_in_path: bool) -> ApiError {
    let right = match (context_in_path, is_second_generation(parts)) {
        (true, _) => "GET",
        (false, true) => "POST or REPORT, with the context as the body",
        (false, false) => "REPORT, with the context as the body",
    };
    ApiError::wrong_method(format!("`{}` is not possible here; use {right}", parts.method))
}

/// Whether values are asked for in the words of second-generation delivery, where one path serves everybody.
fn is_second_generation(parts: &Parts) -> bool {
    let path = parts.uri.path();
    path.starts_with(paths::FDV2_POLL_VALUES) || path.starts_with(paths::FDV2_STREAM_VALUES)
}
