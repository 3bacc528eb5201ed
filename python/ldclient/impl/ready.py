"""The event that a data source sets when it is done, or hopeless."""

from threading import Event
from typing import Callable, List


class Ready(Event):
    """An event that event loops can wait for: it tells them, so that no thread has to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.__told: List[Callable[[], None]] = []

    def set(self) -> None:
        """Says that nobody has to wait any more."""
        super().set()
        self.__tell()

    def when_set(self, tell: Callable[[], None]) -> Callable[[], None]:
        """Has something called once this is set, on the thread that sets it; at once if it is set already.

        :param tell: must neither block nor raise
        :return: takes it back
        """
        self.__told.append(tell)
        if self.is_set():
            self.__tell()
        return lambda: self.__forget(tell)

    def __forget(self, tell: Callable[[], None]) -> None:
        if tell in self.__told:
            self.__told.remove(tell)

    def __tell(self) -> None:
        while self.__told:
            try:
                tell = self.__told.pop()
            except IndexError:
                break  # another thread was faster
            tell()
