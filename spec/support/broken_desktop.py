"""A desktop that breaks as its path says. Listens on the given or a free port of 127.0.0.1 and prints `ready PORT`, and
the request line of each request.

/…/hang never answers. Each connection and request has a thread of its own, and none ends the others.
"""

import socket
import sys
import threading
import time

ANSWERS = {
    "closed": b"",
    "garbage": b"SSH-2.0-OpenSSH_9.2\r\n",
    "header": b"HTTP/1.1 200 OK\r\nA\0: b\r\nContent-Length: 2\r\n\r\nno",
    "interim": b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
    "own": b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\nCache-Control: max-age=9\r\n\r\nown",
    "fine": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine",
}


def serve(connection):
    received = b""
    while b"\r\n\r\n" not in received:
        part = connection.recv(65536)
        if not part:
            return
        received += part
    print(received.split(b"\r\n")[0].decode(), flush=True)
    name = received.split(b" ")[1].split(b"?")[0].rsplit(b"/", 1)[-1].decode()
    while name == "hang":
        time.sleep(1)
    connection.sendall(ANSWERS[name])
    connection.close()


server = socket.create_server(("127.0.0.1", int(sys.argv[1]) if sys.argv[1:] else 0), backlog=512)
print("ready", server.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
