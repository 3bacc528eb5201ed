//! A flag with one clause, through which operators are asked as programs ask them.

use flagstaff_eval::model::{Clause, Flag, FlagRule, VariationOrRollout};
use flagstaff_eval::{Context, DataSet, Entry, Value, evaluate};

/// Whether a clause with this operator and value holds for a context whose attribute `a` is this.
///
/// # Panics
/// If the clause and its negation agree.
pub(crate) fn holds(attribute: &Value, operator: &str, value: &Value) -> bool {
    let context = Context::builder("u").set("a", attribute.clone()).build().expect("the context is valid");
    let plain = ask(&context, operator, value, false);
    assert_ne!(plain, ask(&context, operator, value, true), "{attribute} {operator} {value}, negated");
    plain
}

fn ask(context: &Context, operator: &str, value: &Value, negate: bool) -> bool {
    let clause = Clause {
        attribute: "a".into(),
        op: operator.into(),
        values: vec![value.clone()],
        negate,
        ..Clause::default()
    };
    let flag = Flag {
        version: 1,
        on: true,
        rules: vec![FlagRule { clauses: vec![clause], variation: Some(1), ..FlagRule::default() }],
        fallthrough: VariationOrRollout::variation(0),
        variations: vec![false.into(), true.into()],
        ..Flag::default()
    };
    let data = DataSet::new([Entry::flag("f", flag)], []);
    let flag = data.flag("f").expect("the flag is there");
    let detail = evaluate(&data, flag, context, &mut |_| {});
    detail.value.and_then(Value::as_bool).expect("one of the two variations is served")
}
