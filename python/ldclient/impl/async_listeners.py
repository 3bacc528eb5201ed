"""Listeners that are called on an event loop, and may be coroutines."""

import inspect
from typing import Any, Callable

from ldclient.impl.background import Session
from ldclient.impl.coroutines import Home
from ldclient.interfaces import (
    AsyncBigSegmentStoreStatusProvider,
    AsyncDataSourceStatusProvider,
    AsyncDataStoreStatusProvider,
    AsyncFlagTracker,
    BigSegmentStoreStatus,
    DataSourceStatus,
    DataStoreStatus,
    FlagChange,
    FlagValueChange,
)
from ldclient.util import log


class _OnLoop:
    """A listener as the client's threads call it: they hand it over to the event loop."""

    def __init__(self, listener: Callable[[Any], Any], home: Home):
        self.listener = listener
        self.home = home

    def __call__(self, told: Any) -> None:
        self.home.call_soon(self.__tell, told)

    def __tell(self, told: Any) -> None:
        try:
            result = self.listener(told)
            if inspect.isawaitable(result):
                self.home.run_soon(result)
        except Exception as error:
            log.exception("Unexpected error in listener for %s: %s", type(told), error)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _OnLoop) and other.listener == self.listener

    __hash__ = None  # type: ignore[assignment]


class _Listened:
    """Something of the client that listeners are added to, as soon as there is a client."""

    def __init__(self, name: str, session: Session, home: Home, resting: Any):
        """
        :param name: the property of the client
        :param session: has the client
        :param home: where listeners are called
        :param resting: answers as long as there is no client
        """
        self._name = name
        self._session = session
        self._home = home
        self._resting = resting

    def _now(self) -> Any:
        return getattr(self._session.client or self._resting, self._name)

    async def _off_loop(self, ask: Callable[[Any], Any]) -> Any:
        return await self._home.off_loop(lambda: ask(self._now()))

    def add_listener(self, listener: Callable[[Any], Any]) -> None:
        """Has a callable told of each change.

        :param listener: called on the event loop; may be a coroutine
        """
        on_loop = _OnLoop(listener, self._home)
        self._session.run(lambda client: getattr(client, self._name).add_listener(on_loop))

    def remove_listener(self, listener: Callable[[Any], Any]) -> None:
        """Takes :meth:`add_listener` back.

        :param listener: the callable
        """
        on_loop = _OnLoop(listener, self._home)
        self._session.run(lambda client: getattr(client, self._name).remove_listener(on_loop))


class DataSourceStatusOnLoop(_Listened, AsyncDataSourceStatusProvider):
    """Tells how receiving flags is going."""

    @property
    def status(self) -> DataSourceStatus:
        """How it is going."""
        return self._now().status

    async def get_status(self) -> DataSourceStatus:
        """How it is going."""
        return self.status


class DataStoreStatusOnLoop(_Listened, AsyncDataStoreStatusProvider):
    """Tells how the store of flags is."""

    @property
    def status(self) -> DataStoreStatus:
        """How it is."""
        return self._now().status

    async def get_status(self) -> DataStoreStatus:
        """How it is."""
        return self.status

    async def is_monitoring_enabled(self) -> bool:  # type: ignore[override]
        """Whether the store can tell if it answers."""
        return await self._off_loop(lambda provider: provider.is_monitoring_enabled())


class BigSegmentStoreStatusOnLoop(_Listened, AsyncBigSegmentStoreStatusProvider):
    """Tells how the store of big segments is."""

    async def get_status(self) -> BigSegmentStoreStatus:
        """How it is. It is asked, and waited for, if it was never asked before."""
        return await self._off_loop(lambda provider: provider.status)


class _ValueListener:
    """Stands for a listener of one flag's value, from before there is a client."""

    def __init__(self) -> None:
        self.listener: Any = None


class FlagTrackerOnLoop(_Listened, AsyncFlagTracker):
    """Tells of changes of flags."""

    def remove_listener(self, listener: Callable[[FlagChange], Any]) -> None:
        """Takes :meth:`add_listener` or :meth:`add_flag_value_change_listener` back.

        :param listener: the callable, or what the latter gave
        """
        if isinstance(listener, _ValueListener):
            self._session.run(lambda client: client.flag_tracker.remove_listener(listener.listener))
        else:
            super().remove_listener(listener)

    async def add_flag_value_change_listener(
        self, key: str, context: Any, fn: Callable[[FlagValueChange], Any]
    ) -> Any:
        """Has a callable told when the value of a flag for one context changes.

        :param key: the flag key
        :param context: who or what the flag is evaluated for
        :param fn: called on the event loop; may be a coroutine
        :return: what :meth:`remove_listener` takes
        """
        added = _ValueListener()
        on_loop = _OnLoop(fn, self._home)

        def add(client: Any) -> None:
            added.listener = client.flag_tracker.add_flag_value_change_listener(key, context, on_loop)

        if self._session.client is None:
            self._session.run(add)
        else:
            await self._off_loop(lambda _: add(self._session.client))
        return added
