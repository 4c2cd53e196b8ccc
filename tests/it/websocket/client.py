"""A WebSocket client that tries everything on an echo server: client.py URL. It ends with 0 when all is well."""

import asyncio
import os
import ssl
import sys
from urllib.parse import urlsplit

import websockets


async def talk(url, context, **options):
    parts = urlsplit(url)
    async with websockets.connect(url, ssl=context, max_size=None, **options) as socket:
        await socket.send("path")
        assert await socket.recv() == f"{parts.path} {parts.netloc}"

        for text in ["", "hello", "grüße, 世界", "x" * 125, "x" * 126, "x" * 65535, "x" * 65536]:
            await socket.send(text)
            assert await socket.recv() == text
        for size in [0, 1, 125, 126, 65535, 65536]:
            data = os.urandom(size)
            await socket.send(data)
            assert await socket.recv() == data

        await asyncio.wait_for(await socket.ping(b"are you there"), 20)
        # In fragments, which come back as one message.
        await socket.send([b"a" * 1000, b"b" * 100000, b"c"])
        assert await socket.recv() == b"a" * 1000 + b"b" * 100000 + b"c"

        # A mebibyte both ways, several under way at once.
        messages = [os.urandom(1 << 20) for _ in range(8)]

        async def send_all():
            for message in messages:
                await socket.send(message)

        sending = asyncio.create_task(send_all())
        for message in messages:
            assert await socket.recv() == message
        await sending

        await socket.send("close 4321 that is all")
        try:
            await socket.recv()
            raise AssertionError("still open")
        except websockets.ConnectionClosed as closed:
            assert closed.rcvd.code == 4321 and closed.rcvd.reason == "that is all", closed

    # And closed from this side.
    socket = await websockets.connect(url, ssl=context, **options)
    await socket.close(4000, "bye")
    assert socket.close_code == 4000, socket.close_code


async def main():
    url = sys.argv[1]
    context = None
    if url.startswith("wss:"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    await talk(url, context)
    await talk(url, context, compression=None)
    # Many at once.
    await asyncio.gather(*(talk(url, context) for _ in range(3)))


asyncio.run(asyncio.wait_for(main(), 60))
