"""Feature flags for Python programs.

.. code-block:: python

    import ldclient

    ldclient.set_sdk_key("sdk-key")
    show_feature = ldclient.get().variation("new-checkout", {"key": "user-key"}, False)

One client for the whole program is kept here: :func:`set_config` says how it is set up, :func:`get` gives it.
"""

import importlib
import os
import sys
import threading
from logging import NullHandler
from types import ModuleType
from typing import Any, Optional

from ldclient.client import LDClient
from ldclient.config import Config
from ldclient.context import Context, ContextBuilder, ContextMultiBuilder
from ldclient.impl.neighbours import warn_of_neighbours
from ldclient.migrations import (
    AsyncMigrationConfig,
    AsyncMigrator,
    AsyncMigratorBuilder,
    AsyncMigratorFn,
    ExecutionOrder,
    MigrationConfig,
    Migrator,
    MigratorBuilder,
    MigratorCompareFn,
    MigratorFn,
    OpTracker,
    Operation,
    OperationResult,
    Origin,
    Result,
    Stage,
    WriteResult,
)
from ldclient.util import log
from ldclient.version import VERSION

from . import (
    client,
    config,
    context,
    evaluation,
    flag,
    flags_state,
    hook,
    interfaces,
    migrations,
    plugin,
    util,
    version,
)

__version__ = VERSION

__all__ = [
    "AsyncMigrationConfig",
    "AsyncMigrator",
    "AsyncMigratorBuilder",
    "AsyncMigratorFn",
    "Config",
    "Context",
    "ContextBuilder",
    "ContextMultiBuilder",
    "ExecutionOrder",
    "LDClient",
    "MigrationConfig",
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
    "client",
    "config",
    "context",
    "evaluation",
    "hook",
    "interfaces",
    "migrations",
    "plugin",
]

#: How long :func:`get` and :func:`set_config` wait for flags when they make a client, in seconds.
start_wait = 5


class _Singleton:
    """The one client, and how it is or will be set up."""

    def __init__(self):
        self.client: Optional[LDClient] = None
        self.config: Optional[Config] = None
        self.lock = threading.RLock()
        self.being_made = False

    def make(self) -> LDClient:
        """A new client. The lock is held."""
        if self.being_made:
            raise Exception("ldclient.get() was called by something that the client needs to be made")
        self.being_made = True
        try:
            return LDClient(config=self.config, start_wait=start_wait)
        finally:
            self.being_made = False

    def configure(self, config: Config, why: str) -> None:
        """Takes a config; puts a new client in the place of one that is there. The lock is held."""
        self.config = config
        if self.client is None:
            return
        log.info("Reinitializing LaunchDarkly Client %s with %s", VERSION, why)
        old, self.client = self.client, self.make()
        old.close()

    def forked(self) -> None:
        """Somebody may have held the lock when this process was made."""
        self.lock = threading.RLock()
        self.being_made = False


_singleton = _Singleton()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_singleton.forked)


def set_config(config: Config) -> None:
    """Says how the one client is set up. If it is there already, a new one takes its place.

    :param config: how it is set up
    """
    with _singleton.lock:
        _singleton.configure(config, "new config")


def set_sdk_key(sdk_key: str) -> None:
    """Changes the SDK key of the one client, and nothing else of its config.

    :param sdk_key: the secret key of an environment
    """
    with _singleton.lock:
        if _singleton.config is not None and _singleton.config.sdk_key == sdk_key:
            log.info("New sdk_key is the same as the existing one. doing nothing.")
            return
        known = Config() if _singleton.config is None else _singleton.config
        _singleton.configure(known.copy_with_new_sdk_key(sdk_key), "new sdk key")


def get() -> LDClient:
    """The one client. The first call makes it, and waits for flags for up to ``start_wait`` seconds.

    :raises Exception: if neither :func:`set_config` nor :func:`set_sdk_key` was called before
    """
    known = _singleton.client
    if known is not None:
        return known
    with _singleton.lock:
        if _singleton.client is None:
            if _singleton.config is None:
                raise Exception("set_config was not called")
            log.info("Initializing LaunchDarkly Client %s", VERSION)
            _singleton.client = _singleton.make()
        return _singleton.client


def _reset_client() -> None:
    """Closes the one client and forgets it, but not its config. For tests."""
    with _singleton.lock:
        old, _singleton.client = _singleton.client, None
    if old is not None:
        old.close()


#: What is looked up when it is asked for, so that programs which do not need it do not load it.
_LATER = {
    "AsyncLDClient": "async_client",
    "TwistedConfig": "twisted_client",
    "TwistedLDClient": "twisted_client",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(importlib.import_module("ldclient." + _LATER[name]), name)
    raise AttributeError("module 'ldclient' has no attribute '%s'" % name)


class _Package(ModuleType):
    """Programs of long ago assign ``ldclient.config`` and ``ldclient.sdk_key`` instead of calling a function."""

    def __setattr__(self, name, value):
        if name == "config" and isinstance(value, Config):
            set_config(value)
        elif name == "sdk_key":
            set_sdk_key(value)
        else:
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
warn_of_neighbours()
