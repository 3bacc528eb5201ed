"""Another place of the client for Twisted: see :mod:`ldclient.twisted_client`."""

from ldclient.twisted_client import TwistedConfig, TwistedLDClient

__all__ = ["TwistedConfig", "TwistedLDClient"]
