"""Emits by Debian's python-socketio: emit.py REDIS_URL FIRST LAST.

That version publishes pickles, which the gateway refuses; from 5.14 on it publishes JSON, as JSONManager does.
"""

import asyncio
import json
import sys

import socketio


class JSONManager(socketio.AsyncRedisManager):
    async def _publish(self, data):
        return await self.redis.publish(self.channel, json.dumps(data))


async def main(url, first, last):
    pickling = socketio.AsyncRedisManager(url, write_only=True)
    await pickling.emit('pickled', {'n': 0}, room='advisor')
    manager = JSONManager(url, write_only=True)
    for n in range(first, last):
        await manager.emit('from_python', {'n': n, 'text': 'ñandú'}, room='advisor')
    await manager.redis.close()
    await pickling.redis.close()

asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
