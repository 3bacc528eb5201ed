//! One test of one attribute.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::read;

read::from_objects_only!(Clause);
read::written_as_derived!(Clause);

/// One test of one attribute; any listed value may match.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
pub struct Clause {
    /// The kind whose attribute is tested. Present and not empty: `attribute` is a reference
    /// (`/address/city`); otherwise it is a plain name, and the kind is `user`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_kind: Option<String>,
    /// The attribute, by name or reference; empty for `segmentMatch`.
    #[serde(default, deserialize_with = "read::or_default")]
    pub attribute: String,
    /// How the attribute is compared with each value.
    #[serde(default, deserialize_with = "read::or_default")]
    pub op: Operator,
    /// What it is compared with: one match is enough.
    #[serde(default, deserialize_with = "read::or_default")]
    pub values: Vec<Value>,
    /// Whether the outcome is turned round. A missing attribute stays a non-match all the same.
    #[serde(default, deserialize_with = "read::or_default")]
    pub negate: bool,
}

/// How a clause compares. One that this version does not know never matches, and is written back
/// as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operator {
    /// Equal, type and value.
    In,
    /// Text that begins with the value.
    StartsWith,
    /// Text that ends with the value.
    EndsWith,
    /// Text in which the value occurs.
    Contains,
    /// Text in which the regular expression is found.
    Matches,
    /// A smaller number.
    LessThan,
    /// A smaller or equal number.
    LessThanOrEqual,
    /// A greater number.
    GreaterThan,
    /// A greater or equal number.
    GreaterThanOrEqual,
    /// An earlier instant.
    Before,
    /// A later instant.
    After,
    /// The same semantic version.
    SemVerEqual,
    /// An earlier semantic version.
    SemVerLessThan,
    /// A later semantic version.
    SemVerGreaterThan,
    /// The context is in one of the named segments.
    SegmentMatch,
    /// An operator this version does not know.
    Unknown(String),
}

/// Every operator with its wire spelling.
const SPELLINGS: [(&str, Operator); 15] = [
    ("in", Operator::In),
    ("startsWith", Operator::StartsWith),
    ("endsWith", Operator::EndsWith),
    ("contains", Operator::Contains),
    ("matches", Operator::Matches),
    ("lessThan", Operator::LessThan),
    ("lessThanOrEqual", Operator::LessThanOrEqual),
    ("greaterThan", Operator::GreaterThan),
    ("greaterThanOrEqual", Operator::GreaterThanOrEqual),
    ("before", Operator::Before),
    ("after", Operator::After),
    ("semVerEqual", Operator::SemVerEqual),
    ("semVerLessThan", Operator::SemVerLessThan),
    ("semVerGreaterThan", Operator::SemVerGreaterThan),
    ("segmentMatch", Operator::SegmentMatch),
];

impl Operator {
    /// The wire spelling, `startsWith`.
    pub fn as_str(&self) -> &str {
        match self {
            Operator::Unknown(spelling) => spelling,
            known => SPELLINGS.iter().find(|(_, op)| op == known).map_or("", |(spelling, _)| spelling),
        }
    }
}

impl From<&str> for Operator {
    fn from(spelling: &str) -> Self {
        SPELLINGS
            .iter()
            .find(|(known, _)| *known == spelling)
            .map_or_else(|| Operator::Unknown(spelling.to_owned()), |(_, op)| op.clone())
    }
}

impl Default for Operator {
    fn default() -> Self {
        Operator::Unknown(String::new())
    }
}

impl Serialize for Operator {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Operator {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Spelling;
        impl serde::de::Visitor<'_> for Spelling {
            type Value = Operator;
            fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
                formatter.write_str("an operator")
            }
            fn visit_str<E>(self, spelling: &str) -> Result<Operator, E> {
                Ok(spelling.into())
            }
        }
        deserializer.deserialize_str(Spelling)
    }
}
