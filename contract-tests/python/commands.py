"""What a client is asked to do."""

from typing import Optional

import contexts
import migrations
from ldclient import LDClient
from listeners import Listeners
from parameters import Parameters
from refusals import Bad


class Entity:
    """One client of the SDK, and what the harness hung on it."""

    def __init__(self, client: LDClient):
        self.client = client
        self.listeners = Listeners(client)
        self.commands = {
            "evaluate": self.evaluate,
            "evaluateAll": self.evaluate_all,
            "identifyEvent": self.identify,
            "customEvent": self.track,
            "flushEvents": self.flush,
            "contextBuild": contexts.build,
            "contextConvert": contexts.convert,
            "contextComparison": contexts.compare,
            "getBigSegmentStoreStatus": self.big_segment_store_status,
            "secureModeHash": self.secure_mode_hash,
            "migrationVariation": self.migration_variation,
            "migrationOperation": self.migration_operation,
            "registerFlagChangeListener": self.listeners.add,
            "registerFlagValueChangeListener": self.listeners.add_for_value,
            "unregisterListener": self.listeners.remove,
        }

    def run(self, request: Parameters) -> Optional[dict]:
        """Does what is asked for; ``None`` if there is nothing to say about it."""
        name = request.text("command", needed=True)
        command = self.commands.get(name)
        if command is None:
            raise Bad("there is no command `%s`" % name)
        return command(request.object(name) or Parameters({}, name))

    def close(self) -> None:
        self.client.close()

    def evaluate(self, parameters: Parameters) -> dict:
        key, default = parameters.text("flagKey", needed=True), parameters.any("defaultValue")
        context = contexts.of(parameters)
        if not parameters.flag("detail"):
            return {"value": self.client.variation(key, context, default)}
        detail = self.client.variation_detail(key, context, default)
        return {"value": detail.value, "variationIndex": detail.variation_index, "reason": detail.reason}

    def evaluate_all(self, parameters: Parameters) -> dict:
        state = self.client.all_flags_state(
            contexts.of(parameters),
            with_reasons=parameters.flag("withReasons"),
            client_side_only=parameters.flag("clientSideOnly"),
            details_only_for_tracked_flags=parameters.flag("detailsOnlyForTrackedFlags"),
        )
        return {"state": state.to_json_dict()}

    def identify(self, parameters: Parameters) -> None:
        self.client.identify(contexts.of(parameters))

    def track(self, parameters: Parameters) -> None:
        """The SDK takes null data for none, so whether to omit it is no question."""
        self.client.track(
            parameters.text("eventKey", needed=True),
            contexts.of(parameters),
            parameters.any("data"),
            parameters.number("metricValue"),
        )

    def flush(self, _: Parameters) -> None:
        self.client.flush()

    def big_segment_store_status(self, _: Parameters) -> dict:
        status = self.client.big_segment_store_status_provider.status
        return {"available": status.available, "stale": status.stale}

    def secure_mode_hash(self, parameters: Parameters) -> dict:
        return {"result": self.client.secure_mode_hash(contexts.of(parameters))}

    def migration_variation(self, parameters: Parameters) -> dict:
        return migrations.variation(self.client, parameters)

    def migration_operation(self, parameters: Parameters) -> dict:
        return migrations.operation(self.client, parameters)
