//! Every operator, one line a case: the attribute, the operator, the values, and whether it matches.

use flagstaff_eval::model::{Clause, Flag, FlagData, FlagRule, VariationOrRollout};
use flagstaff_eval::{Context, DataSet, Value, evaluate};
use serde_json::json;

/// Evaluates one clause on the attribute `a`, plain and negated.
fn matches(attribute: &Value, operator: &str, values: Value) -> bool {
    let context = Context::builder("u").set("a", attribute.clone()).build().unwrap();
    let plain = clause_matches(&context, operator, &values, false);
    let negated = clause_matches(&context, operator, &values, true);
    assert_ne!(plain, negated, "negate turns {attribute} {operator} {values} round");
    plain
}

fn clause_matches(context: &Context, operator: &str, values: &Value, negate: bool) -> bool {
    let clause = Clause {
        attribute: "a".into(),
        op: operator.into(),
        values: values.as_array().unwrap().clone(),
        negate,
        ..Clause::default()
    };
    let flag = Flag {
        key: "f".into(),
        version: 1,
        on: true,
        rules: vec![FlagRule { clauses: vec![clause], variation: Some(1), ..FlagRule::default() }],
        fallthrough: VariationOrRollout::variation(0),
        variations: vec![json!(false), json!(true)],
        ..Flag::default()
    };
    let data = DataSet::from_model(FlagData { flags: vec![("f".into(), flag)], segments: vec![] });
    let flag = data.flag("f").unwrap();
    evaluate(&data, flag, context, &mut |_| {}).value == Some(&json!(true))
}

macro_rules! cases {
    ($($name:ident: $operator:literal { $($attribute:tt $yes_or_no:ident [$($value:tt)*]),* $(,)? })*) => {
        $(#[test] fn $name() {
            $(
                let (attribute, values) = (json!($attribute), json!([$($value)*]));
                let expected = stringify!($yes_or_no) == "yes";
                assert_eq!(matches(&attribute, $operator, values.clone()), expected,
                    "{attribute} {} {values}", $operator);
            )*
        })*
    };
}

cases! {
    in_is_equality_of_type_and_value: "in" {
        "x" yes ["y", "x"], "x" no ["X"], "x" no [], 1 yes [1.0], 1 no ["1"], "1" no [1], true yes [true],
        true no [1], false no [0], 0 no [false], 0.5 yes [0.25, 0.5], {"x": 1} no [{"x": 1}],
        ["p", "q"] yes ["q"], [["q"]] no ["q"], [[1]] no [[1]], [] no ["q"], [1, "z", null] yes ["z"],
        "x" yes ["a", "b", "c", "d", "e", "f", "x"], "g" no ["a", "b", "c", "d", "e", "f", "x"],
        7 yes [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 11 no [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    }
    starts_with_compares_text: "startsWith" {
        "abc" yes ["x", "ab"], "abc" no ["bc"], "abc" no ["AB"], "abc" yes [""], 12 no ["1"], "12" no [1]
    }
    ends_with_compares_text: "endsWith" { "abc" yes ["x", "bc"], "abc" no ["ab"], 12 no ["2"], "12" no [2] }
    contains_compares_text: "contains" { "abc" yes ["x", "b"], "abc" no ["ac"], "ünï" yes ["n"], 12 no ["1"] }
    regular_expressions_are_searched_for: "matches" {
        "hello world" yes ["hello.*rld"], "hello world" yes ["l+"], "hello world" no ["^world"],
        "hello world" no ["***not a regex"], "hello world" yes ["***not a regex", "wor"],
        "aa" no ["(?=a)a"], 5 no ["5"], "5" no [5]
    }
    less_than_compares_numbers: "lessThan" { 1 yes [1.5], 1 no [1], 1 yes [0, 3], "1" no [2], 1 no ["2"], true no [2] }
    less_than_or_equal_compares_numbers: "lessThanOrEqual" { 1 yes [1.0], 2 no [1], 2 yes [1, 2], 1 no [] }
    greater_than_compares_numbers: "greaterThan" { 2 yes [1.5], 1 no [1], 2 yes [9, 1], "2" no [1] }
    greater_than_or_equal_compares_numbers: "greaterThanOrEqual" { 1 yes [1.0], 1 no [2], 1 yes [2, 1] }
    before_compares_instants: "before" {
        "2017-12-06T00:00:00.000-07:00" yes [1512543600001i64], 1512543600000i64 no ["2017-12-06T07:00:00Z"],
        1512543599999.7 yes ["2017-12-06T07:00:00Z"], "2017-12-06" no ["2018-01-01T00:00:00Z"],
        "1512543600000" no ["2018-01-01T00:00:00Z"], true no ["2018-01-01T00:00:00Z"], 0 no ["", "x"],
        0 yes ["1960-01-01T00:00:00Z", "1980-01-01T00:00:00Z"]
    }
    after_compares_instants: "after" {
        "2017-12-06T07:00:00.001Z" yes [1512543600000i64], "2017-12-06T07:00:00Z" no [1512543600000i64],
        1 yes ["1970-01-01T00:00:00Z", "1999-01-01T00:00:00Z"], 1 no [null]
    }
    semver_equal_ignores_missing_parts: "semVerEqual" {
        "2.0.0" yes ["2"], "2.0" yes ["2.0.0+build"], "2-rc" yes ["2.0.0-rc"], "2.0.1" no ["2"], "v2" no ["2"],
        "02.0.0" no ["2.0.0"], 2 no ["2"], "2" no [2], "2.0.0" yes ["x", "2"]
    }
    semver_less_than_knows_prereleases: "semVerLessThan" {
        "2.0.0-rc.2" yes ["2.0.0-rc.10"], "2.0.0-rc" yes ["2"], "2" no ["2.0.0-rc"], "2.9" yes ["2.10"], "" no ["2"]
    }
    semver_greater_than_knows_prereleases: "semVerGreaterThan" {
        "2.0.0" yes ["2.0.0-rc"], "2.0.0-alpha.1" yes ["2.0.0-alpha"], "2.0.0-1" no ["2.0.0-alpha"], "2" no ["2.0.0"]
    }
    unknown_operators_never_match: "isFamousFor" { "x" no ["x"], 1 no [1] }
}

#[test]
fn nothing_is_said_of_a_missing_attribute_even_when_negated() {
    let context = Context::builder("u").set("b", 1).build().unwrap();
    for negate in [false, true] {
        assert!(!clause_matches(&context, "in", &json!([1]), negate));
    }
}

#[test]
fn hostile_regular_expressions_cost_little() {
    let subject = "a".repeat(1_000_000);
    let start = std::time::Instant::now();
    assert!(!matches(&json!(subject), "matches", json!(["(a+)+$x", "(x{1000}){1000}{1000}"])));
    assert!(start.elapsed() < std::time::Duration::from_secs(10), "{:?}", start.elapsed());
}
