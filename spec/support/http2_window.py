"""Prints the window of an upload to /filer over HTTP/2: how many bytes may be on their way. `refused` for a refusal.

    http2_window.py TLS_PORT TOKEN
"""

import sys

from http2_upgrade import HEADERS, SETTINGS, frame, literal
from kept_connections import END_HEADERS, WINDOW_UPDATE, tls

INITIAL_WINDOW_SIZE = 4

if __name__ == "__main__":
    port, token = sys.argv[1:]
    connection = tls(port, "h2")
    stream = connection.makefile("rb")
    fields = [(":method", "PUT"), (":scheme", "https"), (":path", "/filer/window"), (":authority", "gateway.test"),
              ("content-length", "1000000000"), ("authorization", f"Bearer {token}")]
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, b"")
                       + frame(HEADERS, END_HEADERS, 1, b"".join(literal(*field) for field in fields)))
    window = 65535
    while True:
        head = stream.read(9)
        kind, number, payload = head[3], int.from_bytes(head[5:], "big"), stream.read(int.from_bytes(head[:3], "big"))
        if kind == SETTINGS and not head[4]:
            for i in range(0, len(payload), 6):
                if int.from_bytes(payload[i:i + 2], "big") == INITIAL_WINDOW_SIZE:
                    window = int.from_bytes(payload[i + 2:i + 6], "big")
        elif kind == WINDOW_UPDATE and number == 1:
            print(window + int.from_bytes(payload, "big"))
            break
        elif kind == HEADERS:
            print("refused")
            break
