"""Passes connections on to a port of 127.0.0.1, and records what the clients send.

    recording_proxy.py PORT FILE

Listens on a free port, prints `ready PORT`, and appends the clients' bytes to FILE.
"""

import asyncio
import sys

TARGET, RECORD = int(sys.argv[1]), open(sys.argv[2], "ab", buffering=0)


async def copy(reader, writer, record):
    try:
        while data := await reader.read(65536):
            if record:
                RECORD.write(data)
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    writer.close()


async def serve(reader, writer):
    try:
        target_reader, target_writer = await asyncio.open_connection("127.0.0.1", TARGET)
    except OSError:
        writer.close()
        return
    await asyncio.gather(copy(reader, target_writer, True), copy(target_reader, writer, False))


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print("ready", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
