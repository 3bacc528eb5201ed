"""What may stand between a client and the service: TLS, and proxies."""

import base64
import socket
import ssl
import threading

import trustme
from fake_service import FakeService

#: A name that only a proxy can find.
HOST = "flags.invalid"


class Certificates:
    """An authority of its own, with a certificate for the service and one for a client, as files."""

    def __init__(self, folder):
        authority = trustme.CA()
        self.service = authority.issue_cert("127.0.0.1", "localhost", HOST)
        self.authority = folder / "authority.pem"
        authority.cert_pem.write_to_path(self.authority)
        self.client = folder / "client.pem"
        authority.issue_cert("client@example.com").private_key_and_cert_chain_pem.write_to_path(self.client)
        self.configure_trust = authority.configure_trust


class TlsService(FakeService):
    """The stand-in for the service, over TLS. May ask for a certificate of the client's."""

    def __init__(self, flags, certificates, asks_for_certificate=False):
        super().__init__(flags)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificates.service.configure_cert(context)
        if asks_for_certificate:
            context.verify_mode = ssl.CERT_REQUIRED
            certificates.configure_trust(context)
        server = self._server
        # The handshake is for the thread that serves the connection.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        server.handle_error = lambda *_: None  # a client that does not like the certificate hangs up

    @property
    def url(self):
        return super().url.replace("http:", "https:")


class Proxy:
    """Passes everything on to one service, wherever it was to go. Keeps the first lines and who came by."""

    def __init__(self, service):
        self._service = service._server.server_address
        #: The request lines, and the names and passwords that came with them.
        self.requests = []
        self.visitors = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self):
        return "127.0.0.1:%d" % self._listener.getsockname()[1]

    @property
    def url(self):
        return "http://" + self.address

    def close(self):
        self._listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        head = b""
        while b"\r\n\r\n" not in head:
            piece = client.recv(65536)
            if not piece:
                return client.close()
            head += piece
        line, *headers = head.split(b"\r\n\r\n")[0].decode().split("\r\n")
        self.requests.append(line)
        for name, value in (header.split(": ", 1) for header in headers):
            if name.lower() == "proxy-authorization":
                self.visitors.add(base64.b64decode(value.split()[1]).decode())
        service = socket.create_connection(self._service)
        if line.startswith("CONNECT "):
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            method, url, version = line.split()
            path = "/" + url.split("//", 1)[1].split("/", 1)[1]
            # One request to a connection, so that the next one is seen here too.
            rest = head.split(b"\r\n", 1)[1].replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
            service.sendall(("%s %s %s\r\n" % (method, path, version)).encode() + rest)
        threading.Thread(target=_pass_on, args=(service, client), daemon=True).start()
        _pass_on(client, service)


def _pass_on(source, target):
    try:
        while piece := source.recv(65536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # one side hung up
