"""Listeners that tell the harness."""

import threading
from typing import Any, Dict

import callbacks
import contexts
from ldclient import LDClient
from parameters import Parameters
from refusals import Bad


class Listeners:
    """The listeners of one client, by the names that the harness gave them."""

    def __init__(self, client: LDClient):
        self.client = client
        self.lock = threading.Lock()
        self.known: Dict[str, Any] = {}

    def add(self, parameters: Parameters) -> None:
        name, uri = parameters.text("listenerId", needed=True), parameters.text("callbackUri", needed=True)

        def listener(change: Any) -> None:
            callbacks.post_json(uri, {"listenerId": name, "flagKey": change.key})

        self.client.flag_tracker.add_listener(listener)
        self._keep(name, listener)

    def add_for_value(self, parameters: Parameters) -> None:
        name, uri = parameters.text("listenerId", needed=True), parameters.text("callbackUri", needed=True)
        default = parameters.any("defaultValue")

        def told(value: Any) -> Any:
            # The tracker evaluates with the default `None`: a flag that cannot be evaluated is told so.
            return default if value is None else value

        def listener(change: Any) -> None:
            old, new = told(change.old_value), told(change.new_value)
            callbacks.post_json(uri, {"listenerId": name, "flagKey": change.key, "oldValue": old, "newValue": new})

        tracker = self.client.flag_tracker
        key = parameters.text("flagKey", needed=True)
        self._keep(name, tracker.add_flag_value_change_listener(key, contexts.of(parameters), listener))

    def remove(self, parameters: Parameters) -> None:
        name = parameters.text("listenerId", needed=True)
        with self.lock:
            listener = self.known.pop(name, None)
        if listener is None:
            raise Bad("there is no listener `%s`" % name)
        self.client.flag_tracker.remove_listener(listener)

    def _keep(self, name: str, listener: Any) -> None:
        """A listener of the same name makes way."""
        with self.lock:
            before, self.known[name] = self.known.get(name), listener
        if before is not None:
            self.client.flag_tracker.remove_listener(before)
