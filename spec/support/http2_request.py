"""Sends one GET over HTTP/2 with exactly the header fields that are named, and prints the first byte of the answer's head.

    http2_request.py PORT NAME=VALUE...

Libraries make :authority and Host agree, so the frames are made here. nginx writes the status 200 as 88 and 400 as 8c
(RFC 7541, appendix A).
"""

import socket
import ssl
import sys

from http2_upgrade import HEADERS, SETTINGS, frame, literal


def first_byte_of_answer(stream):
    """Reads frames up to the head of an answer, whose status is its first field."""
    while len(head := stream.read(9)) == 9:
        payload = stream.read(int.from_bytes(head[:3], "big"))
        if head[3] == HEADERS:
            # A change of the table's size may come first (RFC 7541 §6.3).
            return payload.lstrip(b"\x20\x3f\xe1\x1f")[:1].hex()
    return "none"


if __name__ == "__main__":
    fields = [tuple(argument.rsplit("=", 1)) for argument in sys.argv[2:]]
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1])), 60)) as connection:
        block = b"".join(literal(name, value) for name, value in [(":method", "GET"), (":scheme", "https")] + fields)
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, b"")
                           + frame(HEADERS, 5, 1, block))
        print(first_byte_of_answer(connection.makefile("rb")))
