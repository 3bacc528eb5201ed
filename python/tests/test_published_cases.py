"""The published evaluation cases that every server-side SDK must agree on, unmodified, through a real client."""

import os

from expand import EVALUATION_CASES, copies, files
from fake_service import TIMEOUT, FakeService
from ldclient import Config, Context, LDClient

#: The published data's own counts.
ALL_CASES = 728
STRONGLY_TYPED = "errors-wrong-type.yml"


def test_every_published_case_agrees(capsys):
    if not EVALUATION_CASES.is_dir():
        required = os.environ.get("FLAGSTAFF_REQUIRE_TEST_DATA") == "1"
        assert not required, "no test data at %s" % EVALUATION_CASES
        say(capsys, "published cases: 0 run, as there is no test data at %s" % EVALUATION_CASES)
        return
    service = FakeService()
    failures = []
    untyped, typed, paths = 0, 0, files()
    try:
        for path in paths:
            for document in copies(path):
                evaluations = document["evaluations"]
                if path.name == STRONGLY_TYPED:
                    # About asking for a type, which Python programs do not.
                    assert document["requireCapability"] == "strongly-typed"
                    typed += len(evaluations)
                else:
                    untyped += len(evaluations)
                    failures += run(service, path.stem, document)
    finally:
        service.close()
    say(
        capsys,
        "published cases: %d run in %d files, and %d strongly typed ones that do not apply to Python"
        % (untyped, len(paths) - 1, typed),
    )
    assert not failures, "%d failed:\n%s" % (len(failures), "\n".join(failures))
    assert untyped + typed == ALL_CASES


def say(capsys, text):
    with capsys.disabled():
        print("\n" + text)


def run(service, name, document):
    """Runs one copy of a file; yields what went wrong."""
    data = document["sdkData"]
    service.flags = items(data.get("flags"))
    service.segments = items(data.get("segments"))
    config = Config("sdk-test", send_events=False, diagnostic_opt_out=True, **service.uris())
    with LDClient(config=config, start_wait=TIMEOUT) as client:
        assert client.is_initialized()
        for evaluation in document["evaluations"]:
            for form, context in forms(evaluation.get("context") or evaluation.get("user") or document.get("context")):
                for problem in problems(client, document, evaluation, context):
                    yield "%s / %s as %s: %s" % (name, evaluation.get("name"), form, problem)


def problems(client, document, evaluation, context):
    key, default, expected = evaluation["flagKey"], evaluation.get("default", False), evaluation["expect"]
    index = expected.get("variationIndex")
    detail = client.variation_detail(key, context, default)
    if not same((detail.value, detail.variation_index), (expected["value"], index)):
        yield "expected %r, got %r" % (expected, detail)
    if not same(client.variation(key, context, default), expected["value"]):
        yield "variation() and variation_detail() disagree"
    if not same(without_none(detail.reason), without_none(expected["reason"])):
        yield "expected %r, got %r" % (expected["reason"], detail.reason)

    state = client.all_flags_state(context, with_reasons=True)
    if document.get("skipEvaluateAllFlags") or not state.valid:
        return
    if expected["reason"].get("errorKind") == "FLAG_NOT_FOUND":
        if key in state.to_values_map():
            yield "all flags have one that is not there"
    elif not same(state.get_flag_value(key), None if index is None else expected["value"]):
        yield "all flags say %r instead of %r" % (state.get_flag_value(key), expected["value"])
    elif not same(without_none(state.get_flag_reason(key)), without_none(expected["reason"])):
        yield "all flags say %r instead of %r" % (state.get_flag_reason(key), expected["reason"])


def forms(context):
    """What a program may hand in for this context."""
    if isinstance(context, dict) and "kind" not in context:
        yield "user", context
        yield "converted user", Context.from_dict(converted(context))
    else:
        yield "dictionary", context
        yield "context", Context.from_dict(context)


def converted(user):
    """A user as a context: what is custom becomes an attribute like any other."""
    context = {"kind": "user", **{k: v for k, v in user.items() if k not in ("custom", "privateAttributeNames")}}
    context.update(user.get("custom") or {})
    if user.get("privateAttributeNames"):
        context["_meta"] = {"privateAttributes": user["privateAttributeNames"]}
    return context


def items(items):
    return {key: {"version": 1, **item, "key": key} for key, item in (items or {}).items()}


def without_none(reason):
    return {name: value for name, value in (reason or {}).items() if value is not None}


def same(a, b):
    """Equal as JSON: 1 equals 1.0, but not True."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return isinstance(a, bool) == isinstance(b, bool) and a == b
