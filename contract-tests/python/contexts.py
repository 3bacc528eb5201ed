"""Contexts built, converted and compared."""

import json
from typing import Any, Dict, Union

from ldclient import Config, Context, ContextBuilder, LDClient
from ldclient.hook import Hook
from parameters import Parameters
from refusals import Bad, Failed


def of(parameters: Parameters) -> Union[Context, dict]:
    """The context of a command, or the user dictionary of the time before contexts.

    An impossible one goes to the SDK too: a program may hold one.
    """
    if parameters.any("context") is not None:
        return Context.from_dict(parameters.any("context"))
    if parameters.any("user") is None:
        raise Bad("a context is missing")
    return parameters.mapping("user")


def build(parameters: Parameters) -> Dict[str, str]:
    return _told(_either(parameters, _single))


def convert(parameters: Parameters) -> Dict[str, str]:
    try:
        properties = json.loads(parameters.text("input", needed=True))
    except ValueError as error:
        return {"error": str(error)}
    is_user = isinstance(properties, dict) and "kind" not in properties
    return _told(_of_user(properties) if is_user else Context.from_dict(properties))


def compare(parameters: Parameters) -> Dict[str, bool]:
    pair = [_either(parameters.object(name, needed=True), _compared) for name in ("context1", "context2")]
    for context in pair:
        if not context.valid:
            raise Failed(context.error or "")
    return {"equals": pair[0] == pair[1]}


class _Seen(Hook):
    """Keeps the context that was evaluated."""

    context = Context.from_dict(None)

    def before_evaluation(self, series_context: Any, data: dict) -> dict:
        self.context = series_context.context
        return data


def _of_user(user: dict) -> Context:
    """The context that a user dictionary stands for: hooks are shown it."""
    seen = _Seen()
    with LDClient(config=Config(offline=True, hooks=[seen])) as client:
        client.variation("any", user, None)
    return seen.context


def _either(parameters: Parameters, build_one: Any) -> Context:
    """One context, or one of several kinds."""
    single, multi = parameters.object("single"), parameters.objects("multi")
    if (single is None) == (multi is None):
        raise Bad("one of `single` and `multi` is needed")
    if single is not None:
        return build_one(single)
    builder = Context.multi_builder()
    for member in multi or []:
        builder.add(build_one(member))
    return builder.build()


def _single(parts: Parameters) -> Context:
    builder = Context.builder(parts.text("key") or "")
    if parts.text("kind") is not None:
        builder.kind(parts.text("kind"))
    if parts.text("name") is not None:
        builder.name(parts.text("name"))
    if parts.any("anonymous") is not None:
        builder.anonymous(parts.flag("anonymous"))
    for name, value in parts.mapping("custom").items():
        builder.set(name, value)
    builder.private(*parts.texts("private"))
    return builder.build()


def _compared(parts: Parameters) -> Context:
    builder: ContextBuilder = Context.builder(parts.text("key", needed=True)).kind(parts.text("kind", needed=True))
    for attribute in parts.objects("attributes") or []:
        builder.set(attribute.text("name", needed=True), attribute.any("value"))
    for private in parts.objects("privateAttributes") or []:
        reference = private.text("value", needed=True)
        builder.private(_literal(reference) if private.flag("literal") else reference)
    return builder.build()


def _literal(name: str) -> str:
    """The reference to an attribute of that very name."""
    return "/" + name.replace("~", "~0").replace("/", "~1") if name.startswith("/") else name


def _told(context: Context) -> Dict[str, str]:
    return {"output": context.to_json_string()} if context.valid else {"error": context.error or ""}
