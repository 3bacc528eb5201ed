//! One flag in one environment: what it is, who gets what, and what happened to it.

use std::collections::HashMap;

use askama::Template;
use askama::filters::HtmlSafe;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;

use super::history::{self, Event};
use super::list::flipped_words;
use super::reasons::{self, Reason};
use super::switch::FlagPath;
use super::targeting::{Names, TargetingView, flag_path};
use crate::SharedApp;
use crate::analytics::{BucketSize, EvaluationCounts};
use crate::dashboard::answer::{Trouble, html};
use crate::dashboard::parts::{Hour, Moment, ShownOn, Switch, VariationMark, Variations};
use crate::dashboard::place::{Frame, Place, Section};
use crate::dashboard::theme::Theme;
use crate::store::flag::{self, FlagRow, TargetingRow};
use crate::store::{audit, segment};

/// How far back the history goes on this page.
const SHOWN_EVENTS: usize = 8;
const MINUTE_MS: i64 = 60_000;

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    /// The flag was just turned on or off, without script.
    flipped: String,
}

#[derive(Template)]
#[template(path = "flags/page.html")]
struct FlagPage {
    frame: Frame,
    flag: FlagView,
    flipped: Option<String>,
}

/// Everything about the flag: what a flip swaps.
#[derive(Template)]
#[template(path = "flags/flag.html")]
pub(super) struct FlagView {
    name: String,
    key: String,
    description: String,
    tags: Vec<String>,
    temporary: bool,
    environment_name: String,
    on: bool,
    switch: Switch,
    changed: Moment,
    changed_by: String,
    hour: Hour,
    reasons: Vec<Reason>,
    targeting: TargetingView,
    variations: Vec<(usize, VariationMark, Option<String>)>,
    events: Vec<Event>,
    more_events: bool,
    snippet: String,
}

impl HtmlSafe for FlagView {}

/// `GET /ui/{project}/{environment}/flags/{flag}`.
pub(super) async fn page(
    State(app): State<SharedApp>,
    place: Place,
    Path(path): Path<FlagPath>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Trouble> {
    let (flag, targeting) = load(&app, &place, &path.flag).await?;
    let flipped = (wanted.flipped == flag.key).then(|| flipped_words(&place, &flag, &targeting));
    let frame = place.frame(Section::Flags, Some(&flag.definition.name), None);
    let flag = FlagView::load(&app, &place, flag, targeting).await?;
    html(&FlagPage { frame, flag, flipped })
}

/// The flag with this key, and its targeting here.
pub(super) async fn load(
    app: &SharedApp,
    place: &Place,
    key: &str,
) -> Result<(FlagRow, TargetingRow), Trouble> {
    let found = flag::one_in_environment(&mut *app.store.read().await?, place.environment().id, key).await?;
    found.ok_or_else(|| {
        Trouble::not_found(format!("there is no flag `{key}` in {}", place.environment().name))
    })
}

impl FlagView {
    /// Reads what the page tells beside the flag itself.
    pub(super) async fn load(
        app: &SharedApp,
        place: &Place,
        flag: FlagRow,
        targeting: TargetingRow,
    ) -> Result<Self, Trouble> {
        let environment = place.environment();
        let mut snapshot = app.store.snapshot().await?;
        let segments = segment::in_environment(&mut snapshot, environment.id).await?;
        let mut flags = HashMap::new();
        for needed in &targeting.targeting.prerequisites {
            if let Some(row) = flag::by_key(&mut snapshot, place.project().id, &needed.key).await? {
                flags.insert(needed.key.clone(), row);
            }
        }
        let entries = audit::of_item(&mut snapshot, &place.project().key, "flag", &flag.key, 50).await?;
        drop(snapshot);
        let names = Names { segments: segments.into_iter().map(|row| (row.key, row.name)).collect(), flags };
        let mut events = history::events(entries, &environment.key, &flag.definition, place.now_ms);
        let more_events = events.len() > SHOWN_EVENTS;
        events.truncate(SHOWN_EVENTS);
        let variations = Variations(&flag.definition.variations);
        let reasons = reasons::last_day(app, place, &flag, &targeting.targeting).await?;
        let hour = last_hour(app, place, &flag.key).await?;
        Ok(Self {
            switch: Switch::new(place, &flag, &targeting, ShownOn::Flag, &flag_path(place, &flag.key)),
            reasons,
            hour: Hour::new(variations, &hour, true),
            targeting: TargetingView::new(place, &flag, &targeting.targeting, &names),
            variations: flag
                .definition
                .variations
                .iter()
                .enumerate()
                .map(|(index, known)| {
                    (index, variations.mark_or_missing(index as i64), known.description.clone())
                })
                .collect(),
            on: targeting.targeting.on,
            changed: Moment::new(targeting.changed_at, place.now_ms),
            changed_by: targeting.changed_by,
            environment_name: environment.name.clone(),
            events,
            more_events,
            snippet: snippet(place, &flag.key),
            name: flag.definition.name,
            key: flag.key,
            description: flag.definition.description,
            tags: flag.definition.tags,
            temporary: flag.definition.temporary,
        })
    }
}

async fn last_hour(app: &SharedApp, place: &Place, key: &str) -> Result<EvaluationCounts, Trouble> {
    let range = (place.now_ms - 59 * MINUTE_MS, place.now_ms + MINUTE_MS);
    let buckets = app.analytics.evaluations_of(place.environment().id, key, range, BucketSize::Hour).await?;
    let mut sum = EvaluationCounts::default();
    for bucket in buckets {
        sum.total += bucket.counts.total;
        for (variation, count) in bucket.counts.by_variation {
            *sum.by_variation.entry(variation).or_default() += count;
        }
    }
    Ok(sum)
}

/// How targeting is changed until that can be done here.
fn snippet(place: &Place, key: &str) -> String {
    format!(
        "curl -X PATCH {}/api/v2/flags/{}/{key} \\\n  -H 'Authorization: YOUR-ACCESS-TOKEN' \\\n  -H 'Content-Type: application/json; domain-model=launchdarkly.semanticpatch' \\\n  -d '{{\"environmentKey\": \"{}\", \"instructions\": [{{\"kind\": \"turnFlagOn\"}}]}}'",
        place.origin,
        place.project().key,
        place.environment().key,
    )
}
