"""The service behind the tunnels of the specs.

  /status/N    answers N, with the body "the service says N"
  /drip/FILE   sends a chunk now and then until FILE exists, then ends
  /wait/FILE   does not answer until FILE exists; creates FILE.asked at the request
  /half/FILE   answers in HTTP/1.0, where the connection ends the answer: "half", and "rest" when FILE exists
  /head        answers with the raw head of the request
  /early       answers before it reads the body that the head announces
  /asked       answers with the number of requests for each "METHOD PATH", as JSON

Listens on the given port, and prints "ready" when it listens.
"""

import collections
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


asked, counting = collections.Counter(), threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path == "/asked":
            return self.answer(200, json.dumps(asked))
        with counting:
            asked[f"{self.command} {self.path}"] += 1
        if self.path.startswith("/drip/"):
            self.drip(self.path[len("/drip"):])
        elif self.path.startswith("/half/"):
            self.half(self.path[len("/half"):])
        elif self.path == "/head":
            fields = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
            self.answer(200, self.raw_requestline.decode() + fields)
        elif self.path == "/early":
            self.answer(200)
            self.rfile.read(int(self.headers["Content-Length"] or 0))
        elif self.path.startswith("/wait/"):
            self.wait(self.path[len("/wait"):])
        else:
            self.answer(int(self.path.rsplit("/", 1)[1]))

    do_DELETE = do_GET

    def do_POST(self):
        if self.path != "/early":
            self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.do_GET()

    def answer(self, status, text=None):
        body = (text or f"the service says {status}").encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def wait(self, release):
        with open(release + ".asked", "w") as asked:
            asked.write("yes")
        while not os.path.exists(release):
            time.sleep(0.02)
        self.answer(200)

    def half(self, release):
        self.close_connection = True
        self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\nhalf")
        while not os.path.exists(release):
            time.sleep(0.02)
        self.wfile.write(b"rest")

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def drip(self, release):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while not os.path.exists(release):
            self.chunk(b"drip ")
            time.sleep(0.02)
        self.chunk(b"the end")
        self.chunk(b"")


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


server = Server(("127.0.0.1", int(sys.argv[1])), Handler)
print("ready", flush=True)
server.serve_forever()
