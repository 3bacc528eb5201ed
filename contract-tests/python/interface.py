"""The five requests of the harness, and which client one is for.

Each request has a thread of its own, as the SDK's calls may keep their caller waiting.
"""

import itertools
import json
import threading
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Dict, Optional, Tuple

import configure
from capabilities import CAPABILITIES
from commands import Entity
from ldclient.version import VERSION
from parameters import Parameters
from refusals import Bad, Refusal

#: A status, further headers, and what goes into the body as JSON; nothing for none.
Answer = Tuple[int, Dict[str, str], Any]

NOT_FOUND: Answer = (404, {}, None)


class Service(ThreadingHTTPServer):
    """The service, and the clients that it was asked for."""

    daemon_threads = True
    # The harness runs many tests at a time.
    request_queue_size = 128

    def __init__(self, address: Tuple[str, int]):
        self.clients: Dict[str, Entity] = {}
        self.numbers = itertools.count(1)
        super().__init__(address, Handler)

    def about(self) -> Answer:
        return 200, {}, {"name": "flagstaff-python-sdk", "clientVersion": VERSION, "capabilities": CAPABILITIES}

    def create(self, request: Parameters, host: str) -> Answer:
        entity = Entity(configure.start(request.object("configuration", needed=True)))
        path = "/clients/%d" % next(self.numbers)
        self.clients[path] = entity
        return 201, {"Location": "http://%s%s" % (host, path)}, None

    def close(self, path: str) -> Answer:
        entity = self.clients.pop(path, None)
        if entity is None:
            return NOT_FOUND
        entity.close()
        return 204, {}, None

    def quit(self) -> Answer:
        # `shutdown` waits for the loop of requests, which may not end before this one is answered.
        threading.Thread(target=self.shutdown).start()
        return 204, {}, None


class Handler(BaseHTTPRequestHandler):
    """One connection of the harness."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Service

    def do_GET(self) -> None:
        self.answer(self.server.about() if self.path == "/" else NOT_FOUND)

    def do_DELETE(self) -> None:
        self.answer(self.server.quit() if self.path == "/" else self.server.close(self.path))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            self.answer(self.posted(body))
        except Refusal as refusal:
            self.answer((refusal.status, {}, None), str(refusal))
        except Exception:
            self.answer((500, {}, None), "the SDK raised\n" + traceback.format_exc())

    def posted(self, body: bytes) -> Answer:
        if self.path == "/":
            return self.server.create(read(body), self.headers.get("Host", "localhost"))
        entity = self.server.clients.get(self.path)
        if entity is None:
            return NOT_FOUND
        result = entity.run(read(body))
        return (202, {}, None) if result is None else (200, {}, result)

    def answer(self, answer: Answer, text: Optional[str] = None) -> None:
        status, headers, result = answer
        body = (text if result is None else json.dumps(result)) or ""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Type", "text/plain" if result is None else "application/json")
            self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: Any) -> None:
        """The harness knows what it asked for."""


def read(body: bytes) -> Parameters:
    try:
        return Parameters(json.loads(body), "the body")
    except ValueError as error:
        raise Bad("the body cannot be read: %s" % error) from error
