"""Moving a system to another, one stage at a time, steered by a flag.

The flag's value is a :class:`Stage`. It says which of two systems, *old* and *new*, is read and written, and
which of them is believed.

============= ============================= =================
Stage         Read from                     Written to
============= ============================= =================
``off``       old                           old
``dualwrite`` old                           old, then new
``shadow``    old, and new to compare       old, then new
``live``      new, and old to compare       new, then old
``rampdown``  new                           new, then old
``complete``  new                           new
============= ============================= =================

A migrator does all of it: it asks the flag, calls your functions, compares what they gave, and reports how often
they ran, failed and differed, and how long they took.

.. code-block:: python

    def read_file(order_id):
        return Result.success(files.load(order_id))

    def read_database(order_id):
        return Result.success(database.load(order_id))

    orders = (
        MigratorBuilder(client)
        .read(read_file, read_database, lambda old, new: old == new)
        .write(write_file, write_database)
        .build()
    )
    result = orders.read("orders-to-database", context, Stage.OFF, 17)
    if result.is_success():
        show(result.value)

A program that wants to call its systems itself asks for the stage by
:meth:`ldclient.client.LDClient.migration_variation`, notes what it did in the :class:`OpTracker` that comes with
it, and hands that to :meth:`ldclient.client.LDClient.track_migration_op`.

In an asynchronous program, :class:`AsyncMigratorBuilder` makes a migrator whose functions are awaited.
"""

from ldclient.migrations.async_migrator import (
    AsyncMigrationConfig,
    AsyncMigrator,
    AsyncMigratorBuilder,
    AsyncMigratorFn,
)
from ldclient.migrations.migrator import Migrator, MigratorBuilder
from ldclient.migrations.tracker import MigrationOpEvent, OpTracker
from ldclient.migrations.types import (
    ExecutionOrder,
    MigrationConfig,
    MigratorCompareFn,
    MigratorFn,
    Operation,
    OperationResult,
    Origin,
    Result,
    Stage,
    WriteResult,
)

__all__ = [
    "AsyncMigrationConfig",
    "AsyncMigrator",
    "AsyncMigratorBuilder",
    "AsyncMigratorFn",
    "ExecutionOrder",
    "MigrationConfig",
    "MigrationOpEvent",
    "Migrator",
    "MigratorBuilder",
    "MigratorCompareFn",
    "MigratorFn",
    "OpTracker",
    "Operation",
    "OperationResult",
    "Origin",
    "Result",
    "Stage",
    "WriteResult",
]
