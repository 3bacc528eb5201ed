"""Code of a program's own that runs around evaluations, and after ``track``.

.. code-block:: python

    class Timing(Hook):
        @property
        def metadata(self):
            return Metadata("timing")

        def before_evaluation(self, series_context, data):
            return {**data, "started": time.perf_counter()}

        def after_evaluation(self, series_context, data, detail):
            print(series_context.key, time.perf_counter() - data["started"])
            return data

    client = LDClient(Config("sdk-key", hooks=[Timing()]))
"""

from dataclasses import dataclass
from typing import Any, Optional

from ldclient.context import Context
from ldclient.evaluation import EvaluationDetail

__all__ = ["AsyncHook", "EvaluationSeriesContext", "Hook", "Metadata", "TrackSeriesContext"]


@dataclass
class EvaluationSeriesContext:
    """What is evaluated, for whom, and by which method."""

    #: The flag key.
    key: str
    #: Who or what the flag is evaluated for; one that is not valid if there is nobody. A user dictionary is
    #: shown as the context that it stands for.
    context: Context
    #: What the caller gave to be returned if the flag cannot be evaluated.
    default_value: Any
    #: ``variation``, ``variation_detail`` or ``migration_variation``.
    method: str
    #: The id of the environment, once the service has said it.
    environment_id: Optional[str] = None


@dataclass
class TrackSeriesContext:
    """What a program told :meth:`ldclient.client.LDClient.track`."""

    #: The event's name.
    key: str
    #: Who or what it is about.
    context: Context
    #: What was said of it.
    data: Any = None
    #: The number for metrics.
    metric_value: Optional[float] = None
    #: The id of the environment, once the service has said it.
    environment_id: Optional[str] = None


@dataclass
class Metadata:
    """What a hook says of itself."""

    #: What the hook is called in log lines.
    name: str


class Hook:
    """Runs around evaluations, and after ``track``. Every stage does nothing unless it is written.

    Stages run on the caller's thread, within the call, and may use the client. The stages before an evaluation
    run in the order in which hooks were added, those after it the other way round. What a stage raises is logged,
    and the evaluation goes on; :class:`KeyboardInterrupt`, :class:`SystemExit` and the like reach the caller
    when the evaluation is over.
    """

    @property
    def metadata(self) -> Metadata:
        """What the hook says of itself."""
        return Metadata(type(self).__name__)

    def before_evaluation(self, series_context: EvaluationSeriesContext, data: dict) -> dict:
        """Runs before an evaluation.

        :param series_context: what is evaluated
        :param data: empty
        :return: what :meth:`after_evaluation` of this hook is given, for this evaluation
        """
        return data

    def after_evaluation(self, series_context: EvaluationSeriesContext, data: dict, detail: EvaluationDetail) -> dict:
        """Runs after an evaluation.

        :param series_context: what was evaluated
        :param data: what :meth:`before_evaluation` of this hook gave; empty if it raised something
        :param detail: what the caller gets, and why
        :return: for stages to come
        """
        return data

    def after_track(self, series_context: TrackSeriesContext) -> None:
        """Runs after ``track`` has put its event into the queue, also if events are not sent; not for a context
        that is of no use, and not once the client is closed.

        :param series_context: what was tracked
        """


class AsyncHook(Hook):
    """A hook whose stages are coroutines, for :class:`ldclient.async_client.AsyncLDClient`, which awaits them."""

    async def before_evaluation(  # type: ignore[override]
        self, series_context: EvaluationSeriesContext, data: dict
    ) -> dict:
        """Runs before an evaluation.

        :param series_context: what is evaluated
        :param data: empty
        :return: what :meth:`after_evaluation` of this hook is given, for this evaluation
        """
        return data

    async def after_evaluation(  # type: ignore[override]
        self, series_context: EvaluationSeriesContext, data: dict, detail: EvaluationDetail
    ) -> dict:
        """Runs after an evaluation.

        :param series_context: what was evaluated
        :param data: what :meth:`before_evaluation` of this hook gave; empty if it raised something
        :param detail: what the caller gets, and why
        :return: for stages to come
        """
        return data

    async def after_track(self, series_context: TrackSeriesContext) -> None:  # type: ignore[override]
        """Runs soon after ``track``, which does not wait for it.

        :param series_context: what was tracked
        """
