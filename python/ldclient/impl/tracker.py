"""Who is told when flags change."""

import weakref
from typing import Any, Callable, Union

from ldclient.context import Context
from ldclient.impl.listeners import Listeners
from ldclient.interfaces import FlagChange, FlagTracker, FlagValueChange


class NativeFlagTracker(FlagTracker):
    """Has the native client find out which flags a change is a change of."""

    def __init__(self, client: Any, native: Any):
        """
        :param client: the :class:`ldclient.client.LDClient` that evaluates
        :param native: the native client
        """
        # Listeners hold it, and the client holds them.
        self.__client = weakref.ref(client)
        self.__listeners = Listeners(native, "flags", FlagChange)

    def add_listener(self, listener: Callable[[FlagChange], None]) -> None:
        """Has a callable told of each flag that changes, or that depends on a flag or segment that does.

        :param listener: called on a thread of the client
        """
        self.__listeners.add(listener)

    def remove_listener(self, listener: Callable[[FlagChange], None]) -> None:
        """Takes :meth:`add_listener` or :meth:`add_flag_value_change_listener` back.

        :param listener: the callable, or what the latter gave
        """
        self.__listeners.remove(listener)

    def add_flag_value_change_listener(
        self, key: str, context: Union[Context, dict], fn: Callable[[FlagValueChange], None]
    ) -> Callable[[FlagChange], None]:
        """Has a callable told when the value of a flag for one context changes.

        The flag is evaluated now and after each change, as :meth:`ldclient.client.LDClient.variation`
        does, so events are made of it; without the flag, its value is ``None``.

        :param key: the flag key
        :param context: who or what the flag is evaluated for
        :param fn: called on a thread of the client
        :return: what :meth:`remove_listener` takes
        """
        listener = _ValueListener(self.__client, key, context, fn)
        self.__listeners.add(listener)
        return listener


class _ValueListener:
    def __init__(
        self,
        client: "weakref.ref[Any]",
        key: str,
        context: Union[Context, dict],
        fn: Callable[[FlagValueChange], None],
    ):
        self.__client = client
        self.__key = key
        self.__context = context
        self.__fn = fn
        self.__value = self.__evaluate(None)

    def __evaluate(self, otherwise: Any) -> Any:
        client = self.__client()
        return otherwise if client is None else client.variation(self.__key, self.__context, None)

    def __call__(self, change: FlagChange) -> None:
        if change.key != self.__key:
            return
        new = self.__evaluate(self.__value)
        old, self.__value = self.__value, new
        if new != old:
            self.__fn(FlagValueChange(self.__key, old, new))
