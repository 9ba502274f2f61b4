"""Clients whose connections a gateway ends or keeps: over TLS, a unix socket and the PROXY protocol, and over HTTP/2.

    kept_connections.py TLS_PORT UNIX_SOCKET PROXY_PORT ENDING_TOKEN STAYING_TOKEN

Opens a WebSocket of each way with each token, and one connection of HTTP/2 with an upload for each token. Prints `open`.
Waits until those with the first token have ended, proves that the others still echo, completes both uploads, and prints
`ended`, `alive` and `uploads STATUS STATUS`, where HTTP/2 writes 200 as 88 (RFC 7541, appendix A).
"""

import socket
import ssl
import sys

from http2_upgrade import HEADERS, SETTINGS, frame, literal

PATIENCE = 120
DATA, WINDOW_UPDATE = 0, 8
END_STREAM, END_HEADERS = 1, 4


def tls(port, protocol):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    return context.wrap_socket(socket.create_connection(("127.0.0.1", int(port)), PATIENCE))


def unix(path):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(PATIENCE)
    connection.connect(path)
    return connection


def proxied(port):
    connection = socket.create_connection(("127.0.0.1", int(port)), PATIENCE)
    connection.sendall(b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n")
    return connection


class WebSocket:
    """A WebSocket to the demo desktop, which greets it."""

    def __init__(self, connection, token):
        self.connection, self.stream = connection, connection.makefile("rb")
        connection.sendall(f"GET /websockify HTTP/1.1\r\nHost: gateway.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                           f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                           f"Authorization: Bearer {token}\r\n\r\n".encode())
        status = self.stream.readline()
        assert b" 101 " in status, status
        while self.stream.readline() != b"\r\n":
            pass
        self.receive()

    def receive(self):
        size = self.stream.read(2)[1]
        if size == 126:
            size = int.from_bytes(self.stream.read(2), "big")
        return self.stream.read(size)

    def echoes(self):
        # A mask of zeros leaves the text as it is.
        self.connection.sendall(b"\x81\x85" + bytes(4) + b"hello")
        return self.receive() == b"hello"

    def has_ended(self):
        try:
            return self.stream.read() == b""
        except (ConnectionError, ssl.SSLError):
            return True


class Uploads:
    """An upload for each token, over one connection of HTTP/2."""

    def __init__(self, port, tokens):
        self.connection = tls(port, "h2")
        self.stream = self.connection.makefile("rb")
        self.connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, b""))
        self.numbers = [2 * i + 1 for i in range(len(tokens))]
        for number, token in zip(self.numbers, tokens):
            fields = [(":method", "POST"), (":scheme", "https"), (":path", "/filer/x"), (":authority", "gateway.test"),
                      ("authorization", f"Bearer {token}")]
            block = b"".join(literal(name, value) for name, value in fields)
            self.connection.sendall(frame(HEADERS, END_HEADERS, number, block) + frame(DATA, 0, number, b"begin"))
        # nginx grants a larger window for a stream when it has let its request in.
        granted = set()
        while granted < set(self.numbers):
            kind, number, _ = self.read()
            if kind == WINDOW_UPDATE and number:
                granted.add(number)

    def read(self):
        head = self.stream.read(9)
        return head[3], int.from_bytes(head[5:], "big"), self.stream.read(int.from_bytes(head[:3], "big"))

    def finish(self):
        for number in self.numbers:
            self.connection.sendall(frame(DATA, END_STREAM, number, b"end"))
        statuses = {}
        while len(statuses) < len(self.numbers):
            kind, number, payload = self.read()
            if kind == HEADERS:
                # A change of the table's size may come first (RFC 7541 §6.3).
                statuses[number] = payload.lstrip(b"\x20\x3f\xe1\x1f")[:1].hex()
        return [statuses[number] for number in self.numbers]


if __name__ == "__main__":
    tls_port, unix_socket, proxy_port, ending_token, staying_token = sys.argv[1:]
    ways = [lambda: tls(tls_port, "http/1.1"), lambda: unix(unix_socket), lambda: proxied(proxy_port)]
    ending = [WebSocket(way(), ending_token) for way in ways for _ in range(5)]
    staying = [WebSocket(way(), staying_token) for way in ways for _ in range(5)]
    uploads = Uploads(tls_port, [ending_token, staying_token])
    print("open", flush=True)
    assert all([one.has_ended() for one in ending])
    print("ended", flush=True)
    assert all([one.echoes() for one in staying])
    print("alive", flush=True)
    print("uploads", *uploads.finish(), flush=True)
