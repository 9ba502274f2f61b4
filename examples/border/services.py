#!/usr/bin/env python3
"""The services around the border example: account, auth, and downstream services, each on a port of its own.

    services.py --account PORT --auth PORT --service NAME=PORT … [--control PORT]

account  GET /account/login is the login page; POST with username and password answers the tokens of a new login, as
         {"master_token": …, "service_tokens": {…}}, or 401 with the page again (JSON for clients that ask for it).
auth     POST /token with a master token in Auth-Token and `service` in the form answers {"service_tokens": {…}}.
NAME     answers any request that brings a token of its own in Auth-Token with JSON about the request, as the demo
         desktop does, and 401 otherwise. /NAME/forbidden answers 403, /NAME/page a page for people.
control  for the specs: POST /revoke?what=service|master forgets tokens, POST /fault?service=NAME&mode=MODE makes a
         service fail (ok, error, hang, drop, garbage, slow), GET /counts says how often each was called, GET /form
         shows the form of the last login.
"""

import argparse
import html
import json
import secrets
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

USER, PASSWORD = "user@example.com", "password"
MAX_BODY = 64 * 1024 * 1024

LOGIN_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Log in</title>
<style>body {{ font: 16px/1.5 system-ui, sans-serif; display: grid; place-items: center; min-height: 90vh; background: #eef1f4 }}
form {{ background: #fff; padding: 2rem; border-radius: 8px; display: grid; gap: .75rem; min-width: 18rem }}
input, button {{ font: inherit; padding: .5rem }} .error {{ color: #a00 }}</style></head>
<body><form method="post" action="/account/login"><h1>Log in</h1>{message}
<label for="username">User name</label><input id="username" name="username" autocomplete="username" value="{username}" required>
<label for="password">Password</label><input id="password" name="password" type="password" autocomplete="current-password" required>
<button id="submit" type="submit">Log in</button></form></body></html>
"""

SERVICE_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Service {name}</title></head>
<body><h1>Service {name}</h1><p id="greeting">You are logged in.</p>
<form method="post" action="/logout"><button id="logout" type="submit">Log out</button></form></body></html>
"""


class State:
    """What the services know together: who is logged in, and which faults the specs asked for."""

    def __init__(self):
        self.lock = threading.Lock()
        self.masters = set()
        self.services = {}
        self.faults = {}
        self.counts = {}
        self.form = ""

    def login(self):
        with self.lock:
            token = "master-" + secrets.token_urlsafe(24)
            self.masters.add(token)
            return token

    def service_token(self, name):
        with self.lock:
            token = f"{name}-" + secrets.token_urlsafe(24)
            self.services.setdefault(name, set()).add(token)
            return token

    def count(self, what):
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + 1


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state = None
    role = None
    hang = threading.Event()

    def log_message(self, *_):
        pass

    def body(self):
        """The whole body, read also when nobody needs it: the connection goes on after it."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(min(int(self.headers.get("Content-Length") or 0), MAX_BODY))

    def answer(self, status, body, content_type="application/json", headers=()):
        data = body if isinstance(body, bytes) else body.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def json(self, status, value):
        self.answer(status, json.dumps(value, separators=(",", ":")))

    def failed(self):
        """Does what a spec asked this service to do wrong. True when that was the answer."""
        mode = self.state.faults.get(self.role, "ok")
        if mode == "error":
            self.answer(500, "out of order", "text/plain")
        elif mode == "garbage":
            self.answer(200, '{"service_tokens":{"b":"a\\r\\nX: y"},"master_token":7}')
        elif mode == "drop":
            self.close_connection = True
        elif mode == "hang":
            self.hang.wait(60)
            self.close_connection = True
        elif mode == "slow":
            self.hang.wait(0.3)
            return False
        return mode != "ok"

    def handle_any(self):
        body = self.body()
        if self.role == "control":
            return self.control()
        self.state.count(self.role)
        if self.failed():
            return None
        if self.role == "account":
            return self.account(body)
        if self.role == "auth":
            return self.auth(body)
        return self.service(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = handle_any

    def account(self, body):
        if urlsplit(self.path).path != "/account/login":
            return self.json(404, {"code": "NOT_FOUND"})
        if self.command != "POST":
            return self.answer(200, LOGIN_PAGE.format(message="", username=""), "text/html; charset=utf-8")
        self.state.form = body.decode(errors="replace")
        form = parse_qs(self.state.form)
        username = form.get("username", [""])[0]
        known = secrets.compare_digest(username.encode(), USER.encode())
        if not (secrets.compare_digest(form.get("password", [""])[0].encode(), PASSWORD.encode()) and known):
            if "text/html" not in self.headers.get("Accept", ""):
                return self.json(401, {"code": "LOGIN_FAILED"})
            message = '<p class="error" id="error">The user name or the password is wrong.</p>'
            page = LOGIN_PAGE.format(message=message, username=html.escape(username, quote=True))
            return self.answer(401, page, "text/html; charset=utf-8")
        return self.json(200, {"master_token": self.state.login(), "service_tokens": {}})

    def auth(self, body):
        if self.headers.get("Auth-Token") not in self.state.masters:
            return self.json(401, {"code": "UNAUTHORIZED"})
        name = parse_qs(body.decode(errors="replace")).get("service", [""])[0]
        if name == "forbidden":
            return self.json(403, {"code": "FORBIDDEN"})
        return self.json(200, {"service_tokens": {name: self.state.service_token(name)}})

    def service(self, body):
        if self.headers.get("Auth-Token") not in self.state.services.get(self.role, ()):
            return self.answer(401, '{"code":"UNAUTHORIZED"}', headers=[("WWW-Authenticate", "Token")])
        path = urlsplit(self.path).path
        if path.endswith("/forbidden"):
            return self.json(403, {"code": "SERVICE_SECRET_DETAIL"})
        if path.endswith("/page"):
            return self.answer(200, SERVICE_PAGE.format(name=self.role), "text/html; charset=utf-8")
        if path.endswith("/events"):
            return self.events()
        headers = {}
        for name, value in self.headers.items():
            name = name.lower()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        seen = {"port": self.server.server_port, "method": self.command, "path": self.path, "headers": headers,
                "body_bytes": len(body)}
        return self.json(200, seen)

    def events(self):
        """Sends an event at once, and no more until the client leaves. nginx must not keep it back until more come."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("X-Accel-Buffering", "no")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"data: tick\n\n")
        self.close_connection = True
        try:
            self.connection.recv(1)
        except OSError:
            pass

    def control(self):
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        with self.state.lock:
            if url.path == "/revoke":
                if query.get("what") == "master":
                    self.state.masters.clear()
                self.state.services.clear()
            elif url.path == "/fault":
                self.state.faults[query["service"]] = query["mode"]
            elif url.path == "/reset":
                self.state.counts.clear()
            elif url.path == "/form":
                return self.answer(200, self.state.form, "text/plain")
            counts = dict(self.state.counts)
        return self.json(200, counts)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512


def start(state, role, port):
    handler = type("Handler", (Handler,), {"state": state, "role": role})
    server = Server(("127.0.0.1", port), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def main():
    parser = argparse.ArgumentParser(description="The services around the border example.")
    parser.add_argument("--account", type=int, required=True)
    parser.add_argument("--auth", type=int, required=True)
    parser.add_argument("--control", type=int)
    parser.add_argument("--service", action="append", default=[], metavar="NAME=PORT")
    options = parser.parse_args()
    state = State()
    roles = [("account", options.account), ("auth", options.auth)]
    roles += [(name, int(port)) for name, port in (pair.split("=", 1) for pair in options.service)]
    if options.control is not None:
        roles.append(("control", options.control))
    servers = []
    for role, port in roles:
        try:
            servers.append(start(state, role, port))
        except OSError as error:
            sys.exit(f"route_native: port {port} for the demo's {role} service: {error.strerror}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print("ready " + " ".join(str(server.server_port) for server in servers), flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
