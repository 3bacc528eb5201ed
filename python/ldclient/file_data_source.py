"""Where the data source for files was before 6.8."""

import warnings
from typing import Any, Callable

from ldclient.integrations.files import Files

__all__ = ["FileDataSource"]


class FileDataSource:
    """Earlier name of :class:`ldclient.integrations.Files`."""

    @classmethod
    def factory(cls, **kwargs: Any) -> Callable[..., Any]:
        """What ``update_processor_class`` takes.

        .. deprecated:: 6.8
            Use :meth:`ldclient.integrations.Files.new_data_source`.

        :param kwargs: as for that
        """
        warnings.warn(
            "FileDataSource.factory() is deprecated, use Files.new_data_source()", DeprecationWarning, stacklevel=2
        )
        return Files.new_data_source(**kwargs)
