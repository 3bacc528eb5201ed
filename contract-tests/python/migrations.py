"""Migrations between two endpoints of the harness."""

from typing import Any, Callable

import callbacks
import contexts
from ldclient import LDClient
from ldclient.migrations import ExecutionOrder, Migrator, MigratorBuilder, OperationResult, Result, Stage
from parameters import Parameters
from refusals import Bad, Failed

ORDERS = {
    "serial": ExecutionOrder.SERIAL,
    "random": ExecutionOrder.RANDOM,
    "concurrent": ExecutionOrder.PARALLEL,
}


def variation(client: LDClient, parameters: Parameters) -> dict:
    key, context = parameters.text("key", needed=True), contexts.of(parameters)
    stage, _ = client.migration_variation(key, context, _default_stage(parameters))
    return {"result": stage.value}


def operation(client: LDClient, parameters: Parameters) -> dict:
    migrator = _migrator(client, parameters)
    asked = (
        parameters.text("key", needed=True),
        contexts.of(parameters),
        _default_stage(parameters),
        parameters.text("payload"),
    )
    name = parameters.text("operation", needed=True)
    if name == "read":
        return {"result": _told(migrator.read(*asked))}
    if name == "write":
        return {"result": _told(migrator.write(*asked).authoritative)}
    raise Bad("there is no operation `%s`" % name)


def _migrator(client: LDClient, parameters: Parameters) -> Migrator:
    order = parameters.text("readExecutionOrder") or "concurrent"
    if order not in ORDERS:
        raise Bad("there is no execution order `%s`" % order)
    old, new = (_calling(parameters.text(name, needed=True)) for name in ("oldEndpoint", "newEndpoint"))
    compare = (lambda old, new: old == new) if parameters.flag("trackConsistency") else None
    builder = (
        MigratorBuilder(client)
        .read_execution_order(ORDERS[order])
        .track_latency(parameters.flag("trackLatency"))
        .track_errors(parameters.flag("trackErrors"))
        .read(old, new, compare)
        .write(old, new)
    )
    migrator = builder.build()
    if isinstance(migrator, str):
        raise Failed(migrator)
    return migrator


def _calling(endpoint: str) -> Callable[[Any], Result]:
    """What asks an endpoint."""

    def call(payload: Any) -> Result:
        status, text = callbacks.post(endpoint, payload or "")
        return Result.success(text) if status == 200 else Result.fail("the endpoint answered %d" % status)

    return call


def _told(result: OperationResult) -> Any:
    """The value, or what went wrong in its place: that an endpoint fails is no failure of the command."""
    return result.value if result.is_success() else result.error


def _default_stage(parameters: Parameters) -> Any:
    """A stage; ``None``, which the SDK has to bear, in place of what is none."""
    return Stage.from_str(parameters.text("defaultStage", needed=True))
