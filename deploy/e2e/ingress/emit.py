"""Emits by Debian's python-socketio as it is: emit.py REDIS_URL FIRST LAST.

That version publishes pickles; from 5.14 on it publishes JSON, as JSONManager does.
"""

import asyncio
import json
import sys

import socketio


class JSONManager(socketio.AsyncRedisManager):
    async def _publish(self, data):
        return await self.redis.publish(self.channel, json.dumps(data))


async def main(url, first, last):
    manager = socketio.AsyncRedisManager(url, write_only=True)
    for n in range(first, last):
        await manager.emit('from_python', {'n': n, 'text': 'ñandú'}, room='advisor')
    await manager.emit('with_bytes', ({'file': b'\x01\x02'}, 2), room='advisor')
    newer = JSONManager(url, write_only=True)
    for n in range(3):
        await newer.emit('from_newer_python', {'n': n}, room='advisor')
    await newer.redis.close()
    # What no pickle of data can be is not read.
    await manager.emit('no_data', {'when': complex(1, 2)}, room='advisor')
    await manager.redis.close()

asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
