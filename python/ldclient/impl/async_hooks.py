"""Runs hooks around evaluations that are awaited, and after ``track``. Stages may be coroutines."""

import inspect
from typing import Any, Awaitable, Callable, List, Optional, Tuple

from ldclient import _native
from ldclient.evaluation import EvaluationDetail
from ldclient.hook import EvaluationSeriesContext, Hook, TrackSeriesContext
from ldclient.impl.hooks import is_interrupt, name_of
from ldclient.util import log


async def in_series(
    hooks: Tuple[Hook, ...],
    native: Any,
    method: str,
    key: str,
    context: Any,
    default: Any,
    evaluate: Callable[[], Awaitable[Tuple[Any, EvaluationDetail]]],
) -> Any:
    """Runs stages before and after an evaluation; gives its result.

    :param hooks: in the order in which they were added
    :param native: the native client
    :param method: the client's method
    :param key: the flag key
    :param context: who or what the flag is evaluated for, as the caller gave it
    :param default: what the caller gave to be returned if the flag cannot be evaluated
    :param evaluate: gives the result, and what hooks are told of it
    """
    shown = _native.context_of(context)
    told = EvaluationSeriesContext(key, shown, default, method, native.environment_id())
    running: List[Tuple[Hook, Any]] = []
    for hook in hooks:
        running.append((hook, await _run("beforeEvaluation", hook, lambda: hook.before_evaluation(told, {}))))
    result, detail = await evaluate()
    for hook, data in reversed(running):
        await _run("afterEvaluation", hook, lambda: hook.after_evaluation(told, data, detail))
    return result


async def _run(name: str, hook: Hook, stage: Callable[[], Any]) -> Any:
    """Gives what a stage gives, or an empty dictionary if it raises."""
    try:
        result = stage()
        return await result if inspect.isawaitable(result) else result
    except BaseException as error:
        # A task that is cancelled is not for hooks to hold up.
        if is_interrupt(error):
            raise
        log.error("An error occurred in %s of the hook %s: #%s", name, name_of(hook), error)
        return {}


def after_track(
    hooks: Tuple[Hook, ...],
    native: Any,
    run_soon: Callable[[Awaitable[Any]], None],
    event_name: str,
    context: Any,
    data: Any,
    metric_value: Optional[float],
) -> None:
    """Runs the stages after ``track``; those that are coroutines, soon.

    :param hooks: in the order in which they were added
    :param native: the native client
    :param run_soon: has a coroutine run
    :param event_name: what happened
    :param context: who or what it happened to, as the caller gave it
    :param data: what was said of it
    :param metric_value: the number for metrics
    """
    shown = _native.context_of(context)
    if not shown.valid or native.is_closed():
        return
    told = TrackSeriesContext(event_name, shown, data, metric_value, native.environment_id())
    for hook in hooks:
        try:
            result = hook.after_track(told)
            if inspect.isawaitable(result):
                run_soon(result)
        except BaseException as error:
            if is_interrupt(error):
                raise
            log.error("An error occurred in afterTrack of the hook %s: #%s", name_of(hook), error)
