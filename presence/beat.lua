-- Heartbeat: renews a node's entry, or registers it if it has none or an ended one.
-- KEYS: 1 nodes  2 epoch
-- ARGV: 1 identity  2 number of this call  3 entry as JSON: name, addr, version, connections, run  4 a new epoch's name
-- Reply: {registration, epoch, Redis' time in ms}. The registration is the number of the call that registered the node:
--   if it isn't the one the node has written its state under, that state is gone, or partly so. The epoch is another
--   after Redis was emptied. {-1, '', time}: a later call came before this one; nothing was changed.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local seq = tonumber(ARGV[2])
local raw = redis.call('HGET', KEYS[1], ARGV[1])
local ok, was = pcall(cjson.decode, raw or 'null')
if not ok or type(was) ~= 'table' then was = {} end
if was.seq and was.seq >= seq then return {-1, '', now} end
local entry = cjson.decode(ARGV[3])
entry.beat = now
entry.seq = seq
entry.reg = was.reg
entry.since = was.since
if was.ended or not was.reg then
  entry.reg = seq
  entry.since = now
end
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(entry))
redis.call('SET', KEYS[2], ARGV[4], 'NX')
return {entry.reg, redis.call('GET', KEYS[2]), now}
