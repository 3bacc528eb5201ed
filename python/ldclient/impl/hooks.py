"""Runs hooks around evaluations, and after ``track``."""

from typing import Any, Callable, List, Optional, Tuple

from ldclient import _native
from ldclient.evaluation import EvaluationDetail
from ldclient.hook import EvaluationSeriesContext, Hook, TrackSeriesContext
from ldclient.util import log


class Stages:
    """Runs stages of hooks. What one raises is logged and goes no further, except for what is meant for the
    program rather than for the hook: that is put by until :meth:`finish`."""

    __slots__ = ("__interrupt",)

    def __init__(self) -> None:
        self.__interrupt: Optional[BaseException] = None

    def run(self, name: str, hook: Hook, stage: Callable[[Hook], Any]) -> Any:
        """Gives what a stage gives, or an empty dictionary if it raises.

        :param name: the stage as log lines call it
        :param hook: whose stage it is
        :param stage: runs it
        """
        try:
            return stage(hook)
        except BaseException as error:
            log.error("An error occurred in %s of the hook %s: #%s", name, name_of(hook), error)
            if is_interrupt(error):
                self.__interrupt = error
            return {}

    def finish(self) -> None:
        """Raises what was put by."""
        if self.__interrupt is not None:
            raise self.__interrupt


class Series(Stages):
    """One evaluation whose first stages have run."""

    __slots__ = ("__context", "__running")

    def __init__(self, hooks: Tuple[Hook, ...], context: EvaluationSeriesContext):
        """Runs the stages before the evaluation.

        :param hooks: in the order in which they were added
        :param context: what is evaluated
        """
        super().__init__()
        self.__context = context
        self.__running: List[Tuple[Hook, Any]] = [
            (hook, self.run("beforeEvaluation", hook, lambda hook: hook.before_evaluation(context, {})))
            for hook in hooks
        ]

    def end(self, detail: EvaluationDetail) -> None:
        """Runs the stages after the evaluation, then raises what must not be swallowed.

        :param detail: what the caller gets
        """
        context = self.__context
        for hook, data in reversed(self.__running):
            self.run("afterEvaluation", hook, lambda hook: hook.after_evaluation(context, data, detail))
        self.finish()


class HookedClient:
    """A native client with hooks around its evaluations, for those who evaluate by it."""

    def __init__(self, native: Any, hooks: List[Hook]):
        """
        :param native: the native client
        :param hooks: grows when hooks are added; an evaluation that has begun goes on without them
        """
        self.__native = native
        self.__hooks = hooks

    def begin(self, method: str, key: str, context: Any, default: Any) -> Series:
        """Runs the stages before an evaluation.

        :param method: the client's method
        :param key: the flag key
        :param context: who or what the flag is evaluated for, as the caller gave it
        :param default: what the caller gave to be returned if the flag cannot be evaluated
        """
        shown = _native.context_of(context)
        told = EvaluationSeriesContext(key, shown, default, method, self.__native.environment_id())
        return Series(tuple(self.__hooks), told)

    def variation(self, key: str, context: Any, default: Any) -> Any:
        """As the native client's method."""
        series = self.begin("variation", key, context, default)
        detail = EvaluationDetail(*self.__native.variation_for_hooks(key, context, default))
        series.end(detail)
        return detail.value

    def variation_detail(self, key: str, context: Any, default: Any) -> EvaluationDetail:
        """As the native client's method, but gives the whole object."""
        series = self.begin("variation_detail", key, context, default)
        detail = EvaluationDetail(*self.__native.variation_detail(key, context, default))
        series.end(detail)
        return detail

    def after_track(self, event_name: str, context: Any, data: Any, metric_value: Optional[float]) -> None:
        """Runs the stages after ``track``.

        :param event_name: what happened
        :param context: who or what it happened to, as the caller gave it
        :param data: what was said of it
        :param metric_value: the number for metrics
        """
        shown = _native.context_of(context)
        if not shown.valid or self.__native.is_closed():
            return
        told = TrackSeriesContext(event_name, shown, data, metric_value, self.__native.environment_id())
        stages = Stages()
        for hook in tuple(self.__hooks):
            stages.run("afterTrack", hook, lambda hook: hook.after_track(told))
        stages.finish()


def name_of(component: Any) -> str:
    """What a hook or plugin is called in log lines: the name of its type, if it does not say.

    :param component: the hook or plugin
    """
    try:
        return component.metadata.name
    except Exception:
        return type(component).__name__


def is_interrupt(error: BaseException) -> bool:
    """Whether it comes from outside: Ctrl-C, an exit, a task or greenlet that is cancelled.

    :param error: what was raised
    """
    return not isinstance(error, Exception) and type(error) is not BaseException
