//! A clause made ready: its operator and values turned into one test of one attribute value.

use serde_json::Value;

use super::date::parse_instant;
use super::keys::KeySet;
use super::pattern::Pattern;
use super::reference_beside_kind;
use super::semver::SemVer;
use crate::context::{AttributeRef, AttributeValue};
use crate::model::{self, Operator};

/// One test of a context.
#[derive(Debug)]
pub(crate) enum Clause {
    /// The attribute is empty or an invalid reference: the whole flag is malformed.
    Malformed,
    /// The context is in one of these segments.
    Segments { keys: Box<[Box<str>]>, negate: bool },
    /// Any of the context's kinds passes.
    Kind { test: Test, negate: bool },
    /// An attribute of the member of `kind` passes.
    Attribute { attribute: Attribute, test: Test, negate: bool },
}

/// Which attribute a clause reads.
#[derive(Debug)]
pub(crate) struct Attribute {
    pub(crate) kind: Box<str>,
    pub(crate) reference: AttributeRef,
    /// Where an evaluation keeps the value, if several clauses read the attribute: it is read once.
    pub(crate) slot: u8,
}

impl Attribute {
    /// The slot of what is not kept.
    const NO_SLOT: u8 = u8::MAX;
}

/// Numbers the attributes that more than one of these clauses reads, those of one flag or segment.
pub(super) fn assign_slots<'a>(clauses: impl Iterator<Item = &'a mut Clause>) {
    let attributes = clauses.filter_map(|clause| match clause {
        Clause::Attribute { attribute, .. } => Some(attribute),
        _ => None,
    });
    let mut readers: Vec<(usize, &mut Attribute)> = attributes.enumerate().collect();
    // Those of one attribute side by side, the first one in front.
    readers.sort_unstable_by(|(i, a), (j, b)| (&a.kind, &a.reference, i).cmp(&(&b.kind, &b.reference, j)));
    let of_one = |a: &(usize, &mut Attribute), b: &(usize, &mut Attribute)| {
        a.1.kind == b.1.kind && a.1.reference == b.1.reference
    };
    let mut shared: Vec<_> = readers.chunk_by_mut(of_one).filter(|readers| readers.len() > 1).collect();
    // In the order of the clauses: what is read first has a slot for certain.
    shared.sort_unstable_by_key(|readers| readers[0].0);
    for (slot, readers) in (0..Attribute::NO_SLOT).zip(shared) {
        for (_, reader) in readers {
            reader.slot = slot;
        }
    }
}

impl Clause {
    pub(super) fn new(clause: model::Clause) -> Self {
        let negate = clause.negate;
        if clause.op == Operator::SegmentMatch {
            let keys = clause.values.iter().filter_map(Value::as_str).map(Into::into).collect();
            return Clause::Segments { keys, negate };
        }
        let reference = reference_beside_kind(clause.context_kind.as_deref(), &clause.attribute);
        if !reference.is_valid() {
            return Clause::Malformed;
        }
        let test = Test::new(&clause.op, clause.values);
        if reference.is_name("kind") {
            return Clause::Kind { test, negate };
        }
        let kind = super::kind_or_user(clause.context_kind);
        let attribute = Attribute { kind, reference, slot: Attribute::NO_SLOT };
        Clause::Attribute { attribute, test, negate }
    }

    /// The regular expressions of this clause that the engine does not know.
    pub(super) fn unsupported_patterns(&self) -> impl Iterator<Item = &str> {
        let patterns: &[Pattern] = match self {
            Clause::Kind { test: Test::Matches(patterns), .. }
            | Clause::Attribute { test: Test::Matches(patterns), .. } => patterns,
            _ => &[],
        };
        patterns.iter().filter(|pattern| !pattern.is_supported()).map(Pattern::text)
    }
}

/// An operator with its values. Where one bound decides for all values, only that bound is kept:
/// less than any of them is less than the greatest.
#[derive(Debug)]
pub(crate) enum Test {
    Never,
    In { strings: KeySet, numbers: Box<[f64]>, bools: [bool; 2] },
    StartsWith(Box<[Box<str>]>),
    EndsWith(Box<[Box<str>]>),
    Contains(Box<[Box<str>]>),
    Matches(Box<[Pattern]>),
    LessThan(f64),
    LessThanOrEqual(f64),
    GreaterThan(f64),
    GreaterThanOrEqual(f64),
    Before(i64),
    After(i64),
    SemVer { wanted: std::cmp::Ordering, versions: Box<[SemVer<Box<str>>]> },
}

impl Test {
    fn new(operator: &Operator, values: Vec<Value>) -> Self {
        use std::cmp::Ordering;
        let number = |bound: fn(f64, f64) -> f64, test: fn(f64) -> Test| {
            values.iter().filter_map(Value::as_f64).reduce(bound).map_or(Test::Never, test)
        };
        let semver = |wanted| {
            let parse = |value: &Value| Some(SemVer::parse(value.as_str()?)?.to_owned());
            Test::SemVer { wanted, versions: values.iter().filter_map(parse).collect() }
        };
        match operator {
            Operator::In => Self::membership(&values),
            Operator::StartsWith => Test::StartsWith(texts(values)),
            Operator::EndsWith => Test::EndsWith(texts(values)),
            Operator::Contains => Test::Contains(texts(values)),
            Operator::Matches => {
                Test::Matches(values.iter().filter_map(Value::as_str).map(Pattern::new).collect())
            }
            Operator::LessThan => number(f64::max, Test::LessThan),
            Operator::LessThanOrEqual => number(f64::max, Test::LessThanOrEqual),
            Operator::GreaterThan => number(f64::min, Test::GreaterThan),
            Operator::GreaterThanOrEqual => number(f64::min, Test::GreaterThanOrEqual),
            Operator::Before => instants(&values).max().map_or(Test::Never, Test::Before),
            Operator::After => instants(&values).min().map_or(Test::Never, Test::After),
            Operator::SemVerEqual => semver(Ordering::Equal),
            Operator::SemVerLessThan => semver(Ordering::Less),
            Operator::SemVerGreaterThan => semver(Ordering::Greater),
            Operator::SegmentMatch | Operator::Unknown(_) => Test::Never,
        }
    }

    fn membership(values: &[Value]) -> Self {
        let strings = KeySet::of(values.iter().filter_map(Value::as_str));
        let mut numbers = Vec::new();
        let mut bools = [false; 2];
        for value in values {
            match value {
                Value::Number(number) => numbers.extend(number.as_f64()),
                Value::Bool(value) => bools[usize::from(*value)] = true,
                Value::String(_) | Value::Null | Value::Array(_) | Value::Object(_) => {}
            }
        }
        numbers.sort_unstable_by(f64::total_cmp);
        Test::In { strings, numbers: numbers.into(), bools }
    }

    /// Whether a single value passes; lists and objects never do.
    #[inline]
    pub(crate) fn passes(&self, value: AttributeValue<'_>) -> bool {
        use AttributeValue::{Bool, Number, String};
        match (self, value) {
            (Test::In { strings, .. }, String(text)) => strings.contains(text),
            (Test::In { numbers, .. }, Number(number)) => contains_number(numbers, number),
            (Test::In { bools, .. }, Bool(value)) => bools[usize::from(value)],
            (Test::StartsWith(values), String(text)) => values.iter().any(|value| text.starts_with(&**value)),
            (Test::EndsWith(values), String(text)) => values.iter().any(|value| text.ends_with(&**value)),
            (Test::Contains(values), String(text)) => values.iter().any(|value| text.contains(&**value)),
            (Test::Matches(patterns), String(text)) => patterns.iter().any(|pattern| pattern.is_match(text)),
            (Test::LessThan(bound), Number(number)) => number < *bound,
            (Test::LessThanOrEqual(bound), Number(number)) => number <= *bound,
            (Test::GreaterThan(bound), Number(number)) => number > *bound,
            (Test::GreaterThanOrEqual(bound), Number(number)) => number >= *bound,
            (Test::Before(bound), String(text)) => {
                parse_instant(text).is_some_and(|instant| instant < *bound)
            }
            (Test::Before(bound), Number(number)) => (number as i64) < *bound,
            (Test::After(bound), String(text)) => parse_instant(text).is_some_and(|instant| instant > *bound),
            (Test::After(bound), Number(number)) => (number as i64) > *bound,
            (Test::SemVer { wanted, versions }, String(text)) => SemVer::parse(text)
                .is_some_and(|version| versions.iter().any(|own| version.compare(own) == *wanted)),
            _ => false,
        }
    }
}

fn texts(values: Vec<Value>) -> Box<[Box<str>]> {
    let text = |value| match value {
        Value::String(text) => Some(text.into_boxed_str()),
        _ => None,
    };
    values.into_iter().filter_map(text).collect()
}

fn instants(values: &[Value]) -> impl Iterator<Item = i64> {
    values.iter().filter_map(|value| match value {
        Value::String(text) => parse_instant(text),
        Value::Number(number) => number.as_f64().map(|number| number as i64),
        _ => None,
    })
}

/// `numbers` are sorted. Both zeros are one number.
fn contains_number(numbers: &[f64], number: f64) -> bool {
    if numbers.len() <= 8 {
        return numbers.contains(&number);
    }
    let first = numbers.partition_point(|own| *own < number);
    numbers.get(first) == Some(&number)
}
