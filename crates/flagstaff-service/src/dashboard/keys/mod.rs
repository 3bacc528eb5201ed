//! The keys that SDKs of an environment come with: masked until somebody wants to see them, and renewed.

use askama::Template;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use jiff::Timestamp;
use serde::Deserialize;

use super::answer::{Trouble, html};
use super::form::Fields;
use super::place::{Frame, Place, Section};
use super::theme::Theme;
use super::words::sentence;
use crate::SharedApp;
use crate::auth::Action;
use crate::auth::secret::mask;
use crate::management::{ChangeError, environment as rules};

const HOUR_MS: i64 = 60 * 60 * 1000;
/// For how many hours an old SDK key may be chosen to count on.
const KEEP: [(i64, &str); 4] = [
    (24, "counts on for a day"),
    (168, "counts on for a week"),
    (1, "counts on for an hour"),
    (0, "stops at once"),
];

/// The paths of this room.
pub(super) fn router() -> Router<SharedApp> {
    const PATH: &str = "/ui/{project}/{environment}/keys";
    Router::new()
        .route(PATH, get(page))
        .route(&format!("{PATH}/sdk"), post(renew_sdk_key))
        .route(&format!("{PATH}/mobile"), post(renew_mobile_key))
}

/// Which key is shown in full, and which was just made.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    show: String,
    renewed: String,
}

/// The form that makes a new SDK key.
#[derive(Debug, Deserialize)]
struct RenewSdkKey {
    form_token: String,
    keep_hours: i64,
}

/// The form that makes a new mobile key.
#[derive(Debug, Deserialize)]
struct RenewMobileKey {
    form_token: String,
}

#[derive(Template)]
#[template(path = "keys/page.html")]
struct KeysPage {
    frame: Frame,
    keys: Vec<Key>,
    may_renew: bool,
    renewed: bool,
    problem: Option<String>,
}

struct Key {
    /// In addresses: `sdk`, `mobile` or `client`.
    id: &'static str,
    name: &'static str,
    /// Its name within a sentence.
    noun: &'static str,
    purpose: &'static str,
    /// As it stands on the page.
    text: String,
    /// Whether all of it stands there.
    is_whole: bool,
    is_secret: bool,
    /// The one before, masked, and until when it counts: for programs and for people.
    older: Option<(String, String, String)>,
    /// Where a new one is made.
    renew: Option<String>,
    /// What may become of the one before: hours, and words.
    keep: &'static [(i64, &'static str)],
}

/// `GET /ui/{project}/{environment}/keys`; `?show=sdk` shows that one in full.
async fn page(
    State(_): State<SharedApp>,
    place: Place,
    Query(asked): Query<Asked>,
) -> Result<Response, Trouble> {
    html(&KeysPage::of(&place, &asked)?)
}

/// `POST …/keys/sdk`: makes a new SDK key; the one before counts on for so many hours.
async fn renew_sdk_key(
    State(app): State<SharedApp>,
    place: Place,
    headers: HeaderMap,
    Fields(form): Fields<RenewSdkKey>,
) -> Result<Response, Trouble> {
    place.session.check_form(&headers, Some(&form.form_token))?;
    let known = KEEP.iter().any(|(hours, _)| *hours == form.keep_hours);
    let expiry = (form.keep_hours > 0 && known).then(|| place.now_ms + form.keep_hours * HOUR_MS);
    if !known {
        let problem = "choose how long the old key counts on";
        return html(&KeysPage {
            problem: Some(sentence(problem)),
            ..KeysPage::of(&place, &Asked::default())?
        });
    }
    let (project, environment) = (&place.project().key, &place.environment().key);
    let renewed = rules::renew_sdk_key(&app, &place.session.actor(), project, environment, expiry).await;
    answer(&place, "sdk", renewed.map(drop))
}

/// `POST …/keys/mobile`: makes a new mobile key; the one before stops at once.
async fn renew_mobile_key(
    State(app): State<SharedApp>,
    place: Place,
    headers: HeaderMap,
    Fields(form): Fields<RenewMobileKey>,
) -> Result<Response, Trouble> {
    place.session.check_form(&headers, Some(&form.form_token))?;
    let (project, environment) = (&place.project().key, &place.environment().key);
    let renewed = rules::renew_mobile_key(&app, &place.session.actor(), project, environment).await;
    answer(&place, "mobile", renewed.map(drop))
}

/// To the page with the new key, by an address that can be loaded again; or what is in the way.
fn answer(place: &Place, id: &str, renewed: Result<(), ChangeError>) -> Result<Response, Trouble> {
    match renewed {
        Ok(()) => {
            let path = format!("{}/keys?show={id}&renewed={id}#{id}", place.base());
            Ok(Redirect::to(&path).into_response())
        }
        Err(error @ ChangeError::Invalid { .. }) => {
            let problem = Some(sentence(&error.to_string()));
            html(&KeysPage { problem, ..KeysPage::of(place, &Asked::default())? })
        }
        Err(error) => Err(error.into()),
    }
}

impl KeysPage {
    fn of(place: &Place, asked: &Asked) -> Result<Self, Trouble> {
        let actor = place.session.actor();
        actor.may(Action::SeeKeys).map_err(ChangeError::from)?;
        let may_renew = actor.may(Action::ChangeProjects).is_ok();
        let environment = place.environment();
        let key = |id: &'static str, [name, noun]: [&'static str; 2], purpose, secret: &str| {
            let is_whole = asked.show == id;
            Key {
                id,
                name,
                noun,
                purpose,
                text: if is_whole { secret.to_owned() } else { mask(secret) },
                is_whole,
                is_secret: true,
                older: None,
                renew: may_renew.then(|| format!("{}/keys/{id}", place.base())),
                keep: &[],
            }
        };
        let sdk = Key {
            older: environment.old_sdk_key(place.now_ms).map(|old| {
                let until = Timestamp::from_millisecond(old.until).unwrap_or(Timestamp::MAX);
                (mask(&old.key), until.to_string(), until.strftime("%-d %b %Y, %H:%M UTC").to_string())
            }),
            keep: &KEEP,
            ..key(
                "sdk",
                ["SDK key", "SDK key"],
                "For programs on servers. It is a secret: it reads all flags, rules and targets.",
                &environment.sdk_key,
            )
        };
        let mobile = key(
            "mobile",
            ["Mobile key", "mobile key"],
            "For programs on phones and desktops. It gets values alone, of flags that are made available to them.",
            &environment.mobile_key,
        );
        let client = Key {
            text: environment.client_side_id.clone(),
            is_whole: true,
            is_secret: false,
            renew: None,
            ..key(
                "client",
                ["Client-side ID", "client-side ID"],
                "For pages in browsers. Everybody may know it.",
                "",
            )
        };
        Ok(Self {
            frame: place.frame(Section::Keys, None, None),
            keys: vec![sdk, mobile, client],
            may_renew,
            renewed: !asked.renewed.is_empty(),
            problem: None,
        })
    }
}
