"""The operators of clauses, by name.

``ops[name](value_of_the_user, value_of_the_clause)`` says whether they match, as an evaluation does: an attribute
that is missing or ``None`` never does, and of a list one element is enough.
"""

from functools import partial
from typing import Any, Callable, Dict

from ldclient import _native

__all__ = ["ops"]


def _matches(name: str, user_value: Any, clause_value: Any) -> bool:
    clause = {"attribute": "value", "op": name, "values": [clause_value]}
    flag = {
        "on": True,
        "variations": [False, True],
        "fallthrough": {"variation": 0},
        "rules": [{"variation": 1, "clauses": [clause]}],
    }
    user = {"key": "operand", "custom": {"value": user_value}}
    (value, _, _), _ = _native.evaluate_flag({"flags": {"flag": flag}, "segments": {}}, "flag", user)
    return value is True


#: By the operator's name, what says whether two values match.
ops: Dict[str, Callable[[Any, Any], bool]] = {
    name: partial(_matches, name)
    for name in (
        "in",
        "endsWith",
        "startsWith",
        "matches",
        "contains",
        "lessThan",
        "lessThanOrEqual",
        "greaterThan",
        "greaterThanOrEqual",
        "before",
        "after",
        "semVerEqual",
        "semVerLessThan",
        "semVerGreaterThan",
    )
}
