"""Writes events, grants and revocations for the TeLOO realtime gateway. Needs redis-py 4 or later; copy it as it is.

It owns the Core API's side of the contract, the names and forms of what it writes to Redis, and never reads what the
gateway keeps for itself.
"""

import json
import re
import secrets
import time
import uuid
from datetime import datetime, timezone
from urllib.parse import quote

import redis

_NAME = re.compile(r"(solicitud|oferta|evaluacion|notificacion)_[a-z0-9_]{1,64}")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_MAX_DATA = 64 * 1024  # bytes of an event's JSON
_MAX_ID = 128  # bytes of an event_id
_GRANT_TTL = 30 * 24 * 3600  # seconds, as the gateway's GRANT_TTL


class Refused(ValueError):
    """What was to be written would be a dead letter."""


class NotReplicated(RuntimeError):
    """Written, but not to as many replicas as were asked for; publish again with the same event_id."""


def _passes(err):
    """Whether an error is one of a Redis that is away, fails over, or lacks its replicas for the moment."""
    if isinstance(err, redis.ResponseError) and not isinstance(err, redis.ReadOnlyError):
        return any(code in str(err) for code in ("NOREPLICAS", "CLUSTERDOWN", "TRYAGAIN"))  # a pipeline puts its own words first
    return isinstance(err, (redis.ConnectionError, redis.TimeoutError, redis.ReadOnlyError, NotReplicated))


class GatewayEvents:
    """Safe for use by several threads, as its client is.

    wait_replicas: how many replicas an event has to reach before it counts as written; 0 with a single Redis.
    patience: seconds for which an event is tried again while Redis is away or fails over.
    """

    def __init__(self, client, prefix="{teloo}", wait_replicas=0, wait_ms=1000, patience=10.0):
        self._redis = client
        self._prefix = prefix
        self._wait_replicas, self._wait_ms = wait_replicas, wait_ms
        self._patience = patience

    def publish(self, event, data, *, rooms=None, event_id=None, occurred_at=None, traceparent=None):
        """Writes one event and returns its event_id.

        Trying again is safe, here and by the caller with the same event_id: the gateway relays each once in 10 minutes.
        Integers of any size and text of any script reach the clients as they are.
        """
        event_id = str(event_id or uuid.uuid4())
        fields = self._fields(event, data, rooms, event_id, occurred_at, traceparent)
        give_up = time.monotonic() + self._patience
        pause = 0.05
        while True:
            try:
                self._write(fields)
                return event_id
            except (redis.RedisError, NotReplicated) as err:
                if not _passes(err) or time.monotonic() + pause > give_up:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, 1.0)

    def grant(self, solicitud_id, user_id, ttl=_GRANT_TTL):
        """Lets a user subscribe to a solicitud for ttl seconds from now. Events that name the user do so by themselves."""
        self._redis.zadd(self._grants(solicitud_id), {str(user_id): int((time.time() + ttl) * 1000)})

    def withdraw(self, solicitud_id, user_id):
        """Takes a grant back; within a second the user's sockets are out of the room."""
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.zrem(self._grants(solicitud_id), str(user_id))
            pipe.xadd(
                f"{self._prefix}:withdrawn", {"solicitud": str(solicitud_id), "user": str(user_id)}, maxlen=10_000, approximate=True
            )
            pipe.execute()

    def revoke_token(self, jti, expires_at):
        """Revokes one token, until its exp (unix seconds); its sockets are closed within a second."""
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.zadd(f"{self._prefix}:revoked", {f"jti:{jti}": int(expires_at * 1000)}, gt=True)
            pipe.incr(f"{self._prefix}:revoked:version")
            pipe.execute()

    def revoke_user(self, user_id):
        """Revokes all tokens of a user that were issued until now; a token for the next login has to be issued a second later."""
        # Now and no other time: the Core API may not read what stands there, and an earlier one would take back a revocation.
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(f"{self._prefix}:revoked:before", f"user:{user_id}", int(time.time()))
            pipe.incr(f"{self._prefix}:revoked:version")
            pipe.execute()

    def _grants(self, solicitud_id):
        return f"{self._prefix}:grants:{quote(str(solicitud_id), safe='$&+:=@')}"

    def _fields(self, event, data, rooms, event_id, occurred_at, traceparent):
        if not isinstance(event, str) or not _NAME.fullmatch(event):
            raise Refused(f"event name {event!r}")
        if not isinstance(data, dict):
            raise Refused("data is not an object")
        try:
            text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
            size = len(text.encode())
        except (TypeError, ValueError, RecursionError) as err:  # no JSON, or no Unicode
            raise Refused("data is not JSON") from err
        if size > _MAX_DATA:
            raise Refused(f"data has over {_MAX_DATA} bytes")
        if len(event_id.encode()) > _MAX_ID or _CONTROL.search(event_id):
            raise Refused(f"event_id has over {_MAX_ID} bytes, or control characters")
        occurred_at = occurred_at or datetime.now(timezone.utc)
        if occurred_at.tzinfo is None:  # the gateway would ignore it
            raise Refused("occurred_at has no time zone")
        moment = occurred_at.astimezone(timezone.utc).isoformat()  # RFC 3339 knows no offset with seconds
        fields = {"event": event, "data": text, "event_id": event_id, "occurred_at": moment}
        if rooms is not None:
            rooms = [rooms] if isinstance(rooms, str) else list(rooms)  # a string is a list of its letters
            if not rooms or not all(isinstance(room, str) and room for room in rooms):
                raise Refused("rooms are not a list of names")
            fields["rooms"] = json.dumps(rooms)
        if traceparent is not None:
            fields["traceparent"] = traceparent
        return fields

    def _write(self, fields):
        # No MAXLEN: the gateway trims the stream, and only what it has relayed.
        if not self._wait_replicas:
            self._redis.xadd(f"{self._prefix}:events", fields)
            return
        # One connection: WAIT is about the writes of its own.
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.xadd(f"{self._prefix}:events", fields)
            pipe.execute_command("WAIT", self._wait_replicas, self._wait_ms)
            _, reached = pipe.execute()
        if reached < self._wait_replicas:
            raise NotReplicated(f"{reached} of {self._wait_replicas} replicas")


def new_traceparent():
    """A W3C trace context that begins a trace, for callers without OpenTelemetry."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
