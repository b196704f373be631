"""A python-socketio client as a program: client.py KIND URL TOKEN TRANSPORT, where KIND is async or sync.

It prints what it is told, one JSON array a line: ["connect"], ["disconnect"], ["connect_error", data] or ["event", name,
...args]. A line [name, ...args] on its input is emitted, and its answer printed as ["ack", ...].
"""

import asyncio
import json
import sys
import threading

import socketio
from engineio.payload import Payload

# What an answer to a poll may hold; the default of 16 is less than any server of Socket.IO sends after a pause.
Payload.max_decode_packets = 10_000

kind, url, token, transport = sys.argv[1:]
options = {"transports": None if transport == "both" else [transport], "auth": {"token": token}, "wait_timeout": 10}
backoff = {"reconnection_delay": 0.2, "reconnection_delay_max": 1}


def tell(*what):
    print(json.dumps(what, default=lambda data: {"binary": list(data)}), flush=True)


def listen(sio):
    sio.on("connect", lambda: tell("connect"))
    sio.on("disconnect", lambda: tell("disconnect"))
    sio.on("connect_error", lambda *data: tell("connect_error", *data))
    sio.on("*", lambda event, *args: tell("event", event, *args))


def answered(answer):
    tell("ack", *(answer if isinstance(answer, tuple) else (answer,)))


def sync():
    sio = socketio.Client(**backoff)
    listen(sio)
    try:
        sio.connect(url, **options)
    except socketio.exceptions.ConnectionError:
        return
    for line in sys.stdin:
        event, *args = json.loads(line)
        answered(sio.call(event, tuple(args), timeout=10))
    sio.disconnect()


async def asynchronous():
    sio = socketio.AsyncClient(**backoff)
    listen(sio)
    try:
        await sio.connect(url, **options)
    except socketio.exceptions.ConnectionError:
        return
    lines, loop = asyncio.Queue(), asyncio.get_running_loop()

    def read():
        for line in sys.stdin:
            loop.call_soon_threadsafe(lines.put_nowait, line)
        loop.call_soon_threadsafe(lines.put_nowait, None)

    threading.Thread(target=read, daemon=True).start()
    while (line := await lines.get()) is not None:
        event, *args = json.loads(line)
        answered(await sio.call(event, tuple(args), timeout=10))
    await sio.disconnect()


if kind == "sync":
    sync()
else:
    asyncio.run(asynchronous())
