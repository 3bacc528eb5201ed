//! R31: contexts spread evenly over a rollout, and those at a boundary fall where single precision
//! puts them.

use flagstaff_eval::{Context, DataSet, Entry, bucket, evaluate};
use serde_json::json;

/// Hundredths of the whole, each of which should get as many contexts as the others.
const SHARES: usize = 100;

/// How probable it is that an even spread comes out as uneven as this, for each of 20 salts.
fn probabilities(keys: u32) -> Vec<(String, f64)> {
    (0..20)
        .map(|number| {
            let salt = format!("{:08x}", 2_654_435_769_u32.wrapping_mul(number + 1));
            let mut counts = [0_u32; SHARES];
            for key in 0..keys {
                let place = bucket(&format!("flag.{salt}."), &format!("user-{key}"));
                counts[((place * SHARES as f32) as usize).min(SHARES - 1)] += 1;
            }
            let expected = f64::from(keys) / SHARES as f64;
            let chi_square =
                counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
            (salt, probability(chi_square, SHARES as f64 - 1.0))
        })
        .collect()
}

/// The upper tail of the chi-square distribution, by Wilson and Hilferty, good to a few per cent.
fn probability(chi_square: f64, freedom: f64) -> f64 {
    let spread = 2.0 / (9.0 * freedom);
    let deviation = ((chi_square / freedom).cbrt() - (1.0 - spread)) / spread.sqrt();
    // The upper tail of the normal distribution, by Abramowitz and Stegun 26.2.17.
    let t = 1.0 / (1.0 + 0.231_641_9 * deviation.abs());
    let polynomial = [0.319_381_530, -0.356_563_782, 1.781_477_937, -1.821_255_978, 1.330_274_429]
        .iter()
        .rev()
        .fold(0.0, |sum, factor| (sum + factor) * t);
    let tail = (-deviation * deviation / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * polynomial;
    if deviation < 0.0 { 1.0 - tail } else { tail }
}

fn check_spread(keys: u32) {
    for (salt, probability) in probabilities(keys) {
        println!("R31: {keys} keys, salt {salt}: p = {probability:.4}");
        assert!(probability > 0.001, "salt {salt}: p = {probability}");
    }
}

#[test]
fn keys_spread_evenly_for_every_salt() {
    check_spread(20_000);
}

#[test]
#[ignore = "takes a minute: make soak"]
fn ten_million_keys_spread_evenly_for_every_salt_in_full() {
    check_spread(10_000_000);
}

#[test]
fn the_measure_of_evenness_knows_what_is_uneven() {
    // From tables of the distribution with 99 degrees of freedom.
    for (chi_square, expected) in [(98.33, 0.5), (123.23, 0.05), (134.64, 0.01), (148.23, 0.001)] {
        let found = probability(chi_square, 99.0);
        assert!((found / expected - 1.0).abs() < 0.03, "{chi_square}: {found}, not {expected}");
    }
}

/// These keys lie so near below a boundary that single precision puts them on it, and so above it:
/// exact arithmetic, and double precision, would serve the first share.
#[test]
fn keys_at_a_boundary_fall_where_single_precision_puts_them() {
    for (key, weight) in [
        ("user-199521", 96_000),
        ("user-382050", 77_000),
        ("user-978911", 77_000),
        ("user-1691043", 58_000),
        ("user-2023952", 40_000),
        ("user-2337272", 88_000),
        ("user-2430860", 78_000),
        ("user-2919501", 37_000),
        ("user-3326624", 71_000),
        ("user-3436153", 68_000),
        ("user-4647911", 45_000),
        ("user-5162495", 38_000),
    ] {
        let served = |weight: i64| {
            let shares =
                json!([{"variation": 0, "weight": weight}, {"variation": 1, "weight": 100_000 - weight}]);
            let flag = json!({"version": 1, "on": true, "salt": "salt", "variations": [0, 1],
                "fallthrough": {"rollout": {"variations": shares}}});
            let data = DataSet::new([Entry::flag("flag", serde_json::from_value(flag).unwrap())], []);
            let context = Context::from_key(key).unwrap();
            evaluate(&data, data.flag("flag").unwrap(), &context, &mut |_| {}).variation_index
        };
        assert_eq!(served(weight), Some(1), "{key} at {weight}");
        assert_eq!(served(weight + 1), Some(0), "{key} just below {}", weight + 1);
    }
}
