"""A WebSocket and a slow download over TLS that live through reloads of the gateway.

    surviving_connections.py PORT CA_FILE NAME TOKEN PATH FILE GO

Trusts only the authorities of CA_FILE, and opens both. Prints `open SERIAL` with the certificate's serial number after
the first bytes of the download. Waits until the file GO exists, proves that the WebSocket echoes and that the download
has every byte of FILE, and prints `alive`.
"""

import hashlib
import os
import socket
import ssl
import sys
import time

from kept_connections import PATIENCE, WebSocket


def tls(port, authorities, name):
    context = ssl.create_default_context(cafile=authorities)
    return context.wrap_socket(socket.create_connection(("127.0.0.1", int(port)), PATIENCE), server_hostname=name)


def digest(read):
    total = hashlib.sha256()
    while block := read(1 << 20):
        total.update(block)
    return total


class Download:
    """A download of which only the first bytes have been read."""

    def __init__(self, connection, name, path, token):
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n"
                           f"\r\n".encode())
        self.stream = connection.makefile("rb")
        status = self.stream.readline()
        assert b" 200 " in status, status
        while self.stream.readline() != b"\r\n":
            pass
        self.digest = hashlib.sha256(self.stream.read(1 << 20))

    def finish(self):
        while block := self.stream.read(1 << 20):
            self.digest.update(block)
        return self.digest.hexdigest()


if __name__ == "__main__":
    port, authorities, name, token, path, file, go = sys.argv[1:]
    connection = tls(port, authorities, name)
    serial = connection.getpeercert()["serialNumber"]
    terminal = WebSocket(connection, token)
    download = Download(tls(port, authorities, name), name, path, token)
    print("open", serial, flush=True)
    while not os.path.exists(go):
        time.sleep(0.02)
    assert terminal.echoes()
    with open(file, "rb") as original:
        assert download.finish() == digest(original.read).hexdigest(), "the download differs"
    assert terminal.echoes()
    print("alive", flush=True)
