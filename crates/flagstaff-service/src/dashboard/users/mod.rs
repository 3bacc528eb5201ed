//! Users seen: the list, and one user's page.

mod avatar;
mod list;
mod user;
mod values;

use axum::Router;
use axum::routing::get;

use crate::SharedApp;
use crate::analytics::SeenUser;
use crate::dashboard::place::Place;
use crate::dashboard::words::segment;

/// The paths of this room.
pub(super) fn router() -> Router<SharedApp> {
    Router::new()
        .route("/ui/{project}/{environment}/users", get(list::page))
        .route("/ui/{project}/{environment}/users/{user}", get(user::page))
        .route("/ui/{project}/{environment}/users/{user}/avatar", get(avatar::picture))
}

fn user_path(place: &Place, key: &str) -> String {
    format!("{}/users/{}", place.base(), segment(key))
}

/// Up to two letters in the place of a picture, or behind it until it has come.
fn initials(user: &SeenUser) -> String {
    let name = user.display_name();
    let name = name.split('@').next().unwrap_or_default();
    let words: Vec<&str> =
        name.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let first = |word: &&str| word.chars().next().into_iter().flat_map(char::to_uppercase).next();
    match words.as_slice() {
        [] => "?".to_owned(),
        [one] => first(one).into_iter().collect(),
        [one, .., last] => first(one).into_iter().chain(first(last)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn initials_come_from_what_the_user_is_called() {
        let check = |attributes: serde_json::Value, expected: &str| {
            let user = SeenUser {
                key: "key-1".to_owned(),
                attributes: attributes.as_object().cloned().unwrap_or_default(),
                redacted: Vec::new(),
                first_seen_ms: 0,
                last_seen_ms: 0,
            };
            assert_eq!(initials(&user), expected, "{attributes}");
        };
        check(json!({"name": "Ada King Lovelace"}), "AL");
        check(json!({"firstName": "Øyvind"}), "Ø");
        check(json!({"email": "grace.hopper@example.com"}), "GH");
        check(json!({}), "K1");
        check(json!({"name": "<>"}), "?");
    }
}
