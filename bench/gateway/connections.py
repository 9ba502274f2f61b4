"""What open WebSockets cost a worker, by whether a revocation can end them, and how soon it has ended all of them."""

import asyncio
import multiprocessing
import pathlib
import time
import urllib.request

from servers import Failed, accepts, free_port

COUNT = 8000
# The handshakes that are under way at once.
BATCH = 100
# How long a handshake, or the end of all connections, may take, in seconds.
PATIENCE = 60
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


class Desktop:
    """A server that accepts every WebSocket and sends nothing, in a process of its own."""

    def __init__(self):
        self.port = free_port()
        self.process = multiprocessing.Process(target=lambda: asyncio.run(self.serve()), daemon=True)
        self.process.start()
        deadline = time.monotonic() + PATIENCE
        while not accepts(self.port):
            if time.monotonic() > deadline:
                raise Failed("the server of the WebSockets did not start")
            time.sleep(0.01)

    async def serve(self):
        server = await asyncio.start_server(self.accept, "127.0.0.1", self.port, backlog=1024, limit=16384)
        async with server:
            await server.serve_forever()

    @staticmethod
    async def accept(reader, writer):
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(SWITCHED)
            await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        writer.close()

    def stop(self):
        self.process.terminate()
        self.process.join()


async def open_one(port, head):
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
    writer.write(head)
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
    if not answer.startswith(b"HTTP/1.1 101 "):
        raise Failed(f"a WebSocket was answered {answer.split(bytes([13]))[0].decode()}")
    return reader, writer


async def open_all(port, path, token):
    head = (f"GET {path} HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Authorization: Bearer {token}\r\n\r\n").encode()
    opened = []
    while len(opened) < COUNT:
        opened += await asyncio.gather(*(open_one(port, head) for _ in range(min(BATCH, COUNT - len(opened)))))
    return opened


def memory(pid):
    """The memory that a process shares with no other, in bytes."""
    lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) * 1024


async def measure_arm(server, path, token):
    """Returns the bytes that the worker takes for each connection, and the seconds in which a revocation ends all."""
    before = memory(server.worker)
    opened = await open_all(server.port, path, token)
    taken = (memory(server.worker) - before) / COUNT
    seconds = None
    if path.endswith("revocation"):
        start = time.monotonic()
        await asyncio.to_thread(lambda: urllib.request.urlopen(server.url("/revoke"), timeout=PATIENCE).read())
        ends = asyncio.gather(*(reader.read() for reader, _ in opened), return_exceptions=True)
        await asyncio.wait_for(ends, PATIENCE)
        seconds = time.monotonic() - start
    for _, writer in opened:
        writer.close()
    return taken, seconds


def measure(start, token, progress):
    """`start(name, upstream)` starts a gateway. Returns { count, bytes: { never, revocation }, closing_seconds }."""
    result = {"count": COUNT, "bytes": {}}
    for name in ("never", "revocation"):
        progress(f"{COUNT:,} open WebSockets that end by {name}")
        upstream = Desktop()
        try:
            server = start(f"connections_{name}", upstream)
            taken, seconds = asyncio.run(measure_arm(server, f"/websocket/{name}", token))
        finally:
            upstream.stop()
        result["bytes"][name] = taken
        if seconds is not None:
            result["closing_seconds"] = seconds
    return result
