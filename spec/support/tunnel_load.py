"""Viewers that repeat their requests:  tunnel_load.py PORT PATH…

Keeps a connection for each path, and opens a new one every few requests. Replaces a closed connection, as every client
must (RFC 9112, 9.3.1). Stops on SIGTERM and prints the number of answers with each status as JSON; "broken" counts
requests without a complete answer. Writes a dot to standard error after every hundred requests, so that a spec can wait
for more of them.
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
