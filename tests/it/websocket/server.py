"""A WebSocket server that sends back what it gets: server.py [certificate key]. It prints its port.

The message `close CODE REASON` makes it close so, `path` makes it tell the request's path and Host.
"""

import asyncio
import logging
import ssl
import sys

import websockets


async def serve(socket, path=None):
    try:
        async for message in socket:
            if message == "path":
                await socket.send(f"{socket.path} {socket.request_headers['Host']}")
            elif isinstance(message, str) and message.startswith("close "):
                _, code, reason = message.split(" ", 2)
                await socket.close(int(code), reason)
            else:
                await socket.send(message)
    except websockets.ConnectionClosed:
        # With any code but 1000 and 1001, or while an answer is sent.
        pass


async def main():
    # Connections that end before their request, as those do that only look whether somebody listens.
    logging.getLogger("websockets.server").setLevel(logging.CRITICAL)
    context = None
    if len(sys.argv) > 1:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[1], sys.argv[2])
    async with websockets.serve(serve, "127.0.0.1", 0, ssl=context, max_size=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        # Whoever started it ends it by closing its input.
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
