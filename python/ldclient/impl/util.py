"""Where some test suites look for the logger."""

from ldclient.util import log

__all__ = ["log"]
