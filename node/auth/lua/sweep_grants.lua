-- Removes expired grants of some solicitudes, and from the index the solicitudes that have none left.
--
-- KEYS[1] index: solicitud, as its key has it -> greatest expiry known  KEYS[2..] the solicitudes' grants
-- ARGV[1] now, unix ms
--
-- Reply: { grants removed, solicitudes removed }
--
-- Repeating it is harmless. A key of another type is left alone and forgotten. No key gets a TTL, which would take along
-- what the Core API adds later.

local function failed(reply)
  return type(reply) == 'table' and reply['err']
end

local index = KEYS[1]
local removed, forgotten = 0, 0
for i = 2, #KEYS do
  local solicitud = string.sub(KEYS[i], #index + 2)
  local expired = redis.pcall('ZREMRANGEBYSCORE', KEYS[i], '-inf', ARGV[1])
  local last = nil
  if not failed(expired) then
    removed = removed + expired
    last = redis.call('ZREVRANGE', KEYS[i], 0, 0, 'WITHSCORES')[2]
  end
  if last then
    redis.call('ZADD', index, last, solicitud)
  else
    forgotten = forgotten + redis.call('ZREM', index, solicitud)
  end
end
return { removed, forgotten }
