//! R39: how long a refusal takes says nothing of how much of a credential was right.
//!
//! Credentials that differ from a right one in the first character and ones that differ in the last are refused in
//! turn, by chance which, and their times are compared by Welch's t-test, without those beyond the nine tenths that
//! are quickest: what else goes on meanwhile is in them. Every right credential has its turn, and every wrong
//! character, and each counts by its average: where one wrong hash lies in memory is chance, the same for all of its
//! refusals, and must not look like a finding.
//!
//! `make soak` takes a million samples of each kind of credential (`FLAGSTAFF_TIMING_SAMPLES`) and prints t, which
//! says that there is no difference to be seen while it is below 4.5.

use std::time::{Duration, Instant};

use axum::extract::FromRequestParts;
use axum::http::{Request, header, request::Parts};
use flagstaff_service::auth::{Caller, SdkEnvironment, secret};
use serde_json::json;

use crate::support::Service;

/// How many right credentials of each kind there are.
const RIGHT: usize = 24;
/// As many as every run takes.
const FEW: usize = 2000;
/// From this many on, a difference that can be seen is a failure.
const ENOUGH: usize = 1_000_000;
/// By convention of such tests.
const LIMIT: f64 = 4.5;
/// The characters of random credentials.
const DIGITS: &[u8; 16] = b"0123456789abcdef";

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn refusals_take_as_long_whichever_character_of_a_credential_is_wrong() {
    let samples = match std::env::var("FLAGSTAFF_TIMING_SAMPLES") {
        Ok(samples) => samples.parse().expect("a number of samples"),
        Err(_) => FEW,
    };
    let service = Service::demo().await;
    let (mut tokens, mut keys) = (Vec::new(), Vec::new());
    for number in 0..RIGHT {
        let made = service.rest("POST", "/api/v2/tokens", Some(json!({"role": "reader"}))).await;
        tokens.push(made.json()["token"].as_str().unwrap().to_owned());
        let environment = json!({"key": format!("e{number}"), "name": "E", "color": "ffffff"});
        let made = service.rest("POST", "/api/v2/projects/demo/environments", Some(environment)).await;
        keys.push(made.json()["apiKey"].as_str().unwrap().to_owned());
    }
    let app = service.app().clone();
    let sdk_keys = compare("SDK keys", &keys, samples, async |parts| {
        SdkEnvironment::from_request_parts(parts, &app.serving).await.is_ok()
    })
    .await;
    let access_tokens = compare("access tokens", &tokens, samples, async |parts| {
        Caller::from_request_parts(parts, &app).await.is_ok()
    })
    .await;
    if samples >= ENOUGH {
        assert!(sdk_keys.abs() < LIMIT && access_tokens.abs() < LIMIT, "a difference can be seen");
    }
    service.stop().await;
}

/// Which character is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    First,
    Last,
}

/// One wrong credential, and how long its refusals took.
struct Refused {
    credential: String,
    wrong: Wrong,
    times: Vec<Duration>,
}

/// Has wrong credentials refused, and gives t.
async fn compare(
    what: &str,
    right: &[String],
    samples: usize,
    mut admits: impl AsyncFnMut(&mut Parts) -> bool,
) -> f64 {
    let mut refused = Vec::new();
    for credential in right {
        assert!(admits(&mut asking_with(credential)).await, "{what}: a right one is refused");
        // After the prefix, which is the same for all.
        let first = credential.find('-').expect("it has a prefix") + 1;
        for (wrong, place) in [(Wrong::First, first), (Wrong::Last, credential.len() - 1)] {
            let variants = variants(credential, place).into_iter();
            refused.extend(variants.map(|credential| Refused { credential, wrong, times: Vec::new() }));
        }
    }
    let mut chance = Chance::new();
    for _ in 0..samples {
        let turn = chance.below(refused.len());
        let Refused { credential, times, .. } = &mut refused[turn];
        let mut parts = asking_with(credential);
        let began = Instant::now();
        let is_admitted = admits(&mut parts).await;
        times.push(began.elapsed());
        assert!(!is_admitted, "{what}: a wrong one is let in");
    }
    let limit = nine_tenths(&refused);
    let [first, last] = [Wrong::First, Wrong::Last].map(|wrong| Measured::of(&refused, wrong, limit));
    let t = (first.average - last.average) / (first.error() + last.error()).sqrt();
    println!(
        "R39, {what}: {:.1} ns with the first character wrong, {:.1} ns with the last; t = {t:+.2} over {samples} samples",
        first.average, last.average,
    );
    t
}

fn asking_with(credential: &str) -> Parts {
    let request = Request::builder().uri("/").header(header::AUTHORIZATION, credential);
    request.body(()).expect("a credential is fit for a header").into_parts().0
}

/// The credential with every other digit at this place.
fn variants(credential: &str, place: usize) -> Vec<String> {
    let own = credential.as_bytes()[place];
    let others = DIGITS.iter().filter(|digit| **digit != own);
    others
        .map(|digit| format!("{}{}{}", &credential[..place], char::from(*digit), &credential[place + 1..]))
        .collect()
}

/// What nine tenths of all samples stay below.
fn nine_tenths(refused: &[Refused]) -> Duration {
    let mut all: Vec<Duration> = refused.iter().flat_map(|one| &one.times).copied().collect();
    let place = all.len() * 9 / 10;
    *all.select_nth_unstable(place).1
}

/// What the refusals of credentials took that are wrong in the same place, in nanoseconds.
struct Measured {
    count: f64,
    average: f64,
    variance: f64,
}

impl Measured {
    fn of(refused: &[Refused], wrong: Wrong, limit: Duration) -> Self {
        let averages: Vec<f64> = refused
            .iter()
            .filter(|one| one.wrong == wrong)
            .filter_map(|one| {
                let times: Vec<f64> = (one.times.iter().filter(|took| **took <= limit))
                    .map(|took| took.as_nanos() as f64)
                    .collect();
                (!times.is_empty()).then(|| times.iter().sum::<f64>() / times.len() as f64)
            })
            .collect();
        let count = averages.len() as f64;
        let average = averages.iter().sum::<f64>() / count;
        let variance = averages.iter().map(|one| (one - average).powi(2)).sum::<f64>() / (count - 1.0);
        Self { count, average, variance }
    }

    /// Of the average, squared.
    fn error(&self) -> f64 {
        self.variance / self.count
    }
}

/// Numbers by chance, quickly: xorshift, from a random start.
struct Chance(u64);

impl Chance {
    fn new() -> Self {
        Self(u64::from_le_bytes(secret::random()) | 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}
