"""A stand-in for the service: streams flags to clients, and keeps what they send."""

import gzip
import json
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

#: Ten times what anything here takes.
TIMEOUT = 20


class FakeService:
    """Serves ``flags`` and ``segments`` on a free port of this machine.

    ``status`` other than 200 is what all requests for flags are answered with, ``statuses`` what those for one
    path are. It speaks second-generation delivery too, and asks for the first if ``fallback`` is set.
    """

    def __init__(self, flags=None, segments=None, status=200):
        self.flags = {key: dict(flag, key=key) for key, flag in (flags or {}).items()}
        self.segments = {key: dict(segment, key=key) for key, segment in (segments or {}).items()}
        self.status = status
        #: What events are answered with.
        self.events_status = 202
        self.statuses = {}
        self.fallback = False
        #: Said to clients, if it is set before they connect.
        self.environment_id = None
        self.requests = []
        self._arrived = threading.Condition()
        # Held while flags change and while a stream begins, so that no stream misses a change.
        self._changing = threading.Lock()
        self._streams = []
        self._transfer_streams = []
        self._changes = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"service": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def url(self):
        return "http://127.0.0.1:%d" % self._server.server_address[1]

    def uris(self):
        """Keyword arguments for ``Config``."""
        return {"base_uri": self.url, "events_uri": self.url, "stream_uri": self.url}

    def data(self):
        return {"flags": self.flags, "segments": self.segments}

    def patch(self, key, **changes):
        """Changes a flag, and tells all streams."""
        with self._changing:
            flag = dict(self.flags.get(key, {"key": key}), **changes)
            flag["version"] = flag.get("version", 1) + 1
            self.flags[key] = flag
            self._changes += 1
            self._send("patch", {"path": "/flags/" + key, "data": flag})
            for stream in list(self._transfer_streams):
                for message in self._transfer("xfer-changes", [_put("flag", flag)]):
                    stream.put(as_sse(*message))

    def _send(self, event, data):
        for stream in list(self._streams):
            stream.put(as_sse(event, data))

    @property
    def selector(self):
        """What the flags are called as they are now."""
        return "(p:%d)" % self._changes

    def transfer(self, basis=None):
        """All flags as second-generation delivery says them, unless whoever asks has them."""
        if basis == self.selector:
            return self._transfer("none", [])[:1]
        items = [_put("segment", one) for one in self.segments.values()]
        return self._transfer("xfer-full", items + [_put("flag", one) for one in self.flags.values()])

    def _transfer(self, code, items):
        payload = {"id": "p", "target": self._changes, "intentCode": code, "reason": "test"}
        transferred = {"state": self.selector, "version": self._changes}
        return [("server-intent", {"payloads": [payload]}), *items, ("payload-transferred", transferred)]

    def received(self, method, path):
        """What has been asked for by this method at this path, oldest first."""
        return [one for one in self.requests if one["method"] == method and one["path"].split("?")[0] == path]

    def wait_for(self, condition):
        """Waits until ``condition()`` holds something true, looking after each request; gives it."""
        with self._arrived:
            found = self._arrived.wait_for(condition, TIMEOUT)
            assert found, "nothing like that within %s s; there were %r" % (TIMEOUT, self.requests)
            return condition()

    def events(self):
        """All events that have arrived, oldest first."""
        return [event for batch in self.received("POST", "/bulk") for event in batch["json"]]

    def wait_for_events(self, count=1, **properties):
        """Waits for events with these properties; gives them."""

        def matching():
            return [event for event in self.events() if all(event.get(k) == v for k, v in properties.items())]

        self.wait_for(lambda: len(matching()) >= count)
        return matching()

    def keep(self, request):
        with self._arrived:
            self.requests.append(request)
            self._arrived.notify_all()

    def drop_streams(self):
        """Hangs up on all streams."""
        for stream in self._streams + self._transfer_streams:
            stream.put(None)

    def close(self):
        self.drop_streams()
        self._server.shutdown()
        self._server.server_close()


def as_sse(event, data):
    return "event: %s\ndata: %s\n\n" % (event, json.dumps(data))


def _put(kind, item):
    return ("put-object", {"version": item.get("version", 1), "kind": kind, "key": item["key"], "object": item})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    service: FakeService

    def do_GET(self):
        self._keep(None)
        path, _, query = self.path.partition("?")
        basis = parse_qs(query).get("basis", [None])[0]
        answers = {
            "/all": lambda: self._stream(self.service._streams, self._put),
            "/sdk/latest-all": lambda: self._poll(json.dumps(self.service.data()).encode()),
            "/sdk/stream": lambda: self._stream(
                self.service._transfer_streams, lambda: "".join(as_sse(*one) for one in self.service.transfer(basis))
            ),
            "/sdk/poll": lambda: self._poll(self._transfer(basis)),
        }
        status = self.service.statuses.get(path, self.service.status)
        if path not in answers:
            self._answer(404)
        elif status != 200:
            self._answer(status)
        else:
            answers[path]()

    def do_CONNECT(self):
        # As a proxy that has no way to anybody.
        self._keep(None)
        self._answer(502)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self._keep(json.loads(body))
        self._answer(self.service.events_status)

    def _put(self):
        return as_sse("put", {"path": "/", "data": self.service.data()})

    def _transfer(self, basis):
        events = [{"event": event, "data": data} for event, data in self.service.transfer(basis)]
        return json.dumps({"events": events}).encode()

    def _fallback(self):
        return {"X-LD-FD-Fallback": "true"} if self.service.fallback else {}

    def _poll(self, body):
        etag = '"%x"' % (hash(body) & 0xFFFFFFFF)
        if self.headers.get("If-None-Match") == etag:
            self._answer(304)
        else:
            self._answer(200, body, {"ETag": etag, "Content-Type": "application/json", **self._fallback()})

    def _stream(self, streams, first):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        for name, value in self._fallback().items():
            self.send_header(name, value)
        if self.service.environment_id is not None:
            self.send_header("X-LD-EnvID", self.service.environment_id)
        self.end_headers()
        messages = queue.SimpleQueue()
        with self.service._changing:
            messages.put(first())
            streams.append(messages)
        try:
            while (message := messages.get()) is not None:
                self.wfile.write(message.encode())
                self.wfile.flush()
        except OSError:
            pass  # the client hung up
        finally:
            streams.remove(messages)
            self.close_connection = True

    def _answer(self, status, body=b"", headers=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        try:
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            pass  # the client hung up

    def _keep(self, body):
        self.service.keep(
            {
                "method": self.command,
                "path": self.path,
                "headers": {name.lower(): value for name, value in self.headers.items()},
                "json": body,
            }
        )

    def log_message(self, *args):
        pass
