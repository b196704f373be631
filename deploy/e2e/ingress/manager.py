"""Has a stock manager of Debian's python-socketio do things: manager.py REDIS_URL sync|async METHOD ARGS [METHOD ARGS]...

ARGS are a JSON list of positional arguments, or an object of named ones. What a method raises is printed.
"""

import asyncio
import inspect
import json
import sys

import socketio

MANAGERS = {'sync': socketio.RedisManager, 'async': socketio.AsyncRedisManager}


async def main(url, kind, *calls):
    manager = MANAGERS[kind](url, write_only=True)
    for method, args in zip(calls[::2], calls[1::2]):
        args = json.loads(args)
        try:
            named = isinstance(args, dict)
            done = getattr(manager, method)(**args) if named else getattr(manager, method)(*args)
            if inspect.isawaitable(done):
                await done
        except Exception as e:  # pylint: disable=broad-except
            print(type(e).__name__, e)
    if kind == 'async':
        await manager.redis.close()

asyncio.run(main(*sys.argv[1:]))
