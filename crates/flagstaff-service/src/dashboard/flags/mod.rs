//! Flags: the list, one flag's page, and the switch.

mod clause;
mod flag;
mod history;
mod list;
mod reasons;
mod serves;
mod status;
mod switch;
mod targeting;

use axum::Router;
use axum::routing::get;

pub(super) use serves::Serves;
pub(super) use targeting::{flag_path, rule_sentence};

use crate::SharedApp;

/// The paths of this room.
pub(super) fn router() -> Router<SharedApp> {
    Router::new()
        .route("/ui/{project}/{environment}/flags", get(list::page))
        .route("/ui/{project}/{environment}/flags/{flag}", get(flag::page))
        .route("/ui/{project}/{environment}/flags/{flag}/switch", get(switch::confirm).post(switch::turn))
}
