//! An explanation in words, for people.

use std::fmt::Write as _;

use flagstaff_eval::ReasonKind;
use flagstaff_eval::explain::{ClauseSeen, Explanation, Listed, SegmentSeen, Share, Step, WhySegment};
use flagstaff_eval::model::{Clause, Operator};
use serde_json::Value;

/// The value, why, and each step on the way.
pub(super) fn tell(explanation: &Explanation) -> String {
    let mut text = String::new();
    let value = explanation.value.as_ref().map_or_else(|| "none: the caller's default".to_owned(), shown);
    let _ = writeln!(text, "value      {value}");
    if let Some(variation) = explanation.variation {
        let _ = writeln!(text, "variation  {variation}");
    }
    let _ = writeln!(text, "reason     {}", reason(explanation));
    text.push('\n');
    steps(&mut text, explanation, 0);
    text
}

fn reason(explanation: &Explanation) -> String {
    let mut text = match &explanation.reason.kind {
        ReasonKind::RuleMatch { index, id } if id.is_empty() => format!("RULE_MATCH, rule {}", index + 1),
        ReasonKind::RuleMatch { index, id } => format!("RULE_MATCH, rule {} ({id})", index + 1),
        ReasonKind::PrerequisiteFailed { key } => format!("PREREQUISITE_FAILED, flag {key}"),
        ReasonKind::Error(kind) => format!("ERROR, {}", kind.as_str()),
        kind => kind.as_str().to_owned(),
    };
    if explanation.reason.in_experiment {
        text.push_str(", in an experiment");
    }
    if let Some(status) = explanation.reason.big_segments_status {
        text.push_str(&format!(", big segments {}", status.as_str()));
    }
    text
}

fn steps(text: &mut String, explanation: &Explanation, depth: usize) {
    for step in &explanation.steps {
        let mut line = |said: String| {
            let _ = writeln!(text, "{}{said}", "  ".repeat(depth));
        };
        match step {
            Step::Off => {
                line(format!("targeting is off: the off variation of flag {} is served", explanation.flag))
            }
            Step::Prerequisite { key, wanted, met, explanation } => {
                let verdict = if *met { "it does" } else { "it does not, so the off variation is served" };
                match explanation {
                    None => {
                        line(format!("flag {key} must serve variation {wanted} first: there is no such flag"))
                    }
                    Some(inner) => {
                        let served = inner
                            .variation
                            .map_or("no variation".to_owned(), |index| format!("variation {index}"));
                        line(format!(
                            "flag {key} must be on and serve variation {wanted} first: {verdict} ({served})"
                        ));
                        steps(text, inner, depth + 1);
                    }
                }
            }
            Step::Targets { keys, found: None } => line(format!("not among the {keys} individual targets")),
            Step::Targets { found: Some(Listed { kind, key, variation }), .. } => {
                let variation = variation.map(|index| format!(" of variation {index}")).unwrap_or_default();
                line(format!("{kind} {} is an individual target{variation}: that decided", quoted(key)));
            }
            Step::Rule { index, id, clauses, matched, share } => {
                let id = if id.is_empty() { String::new() } else { format!(" ({id})") };
                let verdict = if *matched { "matches: that decided" } else { "does not match" };
                line(format!("rule {}{id} {verdict}", index + 1));
                for clause in clauses {
                    self::clause(text, clause, depth + 1);
                }
                if let Some(share) = share {
                    self::share(text, share, depth + 1);
                }
            }
            Step::Fallthrough { share } => {
                line("nothing else matched: the default rule decided".to_owned());
                if let Some(share) = share {
                    self::share(text, share, depth + 1);
                }
            }
            Step::Malformed { problem } => line(format!("the flag is malformed: {problem}")),
            _ => {}
        }
    }
}

fn clause(text: &mut String, seen: &ClauseSeen, depth: usize) {
    let verdict = match seen.matched {
        Some(true) => "yes",
        Some(false) => "no",
        None => "not looked at",
    };
    let found = match (&seen.found, seen.matched) {
        _ if seen.clause.op == Operator::SegmentMatch => String::new(),
        (_, None) => String::new(),
        (Some(found), _) => format!(", the context has {}", shown(found)),
        (None, _) => ", the context has nothing there".to_owned(),
    };
    let _ = writeln!(text, "{}{}: {verdict}{found}", "  ".repeat(depth), condition(&seen.clause));
    for segment in &seen.segments {
        self::segment(text, segment, depth + 1);
    }
}

fn segment(text: &mut String, seen: &SegmentSeen, depth: usize) {
    let indent = "  ".repeat(depth);
    let key = &seen.key;
    match &seen.why {
        WhySegment::Unknown => {
            let _ = writeln!(text, "{indent}segment {key}: there is none, so nobody is in it");
        }
        WhySegment::Included(listed) => {
            let _ =
                writeln!(text, "{indent}segment {key}: {} {} is included", listed.kind, quoted(&listed.key));
        }
        WhySegment::Excluded(listed) => {
            let _ =
                writeln!(text, "{indent}segment {key}: {} {} is excluded", listed.kind, quoted(&listed.key));
        }
        WhySegment::Rules { rules, big } => {
            let verdict = if seen.inside { "in, by a rule" } else { "not in it" };
            let big = if *big {
                "; it is a big segment, whose keys are kept elsewhere and were not asked for"
            } else {
                ""
            };
            let _ = writeln!(text, "{indent}segment {key}: {verdict}{big}");
            for rule in rules {
                let verdict = if rule.matched { "matches" } else { "does not match" };
                let _ = writeln!(text, "{indent}  rule {} {verdict}", rule.index + 1);
                for clause in &rule.clauses {
                    self::clause(text, clause, depth + 2);
                }
                if let Some(share) = &rule.share {
                    self::share(text, share, depth + 2);
                }
            }
        }
        _ => {}
    }
}

fn share(text: &mut String, share: &Share, depth: usize) {
    let indent = "  ".repeat(depth);
    let Share { kind, attribute, hashed_with, bucket, from, to, variation, in_experiment } = share;
    let percent = |fraction: f32| format!("{:.3} %", fraction * 100.0);
    let placed = match bucket {
        Some(bucket) => format!("{kind} {attribute} hashed with {hashed_with} falls at {}", percent(*bucket)),
        None => format!("the context has no {kind} to place, so it counts as 0 %"),
    };
    let served = variation.map(|index| format!(", which serves variation {index}")).unwrap_or_default();
    let experiment = if *in_experiment { ", in an experiment" } else { "" };
    let _ = writeln!(
        text,
        "{indent}{placed}, between {} and {}{served}{experiment}",
        percent(*from),
        percent(*to)
    );
}

/// `user country is one of "NO", "SE"`.
fn condition(clause: &Clause) -> String {
    let values: Vec<String> = clause.values.iter().map(shown).collect();
    let values = values.join(", ");
    let not = if clause.negate { "not " } else { "" };
    let kind = clause.context_kind.as_deref().filter(|kind| !kind.is_empty()).unwrap_or("user");
    let operator = match &clause.op {
        Operator::SegmentMatch => return format!("{not}in segment {values}"),
        Operator::In => "is one of",
        Operator::StartsWith => "starts with",
        Operator::EndsWith => "ends with",
        Operator::Contains => "contains",
        Operator::Matches => "matches",
        Operator::LessThan => "is less than",
        Operator::LessThanOrEqual => "is at most",
        Operator::GreaterThan => "is greater than",
        Operator::GreaterThanOrEqual => "is at least",
        Operator::Before => "is before",
        Operator::After => "is after",
        Operator::SemVerEqual => "is the version",
        Operator::SemVerLessThan => "is a version before",
        Operator::SemVerGreaterThan => "is a version after",
        other => other.as_str(),
    };
    format!("{not}{kind} {} {operator} {values}", clause.attribute)
}

fn shown(value: &Value) -> String {
    const LONGEST: usize = 200;
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        None => text,
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

fn quoted(text: &str) -> String {
    shown(&Value::from(text))
}
