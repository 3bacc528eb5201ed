"""Flags for tests, set by the test itself, as a source of ``datasystem_config``.

.. code-block:: python

    from ldclient import datasystem
    from ldclient.integrations.test_datav2 import TestDataV2

    td = TestDataV2.data_source()
    td.update(td.flag("new-checkout").variation_for_all(True))
    system = datasystem.custom().initializers([td.builder]).synchronizers(td.builder).build()
    client = LDClient(Config("sdk-key", datasystem_config=system, send_events=False))
"""

from queue import SimpleQueue
from typing import Any, Generator, Iterable, Optional

from ldclient.impl.transfers import (
    Basis,
    Change,
    ChangeSet,
    ChangeType,
    IntentCode,
    Initializer,
    ObjectKind,
    Selector,
    SelectorStore,
    Synchronizer,
    Update,
)
from ldclient.integrations.test_data import FlagBuilder, FlagRuleBuilder, TestData
from ldclient.interfaces import DataSourceState

__all__ = ["FlagBuilderV2", "FlagRuleBuilderV2", "TestDataV2"]


class FlagBuilderV2(FlagBuilder):
    """Builds a flag, step by step: see :meth:`TestDataV2.flag`."""


class FlagRuleBuilderV2(FlagRuleBuilder):
    """Builds a rule of a flag."""


FlagBuilderV2._rule_builder = FlagRuleBuilderV2


class TestDataV2(TestData):
    """A source whose flags a test sets and changes. It may be given to several clients.

    ``update_processor_class`` takes it, too.
    """

    _flag_builder = FlagBuilderV2

    @property
    def builder(self) -> Any:
        """Makes initializers and synchronizers for ``datasystem_config``."""
        return _Builder(self)

    @property
    def async_builder(self) -> Any:
        """The same: a client for an event loop has it on threads of its own."""
        return self.builder


class _Builder:
    def __init__(self, test_data: TestDataV2):
        self.__test_data = test_data

    def build(self, config: Any) -> "_Source":
        return _Source(self.__test_data)


class _Source(Initializer, Synchronizer):
    """Hands on the flags there are, and then each that changes."""

    def __init__(self, test_data: TestDataV2):
        self.__test_data = test_data
        self.__changed: "SimpleQueue[Optional[dict]]" = SimpleQueue()
        #: How many transfers there were.
        self.__count = 0

    @property
    def name(self) -> str:
        return "TestDataV2"

    def fetch(self, ss: SelectorStore) -> Basis:
        flags = self.__test_data._begin(self)
        self.__test_data._end(self)
        return Basis(self.__change_set(IntentCode.TRANSFER_FULL, flags.values()))

    def sync(self, ss: SelectorStore) -> Generator[Update, None, None]:
        flags = self.__test_data._begin(self)
        try:
            yield Update(DataSourceState.VALID, self.__change_set(IntentCode.TRANSFER_FULL, flags.values()))
            while True:
                flag = self.__changed.get()
                if flag is None:
                    return
                yield Update(DataSourceState.VALID, self.__change_set(IntentCode.TRANSFER_CHANGES, [flag]))
        finally:
            self.__test_data._end(self)

    def stop(self) -> None:
        self.__changed.put(None)

    def upsert(self, flag: dict) -> None:
        self.__changed.put(flag)

    def __change_set(self, code: IntentCode, flags: Iterable[dict]) -> ChangeSet:
        self.__count += 1
        changes = [
            Change(ChangeType.PUT, ObjectKind.FLAG, flag["key"], flag["version"], flag) for flag in flags
        ]
        return ChangeSet(code, changes, Selector.new_selector("test-data-%d" % self.__count, self.__count))
