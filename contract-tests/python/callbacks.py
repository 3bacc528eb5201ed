"""Calls to the harness, which plays the program around the SDK."""

import json
from http.client import HTTPConnection
from typing import Any, Tuple
from urllib.parse import urlsplit

#: The harness is on this machine.
TIMEOUT = 30


def post(url: str, body: str) -> Tuple[int, str]:
    """Posts a text, and gives the status and the text of the answer.

    :raises OSError: if there is none
    """
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT)
    try:
        connection.request("POST", parts.path or "/", body.encode(), {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def post_json(url: str, body: Any) -> Any:
    """As :func:`post`, with JSON.

    :raises Exception: for any answer but a success
    """
    status, text = post(url, json.dumps(body))
    if not 200 <= status < 300:
        raise Exception("the harness answered %d: %s" % (status, text))
    return json.loads(text) if text else None
