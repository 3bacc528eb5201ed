"""Components written as coroutines, for a client that calls them without awaiting.

Whoever calls is a thread that may wait; the coroutine runs on the client's event loop meanwhile.
"""

import asyncio
import contextlib
import contextvars
import inspect
import os
from concurrent.futures import Future
from concurrent.futures import TimeoutError as LateError
from typing import Any, Awaitable, Callable, Iterator, Optional, Set, Tuple

from ldclient.impl.threads import in_pool
from ldclient.interfaces import FeatureStore
from ldclient.util import log
from ldclient.versioned_data_kind import VersionedDataKind

#: How often a thread that waits for a coroutine looks whether the event loop still runs, in seconds.
_LOOK = 1.0


class HomeGone(RuntimeError):
    """The event loop on which a coroutine was to run does not run any more."""

    def __init__(self) -> None:
        super().__init__("the event loop of the client's components does not run any more")


class Home:
    """The event loop on which the coroutines of one client run: that of whoever started it, and in a process made
    by ``fork`` that of whoever uses it first."""

    def __init__(self) -> None:
        #: Whether anything that an evaluation asks is written as coroutines.
        self.is_asked = False
        self.__loop: Optional[asyncio.AbstractEventLoop] = None
        self.__process = 0
        self.__running: Set["asyncio.Task[Any]"] = set()

    def enter(self) -> None:
        """Takes the event loop of the caller, if there is no other one."""
        if self.__usable() is None:
            self.__loop = asyncio.get_running_loop()
            self.__process = os.getpid()

    def __usable(self) -> Optional[asyncio.AbstractEventLoop]:
        loop = self.__loop
        return loop if loop is not None and self.__process == os.getpid() and loop.is_running() else None

    def wait(self, awaitable: Awaitable[Any]) -> Any:
        """Waits for a coroutine; on the event loop's own thread, where nobody may wait, has it run soon.

        :param awaitable: the coroutine
        :raises HomeGone: if the event loop does not run
        """
        loop = self.__usable()
        if loop is None:
            _give_up(awaitable)
            raise HomeGone()
        if _running_loop() is loop:
            self.run_soon(awaitable)
            return None
        future = asyncio.run_coroutine_threadsafe(_awaited(awaitable), loop)
        while True:
            try:
                return future.result(_LOOK)
            except LateError:
                if future.done():
                    return future.result()
                if not loop.is_running():
                    future.cancel()
                    raise HomeGone() from None

    def call_soon(self, call: Callable[..., Any], *args: Any) -> None:
        """Has something called on the event loop, from any thread; not if that does not run any more.

        :param call: must not raise
        :param args: what it is called with
        """
        loop = self.__usable()
        if loop is not None:
            # It may be closed at this very moment.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(call, *args)

    async def off_loop(self, call: Callable[[], Any]) -> Any:
        """Has something called on a thread that may wait, also for coroutines of this home, and awaits it.

        :param call: what is called
        """
        self.enter()
        future = in_pool(contextvars.copy_context().run, call)
        try:
            return await outcome(future)
        except asyncio.CancelledError:
            # If no thread has begun with it, none needs to.
            future.cancel()
            raise

    def run_soon(self, awaitable: Awaitable[Any]) -> None:
        """Has a coroutine run, and nobody wait. What it raises is logged.

        :param awaitable: the coroutine; the caller is on an event loop's thread
        """
        task = asyncio.ensure_future(_contained(awaitable))
        # An event loop alone does not keep it.
        self.__running.add(task)
        task.add_done_callback(self.__running.discard)


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


async def _contained(awaitable: Awaitable[Any]) -> None:
    try:
        await awaitable
    except Exception as error:
        log.exception("Unexpected error in a coroutine of the program's: %r", error)


def _give_up(awaitable: Any) -> None:
    if inspect.iscoroutine(awaitable):
        awaitable.close()


def _running_loop() -> Optional[asyncio.AbstractEventLoop]:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class Waited:
    """Any component: what is a coroutine in it, is waited for. What ends it is passed over if it cannot be."""

    def __init__(self, component: Any, home: Home):
        """
        :param component: the program's
        :param home: where its coroutines run
        """
        self._component = component
        self._home = home

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._component, name)
        if not callable(attribute):
            return self._settled(attribute)

        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return self._settled(attribute(*args, **kwargs))
            except HomeGone:
                if name in ("stop", "close"):
                    return None
                raise

        return call

    def _settled(self, result: Any) -> Any:
        if inspect.isasyncgen(result):
            return self.__each(result)
        return self._home.wait(result) if inspect.isawaitable(result) else result

    def __each(self, generator: Any) -> Iterator[Any]:
        try:
            while (item := self._home.wait(_next(generator))) is not _END:
                yield item
        finally:
            with contextlib.suppress(HomeGone):
                self._home.wait(generator.aclose())

    def __str__(self) -> str:
        return str(self._component)


_END: Any = object()


async def _next(generator: Any) -> Any:
    return await anext(generator, _END)


class WaitedStore(Waited, FeatureStore):
    """A store of flags whose methods are coroutines."""

    def get(self, kind: VersionedDataKind, key: str, callback: Callable[[Any], Any] = lambda x: x) -> Any:
        """Gives one item.

        :param kind: flags or segments
        :param key: the item's key
        :param callback: is given the item; its result is the result
        """
        return callback(self._settled(self._component.get(kind, key)))

    def all(self, kind: VersionedDataKind, callback: Callable[[Any], Any] = lambda x: x) -> Any:
        """Gives all items that are not deleted.

        :param kind: flags or segments
        :param callback: is given a dictionary of keys and items; its result is the result
        """
        return callback(self._settled(self._component.all(kind)))

    def init(self, all_data: Any) -> None:
        """Puts a full data set in the place of everything.

        :param all_data: items by key, by kind
        """
        self._settled(self._component.init(all_data))

    def upsert(self, kind: VersionedDataKind, item: dict) -> None:
        """Writes one item.

        :param kind: flags or segments
        :param item: the item
        """
        self._settled(self._component.upsert(kind, item))

    def delete(self, kind: VersionedDataKind, key: str, version: int) -> None:
        """Deletes one item.

        :param kind: flags or segments
        :param key: the item's key
        :param version: the version of the deletion
        """
        self._settled(self._component.delete(kind, key, version))

    @property
    def initialized(self) -> bool:
        """Whether the store has had one full data set; the program's may be a property or a method."""
        said = getattr(self._component, "is_initialized", None) or self._component.initialized
        return bool(self._settled(said() if callable(said) else said))


def told_future() -> "Tuple[asyncio.Future[Any], Callable[[Any], None]]":
    """A future of the running event loop, and what gives it its result from any thread."""
    loop = asyncio.get_running_loop()
    future = loop.create_future()

    def settle(result: Any) -> None:
        # Whoever waited may have given up.
        if not future.done():
            future.set_result(result)

    def tell(result: Any) -> None:
        # The event loop may be closed by now.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, result)

    return future, tell


async def outcome(future: "Future[Any]") -> Any:
    """Awaits what comes of something that a thread does. Who gives up waiting does not keep it from being done.

    :param future: stands for it
    """
    done, tell = told_future()
    future.add_done_callback(tell)
    await done
    return future.result()


def has_coroutines(component: Any) -> bool:
    """Whether any method of a component is a coroutine.

    :param component: the component
    """
    kind = type(component)
    methods = [getattr(kind, name, None) for name in dir(kind) if not name.startswith("__")]
    return any(inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method) for method in methods)
