//! Semantic versions: what is one, and how two compare, agrees with the published pattern and with
//! the crate that Cargo uses.

use std::cmp::Ordering;
use std::sync::LazyLock;

use flagstaff_eval::Value;
use regex::Regex;
use semver::{BuildMetadata, Version};

use crate::one_clause::holds;

/// The input is up to three versions, one a line.
pub(crate) fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut lines = text.splitn(3, '\n');
    let a = lines.next().unwrap_or_default();
    let b = lines.next().unwrap_or(a);
    let c = lines.next().unwrap_or(b);

    assert_eq!(compare(a, a), is_version(a).then_some(Ordering::Equal), "{a:?}");
    let order = compare(a, b);
    assert_eq!(order.is_some(), is_version(a) && is_version(b), "{a:?} {b:?}");
    assert_eq!(order, compare(b, a).map(Ordering::reverse), "{a:?} {b:?}");
    if let (Some(first), Some(second)) = (in_full(a), in_full(b)) {
        assert_eq!(order, Some(first.cmp(&second)), "{a:?} {b:?}");
    }
    if let (Some(first), Some(second)) = (order, compare(b, c))
        && (first == second || first == Ordering::Equal)
    {
        assert_eq!(compare(a, c), Some(second), "{a:?} {b:?} {c:?}");
    }
}

/// How the three operators order two versions; none if one of them is no version.
fn compare(a: &str, b: &str) -> Option<Ordering> {
    let (a, b) = (Value::from(a), Value::from(b));
    let answers = [
        (holds(&a, "semVerLessThan", &b), Ordering::Less),
        (holds(&a, "semVerEqual", &b), Ordering::Equal),
        (holds(&a, "semVerGreaterThan", &b), Ordering::Greater),
    ];
    let mut orders = answers.into_iter().filter(|(holds, _)| *holds).map(|(_, order)| order);
    let order = orders.next();
    assert_eq!(orders.next(), None, "{a} and {b} compare in two ways");
    order
}

/// The pattern that semver.org suggests, with minor and patch optional.
fn is_version(text: &str) -> bool {
    static SHAPE: LazyLock<Regex> = LazyLock::new(|| {
        let number = "(?:0|[1-9][0-9]*)";
        let identifier = format!("(?:{number}|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)");
        let shape = format!(
            r"^{number}(?:\.{number}){{0,2}}(?:-{identifier}(?:\.{identifier})*)?(?:\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?$"
        );
        Regex::new(&shape).expect("the pattern is right")
    });
    SHAPE.is_match(text)
}

/// The version with the parts it may leave out, and without build metadata, as Cargo reads it. None
/// also for one whose numbers are too large for that.
fn in_full(text: &str) -> Option<Version> {
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let (numbers, suffix) = text.split_at(end);
    let missing = ".0".repeat(2_usize.checked_sub(numbers.matches('.').count())?);
    let mut version = Version::parse(&format!("{numbers}{missing}{suffix}")).ok()?;
    version.build = BuildMetadata::EMPTY;
    Some(version)
}
