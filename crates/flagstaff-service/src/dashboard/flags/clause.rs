//! A clause in words.

use flagstaff_eval::Value;
use flagstaff_eval::model::{Clause, Operator};
use jiff::Timestamp;

use crate::dashboard::parts::{Piece, Sentence, value_text};

/// How many values a sentence names before it says how many more there are.
const NAMED_VALUES: usize = 20;

/// The clause in words, after "If": `country is one of NO, SE`. `segment_name` tells a segment's name.
pub(super) fn clause_sentence(clause: &Clause, segment_name: &dyn Fn(&str) -> Option<String>) -> Sentence {
    let kind = clause.context_kind.as_deref().filter(|kind| !kind.is_empty()).unwrap_or("user");
    if clause.op == Operator::SegmentMatch {
        return in_segment(clause, segment_name);
    }
    let subject = subject(kind, &clause.attribute);
    if let Operator::Unknown(spelling) = &clause.op {
        return subject
            .words(" passes the test ")
            .with(Piece::Value(spelling.clone()))
            .words(", which this version does not know and which never matches");
    }
    let many = clause.values.len() > 1;
    let verb = verb(&clause.op, clause.negate, many);
    if clause.values.is_empty() {
        // A negated clause still needs the attribute to be there.
        let words =
            if clause.negate { " has any value" } else { " is compared with no value, which never holds" };
        return subject.words(words);
    }
    let text = |value: &Value| match clause.op {
        Operator::Before | Operator::After => instant_text(value),
        _ => value_text(value),
    };
    list(
        subject.words(format!(" {verb} ")),
        clause.values.iter().map(|value| Piece::Value(text(value))),
        "or",
    )
}

/// `country`; of another kind than user, `the organization’s country`.
fn subject(kind: &str, attribute: &str) -> Sentence {
    let name = Piece::Name(attribute.to_owned());
    if attribute == "kind" {
        return Sentence::default().words("the context’s ").with(name);
    }
    if kind == "user" {
        return Sentence::default().with(name);
    }
    Sentence::default().words("the ").with(Piece::Name(kind.to_owned())).words("’s ").with(name)
}

fn in_segment(clause: &Clause, segment_name: &dyn Fn(&str) -> Option<String>) -> Sentence {
    let many = clause.values.len() > 1;
    let words = match (clause.negate, many) {
        (false, false) => "the context is in the segment ",
        (true, false) => "the context is not in the segment ",
        (false, true) => "the context is in one of the segments ",
        (true, true) => "the context is in none of the segments ",
    };
    let name = |value: &Value| {
        let key = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match segment_name(&key) {
            Some(name) => Piece::Name(name),
            None => Piece::Name(format!("{key} (there is no such segment)")),
        }
    };
    if clause.values.is_empty() {
        let end = if clause.negate {
            "outside any segment, which always holds"
        } else {
            "in no segment named, which never holds"
        };
        return Sentence::default().words(format!("the context is {end}"));
    }
    list(Sentence::default().words(words), clause.values.iter().map(name), "or")
}

fn list(sentence: Sentence, pieces: impl ExactSizeIterator<Item = Piece>, last: &str) -> Sentence {
    let count = pieces.len();
    let named = if count > NAMED_VALUES + 1 { NAMED_VALUES } else { count };
    let mut sentence = sentence;
    for (place, piece) in pieces.take(named).enumerate() {
        let ends = place + 1 == count;
        let before = match place {
            0 => String::new(),
            _ if ends => format!(" {last} "),
            _ => ", ".to_owned(),
        };
        sentence = sentence.words(before).with(piece);
    }
    if named < count {
        sentence = sentence.words(format!(" {last} one of {} more", count - named));
    }
    sentence
}

fn verb(operator: &Operator, negate: bool, many: bool) -> String {
    // Yes, no; a list of several is introduced by `one of`.
    let (yes, no) = match operator {
        Operator::In => {
            return if many {
                either(negate, "is one of", "is not one of")
            } else {
                either(negate, "is", "is not")
            };
        }
        Operator::StartsWith => ("starts with", "does not start with"),
        Operator::EndsWith => ("ends with", "does not end with"),
        Operator::Contains => ("contains", "does not contain"),
        Operator::Matches => ("matches the regular expression", "does not match the regular expression"),
        Operator::LessThan => ("is less than", "is not less than"),
        Operator::LessThanOrEqual => ("is at most", "is not at most"),
        Operator::GreaterThan => ("is greater than", "is not greater than"),
        Operator::GreaterThanOrEqual => ("is at least", "is not at least"),
        Operator::Before => ("is before", "is not before"),
        Operator::After => ("is after", "is not after"),
        Operator::SemVerEqual => ("is the semantic version", "is not the semantic version"),
        Operator::SemVerLessThan => ("is a semantic version before", "is not a semantic version before"),
        Operator::SemVerGreaterThan => ("is a semantic version after", "is not a semantic version after"),
        _ => ("passes", "does not pass"),
    };
    let verb = either(negate, yes, no);
    if many { format!("{verb} one of") } else { verb }
}

fn either(negate: bool, yes: &str, no: &str) -> String {
    if negate { no } else { yes }.to_owned()
}

/// A date as the evaluator reads it: Unix milliseconds, or text.
fn instant_text(value: &Value) -> String {
    let instant = value.as_f64().and_then(|at_ms| Timestamp::from_millisecond(at_ms as i64).ok());
    instant
        .map_or_else(|| value_text(value), |instant| instant.strftime("%-d %b %Y, %H:%M:%S UTC").to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(clause: Value, expected: &str) {
        let clause: Clause = serde_json::from_value(clause).unwrap();
        let known = |key: &str| (key == "beta").then(|| "Beta testers".to_owned());
        assert_eq!(clause_sentence(&clause, &known).text(), expected);
    }

    #[test]
    fn every_operator_reads_as_words_both_ways() {
        for (operator, yes, no) in [
            ("in", "is", "is not"),
            ("startsWith", "starts with", "does not start with"),
            ("endsWith", "ends with", "does not end with"),
            ("contains", "contains", "does not contain"),
            ("matches", "matches the regular expression", "does not match the regular expression"),
            ("lessThan", "is less than", "is not less than"),
            ("lessThanOrEqual", "is at most", "is not at most"),
            ("greaterThan", "is greater than", "is not greater than"),
            ("greaterThanOrEqual", "is at least", "is not at least"),
            ("before", "is before", "is not before"),
            ("after", "is after", "is not after"),
            ("semVerEqual", "is the semantic version", "is not the semantic version"),
            ("semVerLessThan", "is a semantic version before", "is not a semantic version before"),
            ("semVerGreaterThan", "is a semantic version after", "is not a semantic version after"),
        ] {
            let clause =
                |negate: bool| json!({"attribute": "a", "op": operator, "values": ["x"], "negate": negate});
            check(clause(false), &format!("a {yes} x"));
            check(clause(true), &format!("a {no} x"));
        }
    }

    #[test]
    fn segments_are_called_by_their_names() {
        let clause = |values: Value, negate: bool| json!({"attribute": "", "op": "segmentMatch", "values": values, "negate": negate});
        check(clause(json!(["beta"]), false), "the context is in the segment Beta testers");
        check(clause(json!(["beta"]), true), "the context is not in the segment Beta testers");
        check(
            clause(json!(["beta", "gone"]), false),
            "the context is in one of the segments Beta testers or gone (there is no such segment)",
        );
        check(
            clause(json!(["beta", "beta"]), true),
            "the context is in none of the segments Beta testers or Beta testers",
        );
    }

    #[test]
    fn several_values_and_other_kinds_are_named() {
        check(
            json!({"attribute": "country", "op": "in", "values": ["NO", "SE", "DK"], "negate": false}),
            "country is one of NO, SE or DK",
        );
        check(
            json!({"contextKind": "organization", "attribute": "/plan/name", "op": "startsWith", "values": ["a", "b"], "negate": true}),
            "the organization’s /plan/name does not start with one of a or b",
        );
        check(
            json!({"contextKind": "user", "attribute": "kind", "op": "in", "values": ["org"]}),
            "the context’s kind is org",
        );
        check(
            json!({"attribute": "a", "op": "in", "values": ["true", true, "42", 42]}),
            "a is one of \"true\", true, \"42\" or 42",
        );
        let many: Vec<i64> = (0..30).collect();
        let clause: Clause =
            serde_json::from_value(json!({"attribute": "a", "op": "in", "values": many})).unwrap();
        assert!(clause_sentence(&clause, &|_| None).text().ends_with(", 19 or one of 10 more"));
    }

    #[test]
    fn what_cannot_match_says_so() {
        check(
            json!({"attribute": "a", "op": "in", "values": []}),
            "a is compared with no value, which never holds",
        );
        check(json!({"attribute": "a", "op": "in", "values": [], "negate": true}), "a has any value");
        check(
            json!({"attribute": "a", "op": "soundsLike", "values": ["x"]}),
            "a passes the test soundsLike, which this version does not know and which never matches",
        );
    }

    #[test]
    fn instants_are_shown_as_such() {
        check(
            json!({"attribute": "since", "op": "before", "values": [1_780_000_000_000_i64]}),
            "since is before 28 May 2026, 20:26:40 UTC",
        );
        check(
            json!({"attribute": "since", "op": "after", "values": ["2020-01-01T00:00:00Z"]}),
            "since is after 2020-01-01T00:00:00Z",
        );
    }
}
