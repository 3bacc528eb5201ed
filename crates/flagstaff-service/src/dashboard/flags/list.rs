//! All flags of an environment, one line each.

use std::collections::HashMap;

use askama::Template;
use askama::filters::HtmlSafe;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;

use super::flag_path;
use super::status::Status;
use crate::SharedApp;
use crate::analytics::EvaluationCounts;
use crate::auth::Action;
use crate::dashboard::answer::{Trouble, html};
use crate::dashboard::parts::{Hour, Moment, ShownOn, Switch, Variations};
use crate::dashboard::place::{Frame, Place, Section};
use crate::dashboard::theme::Theme;
use crate::dashboard::tokens::tokens_path;
use crate::dashboard::words::{count, element_id, number};
use crate::store::flag::{self, FlagHeading, FlagRow, TargetingRow};

/// Flags on one page.
const PAGE_SIZE: usize = 50;

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    q: String,
    page: usize,
    /// The flag that was just turned on or off, without script.
    flipped: String,
}

#[derive(Template)]
#[template(path = "flags/list.html")]
struct ListPage {
    frame: Frame,
    results: Results,
    flipped: Option<String>,
}

/// The rows, and how many there are: what a search swaps.
#[derive(Template)]
#[template(path = "flags/results.html")]
struct Results {
    rows: Vec<Row>,
    summary: String,
    /// Whether the summary stands elsewhere on the page and has to be swapped, too.
    fragment: bool,
    query: String,
    clear: String,
    pager: Option<Pager>,
    environment_name: String,
    /// How to make the first flag.
    snippet: String,
    tokens: String,
}

impl HtmlSafe for Results {}

#[derive(Clone, Debug)]
struct Pager {
    range: String,
    before: Option<String>,
    after: Option<String>,
}

/// One flag's line: what a flip swaps.
#[derive(Clone, Debug, Template)]
#[template(path = "flags/row.html")]
pub(super) struct Row {
    id: String,
    switch: Switch,
    name: String,
    url: String,
    key: String,
    tags: Vec<String>,
    status: Status,
    hour: Hour,
    changed: Moment,
    changed_by: String,
    just_changed: bool,
}

impl HtmlSafe for Row {}

/// `GET /ui/{project}/{environment}/flags`.
pub(super) async fn page(
    State(app): State<SharedApp>,
    place: Place,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Trouble> {
    let mut snapshot = app.store.snapshot().await?;
    let environment = place.environment().id;
    let all = flag::count_in_environment(&mut snapshot, environment).await?;
    let words: Vec<String> = wanted.q.split_whitespace().map(str::to_lowercase).collect();
    let matching = match words.as_slice() {
        [] => None,
        words => Some(matching(flag::headings(&mut snapshot, environment).await?, words)),
    };
    let found = matching.as_ref().map_or(all, Vec::len);
    let pages = found.div_ceil(PAGE_SIZE).max(1);
    let page = wanted.page.clamp(1, pages);
    let first = (page - 1) * PAGE_SIZE;
    let shown = match matching {
        Some(keys) => keys.into_iter().skip(first).take(PAGE_SIZE).collect(),
        None => flag::keys_in_environment(&mut snapshot, environment, first, PAGE_SIZE).await?,
    };

    let mut flags = Vec::with_capacity(shown.len());
    for key in &shown {
        flags.extend(flag::one_in_environment(&mut snapshot, environment, key).await?);
    }
    drop(snapshot);
    let back = list_path(&place, &wanted.q, page);
    let rows = rows(&app, &place, &flags, &back).await?;

    let results = Results {
        summary: summary(all, found, &wanted.q),
        rows,
        fragment: place.fragment,
        clear: list_path(&place, "", 1),
        pager: (pages > 1).then(|| Pager {
            range: format!(
                "{}–{} of {}",
                number(first as u64 + 1),
                number((first + shown.len()) as u64),
                number(found as u64)
            ),
            before: (page > 1).then(|| list_path(&place, &wanted.q, page - 1)),
            after: (page < pages).then(|| list_path(&place, &wanted.q, page + 1)),
        }),
        environment_name: place.environment().name.clone(),
        snippet: snippet(&place),
        tokens: tokens_path(&place),
        query: wanted.q.clone(),
    };
    if place.fragment {
        return html(&results);
    }
    let flipped = flags.iter().find(|(flag, _)| flag.key == wanted.flipped);
    let flipped = flipped.map(|(flag, targeting)| flipped_words(&place, flag, targeting));
    html(&ListPage { frame: place.frame(Section::Flags, None, Some(&wanted.q)), results, flipped })
}

/// One line, as it is after a change.
pub(super) async fn changed_row(
    app: &SharedApp,
    place: &Place,
    flag: (FlagRow, TargetingRow),
    back: &str,
) -> Result<Row, Trouble> {
    let mut rows = rows(app, place, &[flag], back).await?;
    let row = rows.pop().ok_or_else(|| Trouble::not_found("the flag is gone"))?;
    Ok(Row { just_changed: true, ..row })
}

/// `Checkout redesign is now on in Staging.`
pub(super) fn flipped_words(place: &Place, flag: &FlagRow, targeting: &TargetingRow) -> String {
    let state = if targeting.targeting.on { "on" } else { "off" };
    format!("{} is now {state} in {}.", flag.definition.name, place.environment().name)
}

async fn rows(
    app: &SharedApp,
    place: &Place,
    flags: &[(FlagRow, TargetingRow)],
    back: &str,
) -> Result<Vec<Row>, Trouble> {
    let environment = place.environment().id;
    let keys: Vec<&str> = flags.iter().map(|(flag, _)| flag.key.as_str()).collect();
    let hours = app.analytics.evaluations_last_hour_of(environment, &keys).await?;
    let evaluated = app.analytics.last_evaluated(environment, &keys).await?;
    let none = EvaluationCounts::default();
    let row = |(flag, targeting): &(FlagRow, TargetingRow)| {
        let hour = hours.get(&flag.key).unwrap_or(&none);
        Row::new(place, flag, targeting, hour, &evaluated, back)
    };
    Ok(flags.iter().map(row).collect())
}

impl Row {
    fn new(
        place: &Place,
        flag: &FlagRow,
        targeting: &TargetingRow,
        hour: &EvaluationCounts,
        evaluated: &HashMap<String, i64>,
        back: &str,
    ) -> Self {
        let last = evaluated.get(&flag.key).copied();
        Self {
            id: element_id("flag", &flag.key),
            switch: Switch::new(place, flag, targeting, ShownOn::List, back),
            name: flag.definition.name.clone(),
            url: flag_path(place, &flag.key),
            key: flag.key.clone(),
            tags: flag.definition.tags.clone(),
            status: Status::of(flag, targeting, last, place.now_ms),
            hour: Hour::new(Variations(&flag.definition.variations), hour, false),
            changed: Moment::new(targeting.changed_at, place.now_ms),
            changed_by: targeting.changed_by.clone(),
            just_changed: false,
        }
    }
}

/// The keys of the flags in which every word is found.
fn matching(headings: Vec<FlagHeading>, words: &[String]) -> Vec<String> {
    let found = |heading: &FlagHeading| words.iter().all(|word| is_found(heading, word));
    headings.into_iter().filter(found).map(|heading| heading.key).collect()
}

fn is_found(heading: &FlagHeading, word: &str) -> bool {
    heading.name.to_lowercase().contains(word)
        || heading.key.to_lowercase().contains(word)
        || heading.tags.iter().any(|tag| tag.to_lowercase().contains(word))
}

fn summary(all: usize, found: usize, query: &str) -> String {
    if query.trim().is_empty() {
        return count(all as u64, "flag", "flags");
    }
    format!("{} of {}", number(found as u64), count(all as u64, "flag", "flags"))
}

/// The list, searched for `query`, at `page`.
fn list_path(place: &Place, query: &str, page: usize) -> String {
    let encode =
        |text| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    let mut parts = Vec::new();
    if !query.trim().is_empty() {
        parts.push(format!("q={}", encode(query)));
    }
    if page > 1 {
        parts.push(format!("page={page}"));
    }
    let path = format!("{}/flags", place.base());
    if parts.is_empty() { path } else { format!("{path}?{}", parts.join("&")) }
}

fn snippet(place: &Place) -> String {
    format!(
        "curl -X POST {}/api/v2/flags/{} \\\n  -H 'Authorization: {}' \\\n  -H 'Content-Type: application/json' \\\n  -d '{{\"key\": \"new-checkout\", \"name\": \"New checkout\"}}'",
        place.origin,
        place.project().key,
        "YOUR-ACCESS-TOKEN",
    )
}

impl Place {
    /// The environment's SDK key, if whoever asks may see it.
    pub(in crate::dashboard) fn sdk_key(&self) -> &str {
        let may = self.session.actor().may(Action::SeeKeys).is_ok();
        if may { &self.environment().sdk_key } else { "YOUR-SDK-KEY" }
    }
}
