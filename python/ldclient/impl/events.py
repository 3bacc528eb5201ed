"""Events for an event processor of the program's own, and the way there."""

import os
import time
from typing import Any, Dict, Optional, Tuple

from ldclient.config import Config
from ldclient.util import log

#: What the native client says of a flag: version, whether it is tracked, until when it is debugged, sampling
#: ratio, whether it is left out of summaries.
_FlagFacts = Tuple[int, bool, Optional[int], int, bool]


class Event(dict):
    """An event as event processors of either era read it: a dictionary with the keys of 6.x and 7.x, which has
    the attributes of 8.0 and later too."""

    def __init__(self, items: Dict[str, Any], **attributes: Any):
        """
        :param items: by the names of old
        :param attributes: by the names of today
        """
        super().__init__(items)
        self.__dict__.update(attributes)


class EventSink:
    """Hands events to an event processor of the program's own. What that raises is logged, and goes no further.

    A process made by ``fork`` has an event processor of its own, made when there is first something to tell it:
    the threads of the other one are gone there.
    """

    def __init__(self, config: Config):
        """Makes the event processor.

        :param config: says how
        """
        self.__config = config
        self.__stopped = False
        self.__failing = False
        self.__claims: Dict[Any, object] = {}
        self.__processors: Dict[int, Any] = {}
        self.__processor()

    def evaluated(self, key: Any, user: Any, context: Any, flag: Optional[_FlagFacts], variation: Optional[int],
                  value: Any, default: Any, reason: Optional[dict], in_experiment: bool,
                  prereq_of: Optional[str]) -> None:
        """A flag was evaluated, or could not be. Called by the native client.

        :param key: the flag key
        :param user: for whom, as the caller said it
        :param context: the same as a ``Context``; ``None`` for a user without a key
        :param flag: what is known of the flag; ``None`` if there is no such flag
        :param variation: which of the flag's variations it was; ``None`` if it was none
        :param value: what the caller got
        :param default: what the caller would have got otherwise
        :param reason: why, if that is to be told
        :param in_experiment: whether it is told of whatever the flag says
        :param prereq_of: the flag of which this one is a prerequisite, and was evaluated for
        """
        known = None if flag is None else _flag(key, flag)
        tracked = in_experiment or (known is not None and known["trackEvents"])
        items = {
            "kind": "feature",
            "key": key,
            "user": user,
            "value": value,
            "variation": variation,
            "default": default,
            "version": None if known is None else known["version"],
        }
        if reason is not None:
            items["reason"] = reason
        if tracked:
            items["trackEvents"] = True
        if known is not None and known["debugEventsUntilDate"] is not None:
            items["debugEventsUntilDate"] = known["debugEventsUntilDate"]
        if prereq_of is not None:
            items["prereqOf"] = prereq_of
        self.send(
            Event(
                items,
                timestamp=_now(),
                context=context,
                key=key,
                flag=known,
                variation=variation,
                value=value,
                reason=reason,
                default_value=default,
                prereq_of=prereq_of,
                track_events=tracked,
                sampling_ratio=None if known is None else known["samplingRatio"],
                exclude_from_summaries=known is not None and known["excludeFromSummaries"],
            )
        )

    def identified(self, user: Any, context: Any) -> None:
        """A context was declared. Called by the native client.

        :param user: as the caller said it
        :param context: the same as a ``Context``
        """
        items = {"kind": "identify", "key": context.fully_qualified_key, "user": user}
        self.send(Event(items, timestamp=_now(), context=context))

    def tracked(self, event_name: str, user: Any, context: Any, data: Any, metric_value: Optional[float]) -> None:
        """Something happened in the program. Called by the native client.

        :param event_name: what
        :param user: to whom, as the caller said it
        :param context: the same as a ``Context``
        :param data: what the caller gave
        :param metric_value: a number, for metrics that measure one
        """
        items = {"kind": "custom", "key": event_name, "user": user}
        if data is not None:
            items["data"] = data
        if metric_value is not None:
            items["metricValue"] = metric_value
        self.send(
            Event(items, timestamp=_now(), context=context, key=event_name, data=data, metric_value=metric_value)
        )

    def send(self, event: Any) -> None:
        """Hands over any event, on the caller's thread.

        :param event: the event
        """
        if not self.__stopped:
            self.__call("send_event", event)

    def flush(self) -> None:
        """Has the event processor deliver what it has gathered."""
        if not self.__stopped:
            self.__call("flush")

    def stop(self) -> None:
        """Stops the event processor, once; afterwards nothing is handed to it."""
        mine = object()
        if self.__claims.setdefault("stop", mine) is mine:
            self.__stopped = True
            # In a process that never used it there is none.
            if os.getpid() in self.__processors:
                self.__call("stop")

    def __call(self, name: str, *arguments: Any) -> None:
        # A stand-in in a test may have a part of the methods only.
        method = getattr(self.__processor(), name, None)
        if method is None:
            return
        try:
            method(*arguments)
            self.__failing = False
        except Exception:
            # Once, until it works again: there may be thousands of events a second.
            if not self.__failing:
                self.__failing = True
                log.warning(
                    "Unhandled exception in event processor. Analytics events were not processed.", exc_info=True
                )

    def __processor(self) -> Any:
        process = os.getpid()
        if process not in self.__processors:
            mine = object()
            # Whoever else comes meanwhile, from another thread or from the factory itself, finds none.
            if self.__claims.setdefault(process, mine) is mine:
                self.__processors[process] = self.__make()
        return self.__processors.get(process)

    def __make(self) -> Any:
        try:
            return self.__config.event_processor_class(self.__config)
        except Exception:
            log.error("The event processor could not be made; events are dropped", exc_info=True)
            return None


def event_sink(config: Config) -> Optional[EventSink]:
    """What takes events instead of the native client; ``None`` if it keeps them, or nobody wants any.

    :param config: the client's config
    """
    consumer = config.event_consumer_class
    # The consumer for Twisted stands for what the client does anyway.
    if consumer is not None and not getattr(consumer, "served_by_the_client", False):
        log.warning("Config option event_consumer_class is ignored: use event_processor_class to take events")
    if config.event_processor_class is None or config.offline or not config.send_events:
        return None
    return EventSink(config)


def _flag(key: str, facts: _FlagFacts) -> Event:
    """What is known of a flag, by either era's names too."""
    version, track_events, debug_events_until_date, sampling_ratio, exclude_from_summaries = facts
    return Event(
        {
            "key": key,
            "version": version,
            "trackEvents": track_events,
            "debugEventsUntilDate": debug_events_until_date,
            "samplingRatio": sampling_ratio,
            "excludeFromSummaries": exclude_from_summaries,
        },
        key=key,
        version=version,
        track_events=track_events,
        debug_events_until_date=debug_events_until_date,
        sampling_ratio=sampling_ratio,
        exclude_from_summaries=exclude_from_summaries,
    )


def _now() -> int:
    """Unix milliseconds."""
    return int(time.time() * 1000)
