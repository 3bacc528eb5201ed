//! Light, dark, or as the system has it: kept in a cookie, so that a page arrives in its colours.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::answer::{Trouble, is_fragment, own_path};
use super::form::Fields;
use crate::SharedApp;
use crate::auth::Session;

const COOKIE: &str = "flagstaff_theme";
const YEAR_SECONDS: u32 = 365 * 24 * 3600;

/// A choice of colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Theme {
    /// As the system has it.
    #[default]
    System,
    /// Dark text on a light ground.
    Light,
    /// Light text on a dark ground.
    Dark,
}

impl Theme {
    /// The choice that a request carries.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let chosen = cookies
            .flat_map(|value| value.split(';'))
            .find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='));
        match chosen {
            Some("light") => Theme::Light,
            Some("dark") => Theme::Dark,
            _ => Theme::System,
        }
    }

    /// As a form sends it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Theme::System => "system",
            Theme::Light => "light",
            Theme::Dark => "dark",
        }
    }
}

/// The form of the theme menu.
#[derive(Debug, Deserialize)]
pub(super) struct Choice {
    form_token: String,
    theme: Theme,
    #[serde(default)]
    next: String,
}

/// `POST /ui/theme`: remembers the choice and goes back.
pub(super) async fn choose(
    State(_app): State<SharedApp>,
    session: Session,
    headers: HeaderMap,
    Fields(choice): Fields<Choice>,
) -> Result<Response, Trouble> {
    session.check_form(&headers, Some(&choice.form_token))?;
    let cookie = format!(
        "{COOKIE}={}; Path=/ui; Max-Age={YEAR_SECONDS}; HttpOnly; SameSite=Lax",
        choice.theme.as_str()
    );
    let cookie = HeaderValue::try_from(cookie).unwrap_or_else(|_| unreachable!("a word is fit for a header"));
    let answer = if is_fragment(&headers) {
        StatusCode::NO_CONTENT.into_response()
    } else {
        Redirect::to(own_path(&choice.next)).into_response()
    };
    Ok(([(header::SET_COOKIE, cookie)], answer).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn theme_comes_from_the_cookie_and_else_from_the_system() {
        let check = |cookie: &str, theme: Theme| {
            let headers = HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(cookie).unwrap())]);
            assert_eq!(Theme::of(&headers), theme, "{cookie}");
        };
        check("flagstaff_theme=dark", Theme::Dark);
        check("a=b; flagstaff_theme=light; c=d", Theme::Light);
        check("flagstaff_theme=\"><script>", Theme::System);
        check("other_flagstaff_theme=dark", Theme::System);
    }
}
