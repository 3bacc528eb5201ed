"""The event consumer for Twisted, by its name of old."""

from typing import Any

__all__ = ["TwistedEventConsumer"]


class TwistedEventConsumer:
    """Named in a config, ``event_consumer_class=TwistedEventConsumer``, it says what a client does anyway: events are
    delivered in the background, and no reactor waits for that. None is ever made.
    """

    served_by_the_client = True

    def __init__(self, *args: Any):
        """
        :raises TypeError: always
        """
        raise TypeError("TwistedEventConsumer is for event_consumer_class only: the client delivers events itself")
