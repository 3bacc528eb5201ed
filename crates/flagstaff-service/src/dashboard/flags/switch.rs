//! Turning a flag on or off: at once, or after one more step where the environment asks for it.

use askama::Template;
use askama::filters::HtmlSafe;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::targeting::off_sentence;
use super::{Serves, flag as flag_page, flag_path, list};
use crate::SharedApp;
use crate::dashboard::answer::{Trouble, html, own_path, said};
use crate::dashboard::assets::colour_class;
use crate::dashboard::form::Fields;
use crate::dashboard::parts::{Piece, Sentence, ShownOn, Variations, switch_path};
use crate::dashboard::place::{Frame, Place, Section};
use crate::dashboard::theme::Theme;
use crate::dashboard::words::{count, element_id, joined, segment};
use crate::management;
use crate::management::flag::Edit;
use crate::store::flag::{FlagRow, TargetingRow};
use crate::store::targeting::Targeting;

/// The path below an environment.
#[derive(Debug, Deserialize)]
pub(super) struct FlagPath {
    pub(super) flag: String,
}

/// What is asked for.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    on: bool,
    #[serde(default)]
    from: ShownOn,
    #[serde(default)]
    back: String,
}

/// The form of a switch, or of the step that confirms it.
#[derive(Debug, Deserialize)]
pub(super) struct Turn {
    form_token: String,
    on: bool,
    /// The version on the page: a newer one is a conflict.
    version: Option<u64>,
    #[serde(default)]
    from: ShownOn,
    #[serde(default)]
    back: String,
    #[serde(default)]
    confirmed: bool,
    #[serde(default)]
    comment: String,
}

#[derive(Template)]
#[template(path = "flags/confirm_page.html")]
struct ConfirmPage {
    frame: Frame,
    confirm: Confirm,
}

/// The step that confirms a flip: what it does, in words.
#[derive(Clone, Debug, Template)]
#[template(path = "flags/confirm.html")]
struct Confirm {
    alone: bool,
    action: String,
    target: String,
    colour_class: String,
    environment_name: String,
    name: String,
    /// Somebody else has done it meanwhile.
    done: bool,
    on: bool,
    effects: Vec<Sentence>,
    comment_required: bool,
    form_token: String,
    version: u64,
    shown_on: ShownOn,
    back: String,
}

impl HtmlSafe for Confirm {}

/// `GET /ui/{project}/{environment}/flags/{flag}/switch`: says what would happen, and asks.
pub(super) async fn confirm(
    State(app): State<SharedApp>,
    place: Place,
    Path(path): Path<FlagPath>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Trouble> {
    let (flag, targeting) = flag_page::load(&app, &place, &path.flag).await?;
    let confirm = Confirm {
        alone: !place.fragment,
        action: switch_path(&place, &flag.key),
        target: wanted.from.target(&flag.key),
        colour_class: colour_class(&place.environment().colour),
        environment_name: place.environment().name.clone(),
        name: flag.definition.name.clone(),
        done: targeting.targeting.on == wanted.on,
        on: wanted.on,
        effects: effects(&app, &place, &flag, &targeting, wanted.on).await?,
        comment_required: place.environment().require_comments,
        form_token: place.session.form_token.clone(),
        version: targeting.version,
        shown_on: wanted.from,
        back: back(&place, &flag.key, wanted.from, &wanted.back),
    };
    if place.fragment {
        return html(&confirm);
    }
    html(&ConfirmPage { frame: place.frame(Section::Flags, Some(&flag.definition.name), None), confirm })
}

/// `POST /ui/{project}/{environment}/flags/{flag}/switch`.
pub(super) async fn turn(
    State(app): State<SharedApp>,
    place: Place,
    Path(path): Path<FlagPath>,
    headers: HeaderMap,
    Fields(turn): Fields<Turn>,
) -> Result<Response, Trouble> {
    place.session.check_form(&headers, Some(&turn.form_token))?;
    if place.asks_before_changes() && !turn.confirmed {
        return Ok(ask_first(&place, &path.flag, &turn));
    }
    let environment_key = &place.environment().key;
    let edit = Edit {
        project_key: &place.project().key,
        flag_key: &path.flag,
        comment: turn.comment.trim(),
        expected_targeting: turn.version.map(|version| (environment_key.as_str(), version)),
        ..Edit::default()
    };
    management::flag::turn(&app, &place.session.actor(), &edit, environment_key, turn.on).await?;
    let (flag, targeting) = flag_page::load(&app, &place, &path.flag).await?;
    let back = back(&place, &flag.key, turn.from, &turn.back);
    if !place.fragment {
        return Ok(Redirect::to(&with_flipped(&back, &flag.key, turn.from)).into_response());
    }
    let words = list::flipped_words(&place, &flag, &targeting);
    let response = match turn.from {
        ShownOn::List => html(&list::changed_row(&app, &place, (flag, targeting), &back).await?)?,
        ShownOn::Flag => html(&flag_page::FlagView::load(&app, &place, flag, targeting).await?)?,
    };
    Ok(said(response, &words))
}

/// A switch that was rendered before the environment began to ask.
fn ask_first(place: &Place, key: &str, turn: &Turn) -> Response {
    let path = format!("{}?on={}&from={}", switch_path(place, key), turn.on, turn.from.as_str());
    if place.fragment {
        return ([("hx-redirect", path)], ()).into_response();
    }
    Redirect::to(&path).into_response()
}

/// Where to go afterwards: what the form says, if it is one of our pages; else the page it is of.
fn back(place: &Place, key: &str, from: ShownOn, wanted: &str) -> String {
    match (own_path(wanted) == wanted, from) {
        (true, _) => wanted.to_owned(),
        (false, ShownOn::List) => format!("{}/flags", place.base()),
        (false, ShownOn::Flag) => flag_path(place, key),
    }
}

fn with_flipped(back: &str, key: &str, from: ShownOn) -> String {
    let joint = if back.contains('?') { '&' } else { '?' };
    let place = match from {
        ShownOn::List => format!("#{}", element_id("flag", key)),
        ShownOn::Flag => String::new(),
    };
    format!("{back}{joint}flipped={}{place}", segment(key))
}

/// What a flip does, in words.
async fn effects(
    app: &SharedApp,
    place: &Place,
    flag: &FlagRow,
    targeting: &TargetingRow,
    on: bool,
) -> Result<Vec<Sentence>, Trouble> {
    let variations = Variations(&flag.definition.variations);
    let rules = &targeting.targeting;
    let targeted = targeted_words(variations, rules);
    let off = off_sentence(variations, rules);
    let mut effects = if on {
        vec![
            Sentence::default().words("Now ").then(off).words("."),
            Sentence::default().words(format!("Then {targeted}.")),
        ]
    } else {
        vec![
            Sentence::default().words(format!("Now {targeted}.")),
            Sentence::default().words("Then ").then(off).words("; the targeting stays saved."),
        ]
    };
    let hour = app.analytics.evaluations_last_hour_of(place.environment().id, &[&*flag.key]).await?;
    let total = hour.get(&flag.key).map_or(0, |hour| hour.total);
    effects.push(Sentence::default().words(match total {
        0 => "It was not evaluated in the last hour.".to_owned(),
        total => format!("It was evaluated {} in the last hour.", count(total, "time", "times")),
    }));
    effects.extend(dependents(place, &flag.key));
    Ok(effects)
}

/// What targeting does, in one line: `2 rules decide first, and everyone else is served …`.
fn targeted_words(variations: Variations<'_>, targeting: &Targeting) -> String {
    let serves =
        Serves::new(variations, targeting.fallthrough.variation, targeting.fallthrough.rollout.as_ref());
    let served = serves.text();
    let parts = parts(targeting);
    if parts.is_empty() {
        return format!("for everyone: {served}");
    }
    format!("targeting decides, with {}; for everyone else: {served}", joined(&parts, "and"))
}

/// The flags that need this one.
fn dependents(place: &Place, key: &str) -> Option<Sentence> {
    let data = place.live.data().snapshot();
    let mut keys: Vec<String> = data
        .flags()
        .filter(|other| other.prerequisites().any(|needed| needed == key))
        .map(|other| other.key().to_owned())
        .collect();
    keys.sort_unstable();
    if keys.is_empty() {
        return None;
    }
    let mut sentence = Sentence::default().words("It is a prerequisite of ");
    for (index, key) in keys.iter().enumerate() {
        let before = if index == 0 { "" } else { ", " };
        sentence =
            sentence.words(before).and([Piece::Link { text: key.clone(), url: flag_path(place, key) }]);
    }
    Some(sentence.words("."))
}

/// What of the targeting comes before the default rule.
fn parts(targeting: &Targeting) -> Vec<String> {
    let keys: usize = targeting.targets.iter().map(|target| target.values.len()).sum();
    [
        (targeting.prerequisites.len(), "prerequisite", "prerequisites"),
        (keys, "individual target", "individual targets"),
        (targeting.rules.len(), "rule", "rules"),
    ]
    .into_iter()
    .filter(|(size, ..)| *size > 0)
    .map(|(size, one, many)| count(size as u64, one, many))
    .collect()
}
