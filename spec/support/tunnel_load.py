"""Viewers that ask again and again:  tunnel_load.py PORT PATH…

Keeps a connection for each path, and every few requests takes a new one. A kept connection that turns out to be closed is
replaced, as every client has to do (RFC 9112, 9.3.1). Stops on SIGTERM and prints as JSON how often each
status came; "broken" stands for a request that got no whole answer. Writes a dot after every hundred requests on standard
error, so that a spec can wait for the load to go on.
"""

import collections
import http.client
import json
import signal
import sys
import threading

port, paths = int(sys.argv[1]), sys.argv[2:]
stopped = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stopped.set())
lock, seen = threading.Lock(), collections.Counter()


def note(outcome):
    with lock:
        seen[outcome] += 1
        if sum(seen.values()) % 100 == 0:
            sys.stderr.write(".")
            sys.stderr.flush()


def view(path):
    while not stopped.is_set():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for nth in range(20):
            try:
                connection.request("GET", path)
                answer = connection.getresponse()
            except (OSError, http.client.HTTPException):
                if nth == 0:
                    note("broken")
                break
            try:
                answer.read()
            except (OSError, http.client.HTTPException):
                note("broken")
                break
            note(str(answer.status))
        connection.close()


threads = [threading.Thread(target=view, args=(path,)) for path in paths]
for thread in threads:
    thread.start()
while not stopped.is_set():
    stopped.wait(0.1)
for thread in threads:
    thread.join()
print(json.dumps(seen))
