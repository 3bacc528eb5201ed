"""A big-segment store that lives in the harness."""

import json
from typing import Any, Dict, Optional

import callbacks
from ldclient.config import BigSegmentsConfig
from ldclient.interfaces import BigSegmentStore, BigSegmentStoreMetadata
from parameters import Parameters


def big_segments(wanted: Optional[Parameters]) -> Optional[BigSegmentsConfig]:
    """The big segments of a configuration."""
    if wanted is None:
        return None
    settings = {
        "context_cache_size": wanted.number("userCacheSize"),
        "context_cache_time": wanted.seconds("userCacheTimeMs"),
        "status_poll_interval": wanted.seconds("statusPollIntervalMs"),
        "stale_after": wanted.seconds("staleAfterMs"),
    }
    store = HarnessStore(wanted.text("callbackUri", needed=True))
    return BigSegmentsConfig(store, **{name: value for name, value in settings.items() if value is not None})


class HarnessStore(BigSegmentStore):
    """Asks the harness."""

    def __init__(self, uri: str):
        self.uri = uri

    def get_metadata(self) -> BigSegmentStoreMetadata:
        return BigSegmentStoreMetadata(self.ask("getMetadata", "").get("lastUpToDate") or None)

    def get_membership(self, context_hash: str) -> Optional[Dict[str, bool]]:
        answer = self.ask("getMembership", json.dumps({"contextHash": context_hash}))
        return answer.get("values")

    def stop(self) -> None:
        """Each question has a connection of its own."""

    def ask(self, what: str, body: str) -> Dict[str, Any]:
        status, text = callbacks.post("%s/%s" % (self.uri, what), body)
        if not 200 <= status < 300:
            raise Exception("the harness answered %d: %s" % (status, text))
        return json.loads(text)
