//! What the head of an answer says, whatever the answer: that first-generation delivery is to be used.

use std::time::Duration;

use flagstaff_wire::headers;
use reqwest::header::HeaderMap;
use reqwest::{RequestBuilder, Response};

use super::held::Held;
use crate::data_source::{Failure, begin};
use crate::http::Http;

/// For how long the draft of the protocol lets it hold if what was said makes no sense.
const DEFAULT_TTL: Duration = Duration::from_secs(3600);
/// More than this makes no sense.
const LONGEST_TTL: Duration = Duration::from_secs(7 * 24 * 3600);

/// The service asks for first-generation delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Directive {
    /// For so long; none for good.
    pub(super) time: Option<Duration>,
}

/// An answer that has begun, and what its head says.
pub(super) struct Answer {
    pub(super) response: Response,
    pub(super) directive: Option<Directive>,
}

impl Answer {
    pub(super) async fn to(held: &Held, http: &Http, request: RequestBuilder) -> Result<Self, Failure> {
        let response = begin(&held.shared, http, request).await?;
        let directive = Directive::read(response.headers(), crate::data_source::random());
        Ok(Self { response, directive })
    }
}

impl Directive {
    fn read(headers: &HeaderMap, random: u64) -> Option<Self> {
        let value = headers.get(headers::FDV1_FALLBACK)?.as_bytes().trim_ascii();
        if !value.eq_ignore_ascii_case(b"true") {
            return None;
        }
        let Some(ttl) = headers.get(headers::FDV1_FALLBACK_TTL) else { return Some(Self { time: None }) };
        let seconds = ttl.to_str().ok().and_then(|text| text.trim().parse::<i64>().ok());
        Some(Self::for_seconds(seconds, random))
    }

    /// As long as the service says: for good if that is no time at all, about an hour if it cannot be.
    pub(super) fn for_seconds(seconds: Option<i64>, random: u64) -> Self {
        let time = match seconds {
            Some(seconds) if seconds <= 0 => None,
            Some(seconds) if seconds.unsigned_abs() <= LONGEST_TTL.as_secs() => {
                Some(Duration::from_secs(seconds.unsigned_abs()))
            }
            // Not all come back at once.
            _ => Some(DEFAULT_TTL.mul_f64(1.0 - (random >> 11) as f64 / (1_u64 << 53) as f64 / 2.0)),
        };
        Self { time }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[(&'static str, &str)]) -> Option<Directive> {
        let headers = headers.iter().map(|(name, value)| {
            (reqwest::header::HeaderName::from_static(name), value.parse().expect("a header's value"))
        });
        Directive::read(&headers.collect(), 0)
    }

    #[test]
    fn only_true_asks_for_first_generation_delivery_in_any_case() {
        for (value, asks) in
            [("true", true), ("TRUE", true), (" True ", true), ("false", false), ("1", false), ("", false)]
        {
            let expected = asks.then_some(Directive { time: None });
            assert_eq!(read(&[("x-ld-fd-fallback", value)]), expected, "{value:?}");
        }
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[("x-ld-fd-fallback-ttl", "60")]), None);
    }

    #[test]
    fn it_holds_for_good_unless_a_time_is_said() {
        let seconds = |seconds| Some(Directive { time: Some(Duration::from_secs(seconds)) });
        for (ttl, expected) in [
            ("60", seconds(60)),
            ("0", Some(Directive { time: None })),
            ("-1", Some(Directive { time: None })),
            ("soon", seconds(3600)),
            ("999999999999", seconds(3600)),
        ] {
            let found = read(&[("x-ld-fd-fallback", "true"), ("x-ld-fd-fallback-ttl", ttl)]);
            assert_eq!(found, expected, "{ttl}");
        }
        let Directive { time } = Directive::for_seconds(None, u64::MAX);
        assert!(time.is_some_and(|time| (1799..1802).contains(&time.as_secs())), "{time:?}");
    }
}
