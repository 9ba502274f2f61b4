"""A service that answers as its caller says, such as a hostile desktop or service.

    obedient_service.py PORT

The query of a request selects the answer:

- `answer=BASE64URL` of {"status", "headers": [[name, value], ...], "body"}, each optional: exactly that answer.
- `raw=BASE64URL`: exactly these bytes; then the connection ends.
- `switch=any`: 101 to any request. `switch=h2c`: 101 if the Upgrade header names h2c.
- other queries: a WebSocket to a WebSocket handshake, which sends its request and then echoes; to others JSON:
  {"method", "path", "headers": [[name, value], ...], "body_bytes"}.

GET /switched lists the bytes after each 101 of `switch`, and whether that connection has ended. GET /requests lists the
requests whose path begins with the query. Neither lists itself.
"""

import base64
import hashlib
import json
import socketserver
import sys
import threading
import urllib.parse

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

lock = threading.Lock()
switched = []
requests = []


def frame(opcode, payload):
    head = bytes([128 | opcode])
    if len(payload) < 126:
        return head + bytes([len(payload)]) + payload
    return head + bytes([126]) + len(payload).to_bytes(2, "big") + payload


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        try:
            while self.serve_one():
                pass
        except (ConnectionError, ValueError):
            pass

    def serve_one(self):
        line = self.rfile.readline()
        if not line.strip():
            return False
        self.method, self.path, _ = line.decode("latin-1").split()
        self.headers = []
        while (line := self.rfile.readline().decode("latin-1").strip()):
            name, value = line.split(":", 1)
            self.headers.append([name, value.strip()])
        query = urllib.parse.parse_qs(self.path.partition("?")[2])
        body = self.read_body()
        request = {"method": self.method, "path": self.path, "headers": self.headers, "body_bytes": body}
        if self.path == "/switched":
            return self.answer(body=json.dumps(switched))
        if self.path.startswith("/requests?"):
            prefix = self.path.partition("?")[2]
            return self.answer(body=json.dumps([r for r in requests if r["path"].startswith(prefix)]))
        with lock:
            requests.append(request)
        if "answer" in query:
            text = query["answer"][0]
            return self.answer(**json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))))
        if "raw" in query:
            text = query["raw"][0]
            self.wfile.write(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            return False
        switch = query.get("switch", [""])[0]
        if switch == "any" or (switch == "h2c" and "h2c" in self.header("upgrade")):
            return self.switch()
        if self.header("upgrade").lower() == "websocket":
            return self.websocket(json.dumps(request))
        return self.answer(headers=[["Content-Type", "application/json"]], body=json.dumps(request))

    def header(self, wanted):
        return ", ".join(value for name, value in self.headers if name.lower() == wanted)

    def read_body(self):
        left = total = int(self.header("content-length") or 0)
        while left:
            left -= len(self.rfile.read(min(left, 65536)))
        if self.header("transfer-encoding") == "chunked":
            while (size := int(self.rfile.readline().split(b";")[0], 16)):
                total += len(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
        return total

    def answer(self, status=200, headers=(), body=""):
        payload = body.encode()
        lines = [f"HTTP/1.1 {status} Said"] + [f"{name}: {value}" for name, value in headers]
        if status == 101:
            lines += ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: " + self.accept()]
        else:
            lines.append(f"Content-Length: {len(payload)}")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode()
        self.wfile.write(head + (b"" if self.method == "HEAD" else payload))
        return status != 101

    def accept(self):
        key = self.header("sec-websocket-key").encode()
        return base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()

    def switch(self):
        record = {"path": self.path, "bytes": "", "ended": False}
        with lock:
            switched.append(record)
        upgrade = self.header("upgrade") or "h2c"
        self.wfile.write(f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {upgrade}\r\n\r\n".encode())
        try:
            while (data := self.connection.recv(65536)):
                record["bytes"] += data.decode("latin-1")
        except ConnectionError:
            pass
        record["ended"] = True
        return False

    def websocket(self, greeting):
        self.answer(101)
        self.wfile.write(frame(1, greeting.encode()))
        while len(head := self.rfile.read(2)) == 2:
            opcode, length = head[0] & 15, head[1] & 127
            if length > 125:
                length = int.from_bytes(self.rfile.read(2 if length == 126 else 8), "big")
            mask = self.rfile.read(4)
            payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(self.rfile.read(length)))
            self.wfile.write(frame(opcode, payload))
            if opcode == 8:
                break
        return False


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    with Server(("127.0.0.1", int(sys.argv[1])), Handler) as server:
        print("ready", flush=True)
        server.serve_forever()
