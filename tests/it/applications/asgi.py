"""An ASGI application under uvicorn: asgi.py. It prints its port.

GET /events           Server-Sent Events 1 to 5, each only after POST /heard has told that the one before has come
GET /accel/events     the same, with X-Accel-Buffering: no
GET /stream/N         N lines in as many pieces
POST /digest          how many bytes came in how many pieces, and their SHA-256
POST /duplex          each piece as soon as it has come
GET /early            an answer and its end before anything is read of the body
"""

import asyncio
import hashlib
import socket

import uvicorn

heard = {}


async def body_pieces(receive):
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ConnectionError("the client has left")
        if message.get("body"):
            yield message["body"]
        if not message.get("more_body"):
            return


async def start(send, status=200, fields=()):
    await send({"type": "http.response.start", "status": status, "headers": list(fields)})


async def piece(send, data, more=True):
    await send({"type": "http.response.body", "body": data, "more_body": more})


async def events(scope, send, fields):
    name = scope["query_string"]
    heard[name] = asyncio.Queue()
    await start(send, fields=[(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache"), *fields])
    for number in range(1, 6):
        await piece(send, f"id: {number}\ndata: event {number}\n\n".encode())
        await heard[name].get()
    await piece(send, b"", more=False)


async def application(scope, receive, send):
    if scope["type"] != "http":
        return
    path = scope["path"]
    if path == "/events":
        await events(scope, send, [])
    elif path == "/accel/events":
        await events(scope, send, [(b"x-accel-buffering", b"no")])
    elif path == "/heard":
        await heard[scope["query_string"]].put(None)
        await start(send, 204)
        await piece(send, b"", more=False)
    elif path.startswith("/stream/"):
        await start(send, fields=[(b"content-type", b"text/plain")])
        for number in range(int(path.removeprefix("/stream/"))):
            await piece(send, f"line {number}\n".encode())
        await piece(send, b"", more=False)
    elif path == "/digest":
        digest, length = hashlib.sha256(), 0
        async for data in body_pieces(receive):
            digest.update(data)
            length += len(data)
        await start(send)
        await piece(send, f"{length} {digest.hexdigest()}\n".encode(), more=False)
    elif path == "/duplex":
        await start(send, fields=[(b"content-type", b"application/octet-stream")])
        async for data in body_pieces(receive):
            await piece(send, data)
        await piece(send, b"", more=False)
    elif path == "/early":
        await start(send, 403, fields=[(b"content-length", b"3"), (b"connection", b"close")])
        await piece(send, b"no\n", more=False)
    else:
        await start(send, 404)
        await piece(send, b"", more=False)


def main():
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    listener.listen(100)
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(application, log_level="error", lifespan="off", http="h11", loop="asyncio")
    uvicorn.Server(config).run(sockets=[listener])


main()
