//! Instants: `before` and `after` agree with a plain reading of RFC 3339.

use std::sync::LazyLock;

use flagstaff_eval::Value;
use jiff::civil::{DateTime, date};
use regex::Regex;

use crate::one_clause::holds;

pub(crate) fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let attribute = Value::from(text);
    // Greater than any instant.
    let is_instant = holds(&attribute, "before", &Value::from(1e300));
    let Some(expected) = plainly_read(text) else {
        assert!(!is_instant, "{text:?} is taken for an instant");
        return;
    };
    assert!(is_instant, "{text:?} is not taken for an instant");
    let number = |milliseconds: i64| Value::from(milliseconds);
    // As what the context says, and as what the clause says.
    for (operator, later, sooner) in [("before", 1, 0), ("after", -1, 0)] {
        assert!(holds(&attribute, operator, &number(expected + later)), "{text:?} {operator} {expected}");
        assert!(!holds(&attribute, operator, &number(expected + sooner)), "{text:?} {operator} {expected}");
        assert!(holds(&number(expected - later), operator, &attribute), "{expected} {operator} {text:?}");
        assert!(!holds(&number(expected - sooner), operator, &attribute), "{expected} {operator} {text:?}");
    }
}

/// Unix milliseconds, by a pattern and a calendar that knows all years to 9999.
fn plainly_read(text: &str) -> Option<i64> {
    static SHAPE: LazyLock<Regex> = LazyLock::new(|| {
        let shape = r"^([0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-5][0-9])(?:\.([0-9]+))?(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))$";
        Regex::new(shape).expect("the pattern is right")
    });
    let parts = SHAPE.captures(text)?;
    let civil: DateTime = parts[1].parse().ok()?;
    let seconds = civil.duration_since(date(1970, 1, 1).at(0, 0, 0, 0)).as_secs();
    let thousandths = parts.get(2).map_or(0, |digits| {
        let three: String = digits.as_str().chars().chain("00".chars()).take(3).collect();
        three.parse::<i64>().expect("three digits are a number")
    });
    let offset = parts.get(3).map_or(0, |sign| {
        let number = |group: usize| parts[group].parse::<i64>().expect("two digits are a number");
        let minutes = number(4) * 60 + number(5);
        if sign.as_str() == "-" { -minutes } else { minutes }
    });
    Some((seconds - offset * 60) * 1000 + thousandths)
}
