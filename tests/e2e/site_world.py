"""The world outside of a site: where jobs report, and a cloud's metadata service.

    python site_world.py REPORTS LISTEN METADATA

Each line that arrives at LISTEN is appended to the file REPORTS before it is answered with ``ok``:
what a job has said is known whatever becomes of the site.  METADATA answers any request over HTTP.
"""

import asyncio
import os
import sys


async def main(reports: str, listen: str, metadata: str) -> None:
    file = os.open(reports, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await reader.readline()
            if line.endswith(b"\n"):
                os.write(file, line)
                writer.write(b"ok\n")
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readline()
            writer.write(b"HTTP/1.0 200 OK\r\n\r\nthe machine's secret\n")
            await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    servers = []
    for address, handler in ((listen, take), (metadata, tell)):
        host, _, port = address.rpartition(":")
        servers.append(await asyncio.start_server(handler, host, int(port)))
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
