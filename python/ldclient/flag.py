"""The familiar place of :class:`EvaluationDetail`, and one flag evaluated without a client."""

from typing import Any, Dict, List, NamedTuple, Optional

from ldclient import _native
from ldclient.evaluation import EvaluationDetail
from ldclient.versioned_data_kind import FEATURES, SEGMENTS, VersionedDataKind

__all__ = ["EvalResult", "EvaluationDetail", "error_reason", "evaluate"]


class EvalResult(NamedTuple):
    """What :func:`evaluate` gives."""

    #: The value and why; the value is ``None`` if there is none.
    detail: EvaluationDetail
    #: One event for each prerequisite that was evaluated on the way, in the form of version 6.
    events: List[dict]


def error_reason(error_kind: str) -> dict:
    """The reason of an evaluation that could not be done.

    :param error_kind: for example ``FLAG_NOT_FOUND``
    """
    return {"kind": "ERROR", "errorKind": error_kind}


def evaluate(flag: Any, user: Any, store: Any, event_factory: Any = None) -> EvalResult:
    """Evaluates one flag, in its JSON form, without a client.

    For tests of flags, and for programs that called it in earlier versions. Segments are matched by what they hold;
    no database of big segments is asked.

    :param flag: the flag
    :param user: who or what it is evaluated for
    :param store: the :class:`ldclient.interfaces.FeatureStore` that holds prerequisites and segments
    :param event_factory: accepted; events are made here
    :raises Exception: unlike a client, if something has not the form of a flag or a segment
    """
    flags: Dict[str, Any] = {flag["key"]: FEATURES.encode(flag)}
    segments: Dict[str, Any] = {}
    _gather(flag["key"], flags, segments, store)
    detail, prerequisites = _native.evaluate_flag({"flags": flags, "segments": segments}, flag["key"], user)
    events = [
        _event(flags[key], user, EvaluationDetail(*of_prerequisite), prerequisite_of)
        for key, prerequisite_of, of_prerequisite in prerequisites
    ]
    return EvalResult(EvaluationDetail(*detail), events)


def _gather(key: str, flags: Dict[str, Any], segments: Dict[str, Any], store: Any) -> None:
    """Looks up whatever an evaluation of a flag can come across."""
    wanted = [(FEATURES, flags[key])]
    while wanted:
        kind, item = wanted.pop()
        if kind is FEATURES:
            for prerequisite in item.get("prerequisites") or ():
                wanted += _found(FEATURES, prerequisite.get("key"), flags, store)
        for rule in item.get("rules") or ():
            for clause in rule.get("clauses") or ():
                for segment in clause.get("values") or () if clause.get("op") == "segmentMatch" else ():
                    wanted += _found(SEGMENTS, segment, segments, store)


def _found(kind: VersionedDataKind, key: Any, known: Dict[str, Any], store: Any) -> list:
    """An item that was not known yet."""
    if key in known:
        return []
    item = store.get(kind, key, lambda found: found)
    if item is None:
        return []
    known[key] = kind.encode(item)
    return [(kind, known[key])]


def _event(flag: Any, user: Any, detail: EvaluationDetail, prerequisite_of: Optional[str]) -> dict:
    event = {
        "kind": "feature",
        "key": flag.get("key"),
        "user": user,
        "value": detail.value,
        "variation": detail.variation_index,
        "default": None,
        "version": flag.get("version"),
        "prereqOf": prerequisite_of,
    }
    for name in ("trackEvents", "debugEventsUntilDate"):
        if flag.get(name):
            event[name] = flag[name]
    return event
