//! Regular expressions: any text as a pattern is bounded in time and memory, and `matches` answers
//! what the engine answers.

use flagstaff_eval::Value;
use regex::RegexBuilder;

use crate::one_clause::holds;

/// The first line is the pattern, the rest what it is looked for in.
pub(crate) fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (pattern, subject) = text.split_once('\n').unwrap_or((text, text));
    let matches = holds(&subject.into(), "matches", &pattern.into());
    // The limit that ours states; what is larger never matches.
    let engine = RegexBuilder::new(pattern).size_limit(1 << 20).build();
    assert_eq!(matches, engine.is_ok_and(|regex| regex.is_match(subject)), "{pattern:?} in {subject:?}");
    // Asked again, now that it is compiled.
    assert_eq!(matches, holds(&subject.into(), "matches", &pattern.into()), "{pattern:?}, again");
    assert!(!holds(&Value::from(1), "matches", &pattern.into()), "{pattern:?} in a number");
}
