//! The switch of a flag in an environment: a form with one button.

use askama::Template;
use askama::filters::HtmlSafe;
use serde::Deserialize;

use crate::auth::Action;
use crate::dashboard::place::Place;
use crate::dashboard::words::{element_id, segment};
use crate::store::flag::{FlagRow, TargetingRow};

/// The page a switch stands on: what is shown after it was flipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::dashboard) enum ShownOn {
    /// One row of the list.
    #[default]
    List,
    /// The flag's own page.
    Flag,
}

/// The switch.
#[derive(Clone, Debug, Template)]
#[template(path = "parts/switch.html")]
pub(in crate::dashboard) struct Switch {
    id: String,
    action: String,
    /// What is swapped after a flip.
    target: String,
    on: bool,
    flag_name: String,
    environment_name: String,
    asks: bool,
    may_change: bool,
    role: &'static str,
    form_token: String,
    version: u64,
    shown_on: ShownOn,
    /// Where to go after a flip without script.
    back: String,
}

impl HtmlSafe for Switch {}

impl Switch {
    /// The switch of a flag, on a page.
    pub(in crate::dashboard) fn new(
        place: &Place,
        flag: &FlagRow,
        targeting: &TargetingRow,
        shown_on: ShownOn,
        back: &str,
    ) -> Self {
        let environment = place.environment();
        let actor = place.session.actor();
        Self {
            id: element_id("switch", &flag.key),
            action: switch_path(place, &flag.key),
            target: shown_on.target(&flag.key),
            on: targeting.targeting.on,
            flag_name: flag.definition.name.clone(),
            environment_name: environment.name.clone(),
            asks: place.asks_before_changes(),
            may_change: actor.may(Action::ChangeFlags).is_ok(),
            role: actor.role.as_str(),
            form_token: place.session.form_token.clone(),
            version: targeting.version,
            shown_on,
            back: back.to_owned(),
        }
    }
}

impl ShownOn {
    /// The id of the element that shows the flag there.
    pub(in crate::dashboard) fn target(self, key: &str) -> String {
        match self {
            ShownOn::List => element_id("flag", key),
            ShownOn::Flag => "flag".to_owned(),
        }
    }

    /// As a form sends it.
    pub(in crate::dashboard) fn as_str(self) -> &'static str {
        match self {
            ShownOn::List => "list",
            ShownOn::Flag => "flag",
        }
    }
}

/// Where a flag is switched.
pub(in crate::dashboard) fn switch_path(place: &Place, key: &str) -> String {
    format!("{}/flags/{}/switch", place.base(), segment(key))
}
