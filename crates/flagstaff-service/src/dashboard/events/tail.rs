//! The newest events, and one of them whole.

use askama::Template;
use askama::filters::HtmlSafe;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;

use super::line::{KINDS, contexts, flags, has_private, kind, sentence};
use crate::SharedApp;
use crate::analytics::tail::{EventPlace, TailEvent};
use crate::dashboard::answer::{Trouble, html};
use crate::dashboard::parts::Moment;
use crate::dashboard::place::{Frame, Place, Section};
use crate::dashboard::theme::Theme;

/// Events on the page.
const SHOWN: usize = 50;

/// What is asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    kind: String,
    flag: String,
    user: String,
    /// Whether the page stays as it is.
    paused: bool,
}

#[derive(Template)]
#[template(path = "events/page.html")]
struct TailPage {
    frame: Frame,
    wanted: Wanted,
    kinds: [(&'static str, &'static str); 9],
    action: String,
    tail: Tail,
}

/// The lines: what goes on by itself.
#[derive(Template)]
#[template(path = "events/tail.html")]
struct Tail {
    lines: Vec<Line>,
    /// Where the next ones are asked for; none while it is paused.
    next: Option<String>,
    environment_name: String,
    /// Whether only some are wanted.
    filtered: bool,
}

impl HtmlSafe for Tail {}

#[derive(Clone, Debug)]
struct Line {
    id: String,
    at: Moment,
    kind: String,
    words: String,
    private: bool,
    url: String,
}

#[derive(Template)]
#[template(path = "events/event.html")]
struct EventPage {
    frame: Frame,
    words: String,
    at: Moment,
    private: bool,
    json: String,
    back: String,
}

/// `GET /ui/{project}/{environment}/events`.
pub(super) async fn page(
    State(app): State<SharedApp>,
    place: Place,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Trouble> {
    let action = format!("{}/events", place.base());
    let found = app.analytics.newest_events(place.environment().id, SHOWN, |event| wanted.wants(event));
    let tail = Tail {
        lines: found.iter().map(|event| Line::new(&place, &action, event)).collect(),
        next: (!wanted.paused).then(|| wanted.path(&action)),
        environment_name: place.environment().name.clone(),
        filtered: wanted.is_particular(),
    };
    if place.fragment {
        return html(&tail);
    }
    html(&TailPage { frame: place.frame(Section::Events, None, None), wanted, kinds: KINDS, action, tail })
}

/// `GET /ui/{project}/{environment}/events/{batch}/{index}`.
pub(super) async fn event(
    State(app): State<SharedApp>,
    place: Place,
    Path((.., batch, index)): Path<(String, String, u64, usize)>,
) -> Result<Response, Trouble> {
    let found = app.analytics.newest_event(place.environment().id, (batch, index)).ok_or_else(|| {
        Trouble::not_found("this event is not among the newest any more; only those are kept as they came")
    })?;
    let json = serde_json::to_string_pretty(&found.event)
        .unwrap_or_else(|error| unreachable!("what was JSON is JSON: {error}"));
    html(&EventPage {
        frame: place.frame(Section::Events, Some("Event"), None),
        words: sentence(&found.event),
        at: Moment::new(found.received_ms, place.now_ms),
        private: has_private(&found.event),
        json,
        back: format!("{}/events?paused=true", place.base()),
    })
}

impl Wanted {
    fn wants(&self, event: &TailEvent) -> bool {
        let event = &event.event;
        let is = |wanted: &str, known: &str| wanted.trim().is_empty() || wanted.trim() == known;
        is(&self.kind, kind(event))
            && (self.flag.trim().is_empty() || flags(event).contains(&self.flag.trim()))
            && (self.user.trim().is_empty() || contexts(event).iter().any(|key| key == self.user.trim()))
    }

    fn is_particular(&self) -> bool {
        [&self.kind, &self.flag, &self.user].into_iter().any(|wanted| !wanted.trim().is_empty())
    }

    fn path(&self, action: &str) -> String {
        let mut path = format!("{action}?");
        for (name, wanted) in [("kind", &self.kind), ("flag", &self.flag), ("user", &self.user)] {
            if !wanted.trim().is_empty() {
                let wanted =
                    percent_encoding::utf8_percent_encode(wanted.trim(), percent_encoding::NON_ALPHANUMERIC);
                path.push_str(&format!("{name}={wanted}&"));
            }
        }
        path.pop();
        path
    }
}

impl Line {
    fn new(place: &Place, action: &str, event: &TailEvent) -> Self {
        let (batch, index): EventPlace = event.place;
        let known = KINDS.iter().find(|(known, _)| *known == kind(&event.event));
        Self {
            id: format!("event-{batch}-{index}"),
            at: Moment::new(event.received_ms, place.now_ms),
            kind: known.map_or("Other", |(_, words)| words).to_owned(),
            words: sentence(&event.event),
            private: has_private(&event.event),
            url: format!("{action}/{batch}/{index}"),
        }
    }
}
