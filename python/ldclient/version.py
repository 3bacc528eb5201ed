"""The version of this package."""

#: Also ``ldclient.__version__``.
VERSION = "0.1.0"
