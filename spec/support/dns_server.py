"""A name server for the specs: every name is 127.0.0.1. Listens on a free UDP port and prints `ready PORT`."""

import socket

ANSWER = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\1"

server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 0))
print("ready", server.getsockname()[1], flush=True)
while True:
    query, client = server.recvfrom(512)
    # The question: labels, each after its length, then type and class.
    end = 12
    while query[end]:
        end += query[end] + 1
    is_a = query[end + 1:end + 3] == b"\0\1"
    counts = b"\0\1\0\1\0\0\0\0" if is_a else b"\0\1\0\0\0\0\0\0"
    server.sendto(query[:2] + b"\x81\x80" + counts + query[12:end + 5] + (ANSWER if is_a else b""), client)
