"""Hooks whose stages the harness looks at."""

from enum import Enum
from typing import Any, List, Optional

import callbacks
from ldclient.hook import Hook, Metadata
from parameters import Parameters


def hooks(wanted: Optional[Parameters]) -> List[Hook]:
    """The hooks of a configuration."""
    listed = wanted.objects("hooks") if wanted is not None else None
    return [HarnessHook(one) for one in listed or []]


class HarnessHook(Hook):
    """Tells the harness of each stage."""

    def __init__(self, wanted: Parameters):
        self.name = wanted.text("name", needed=True)
        self.uri = wanted.text("callbackUri", needed=True)
        self.added = wanted.mapping("data").get("beforeEvaluation") or {}
        self.errors = wanted.mapping("errors")

    @property
    def metadata(self) -> Metadata:
        return Metadata(self.name)

    def before_evaluation(self, series_context: Any, data: dict) -> dict:
        self.tell("beforeEvaluation", evaluationSeriesContext=_told(series_context), evaluationSeriesData=data)
        return {**data, **self.added}

    def after_evaluation(self, series_context: Any, data: dict, detail: Any) -> dict:
        told = {"value": _plain(detail.value), "variationIndex": detail.variation_index, "reason": detail.reason}
        self.tell(
            "afterEvaluation",
            evaluationSeriesContext=_told(series_context),
            evaluationSeriesData=data,
            evaluationDetail=told,
        )
        return data

    def after_track(self, series_context: Any) -> None:
        self.tell("afterTrack", trackSeriesContext={
            "key": series_context.key,
            "context": series_context.context.to_dict(),
            "data": series_context.data,
            "metricValue": series_context.metric_value,
            "environmentId": series_context.environment_id,
        })

    def tell(self, stage: str, **what: Any) -> None:
        """Tells the harness of a stage, unless that is to fail: then it fails."""
        if stage in self.errors:
            raise Exception(self.errors[stage])
        callbacks.post_json(self.uri, {"stage": stage, **what})


def _told(series_context: Any) -> dict:
    return {
        "flagKey": series_context.key,
        "context": series_context.context.to_dict(),
        "defaultValue": _plain(series_context.default_value),
        "method": series_context.method,
        "environmentId": series_context.environment_id,
    }


def _plain(value: Any) -> Any:
    """A stage of a migration by its name, anything else as it is."""
    return value.value if isinstance(value, Enum) else value
