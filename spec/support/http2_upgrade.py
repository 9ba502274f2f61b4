"""Sends one request with an Upgrade header over HTTP/2, which has none (RFC 9113 §8.2.2).

    http2_upgrade.py PORT PATH UPGRADE TOKEN

Libraries do not send such a header, so the frames are made here. After the answer, bytes follow that a tunnel would carry.
"""

import socket
import ssl
import sys

HEADERS, SETTINGS = 1, 4


def literal(name, value):
    """A header field that is not indexed, without Huffman code (RFC 7541 §6.2.2)."""
    out = b"\x00"
    for text in (name.encode(), value.encode()):
        out += (bytes([len(text)]) if len(text) < 127 else integer(len(text))) + text
    return out


def integer(number):
    """A length of 127 and more (RFC 7541 §5.1)."""
    out, rest = b"\x7f", number - 127
    while rest > 127:
        out, rest = out + bytes([rest & 127 | 128]), rest >> 7
    return out + bytes([rest])


def frame(kind, flags, stream, payload):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def wait_for_answer(stream):
    """Reads frames up to the head of an answer."""
    while len(head := stream.read(9)) == 9 and head[3] != HEADERS:
        stream.read(int.from_bytes(head[:3], "big"))


if __name__ == "__main__":
    port, path, upgrade, token = sys.argv[1:]
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with context.wrap_socket(socket.create_connection(("127.0.0.1", int(port)), 60)) as connection:
        fields = [(":method", "GET"), (":scheme", "https"), (":path", path), (":authority", "gateway.test"),
                  ("upgrade", upgrade), ("authorization", token)]
        block = b"".join(literal(name, value) for name, value in fields)
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, b"")
                           + frame(HEADERS, 5, 1, block))
        wait_for_answer(connection.makefile("rb"))
        connection.sendall(b"what a tunnel would carry")
