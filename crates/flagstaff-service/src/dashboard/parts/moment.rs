//! An instant: how long ago, and exactly when.

use askama::Template;
use askama::filters::HtmlSafe;
use jiff::Timestamp;

/// An instant: how long ago, and exactly when. Script turns the exact one into the reader's zone.
#[derive(Clone, Debug, Template)]
#[template(path = "parts/moment.html")]
pub(in crate::dashboard) struct Moment {
    iso: String,
    ago: String,
    exact: String,
}

impl HtmlSafe for Moment {}

impl Moment {
    /// The instant in Unix milliseconds, seen from `now_ms`.
    pub(in crate::dashboard) fn new(at_ms: i64, now_ms: i64) -> Self {
        let at = Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::UNIX_EPOCH);
        let day = || at.strftime("%-d %b %Y").to_string();
        let seconds = (now_ms - at_ms) / 1000;
        let ago = match seconds {
            // A clock that is a little ahead of ours is no reason to speak of the future.
            -60..45 => "just now".to_owned(),
            45..5_400 => format!("{} min ago", ((seconds + 30) / 60).max(1)),
            5_400..129_600 => format!("{} h ago", (seconds + 1_800) / 3_600),
            129_600..2_592_000 => format!("{} days ago", (seconds + 43_200) / 86_400),
            _ => day(),
        };
        Self { iso: at.to_string(), ago, exact: at.strftime("%-d %b %Y, %H:%M:%S UTC").to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_told_by_how_long_ago_they_were() {
        let now = 1_780_000_000_000;
        let ago = |seconds: i64| Moment::new(now - seconds * 1000, now).ago;
        assert_eq!(ago(0), "just now");
        assert_eq!(ago(-30), "just now");
        assert_eq!(ago(60), "1 min ago");
        assert_eq!(ago(3_600), "60 min ago");
        assert_eq!(ago(7_200), "2 h ago");
        assert_eq!(ago(3 * 86_400), "3 days ago");
        assert_eq!(ago(60 * 86_400), "29 Mar 2026");
    }

    #[test]
    fn instant_no_calendar_has_is_shown_all_the_same() {
        assert_eq!(Moment::new(i64::MAX, 0).ago, "1 Jan 1970");
    }

    #[test]
    fn exact_instant_is_in_title_and_text() {
        let html = Moment::new(1_780_000_000_000, 1_780_000_000_000).to_string();
        assert_eq!(html.matches("28 May 2026, 20:26:40 UTC").count(), 2, "{html}");
        assert!(html.contains("datetime=\"2026-05-28T20:26:40Z\""), "{html}");
    }
}
