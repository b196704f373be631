-- Marks a node as dead if its heartbeat still is the one that was seen, and old enough.
-- KEYS: 1 nodes
-- ARGV: 1 identity  2 the heartbeat seen, in ms  3 the age it must have, in ms
-- Reply: 1 marked, now or before; 0 the node lives, or has no entry
local raw = redis.call('HGET', KEYS[1], ARGV[1])
local ok, node = pcall(cjson.decode, raw or 'null')
if not ok or type(node) ~= 'table' then return 0 end
if node.ended then return 1 end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if node.beat ~= tonumber(ARGV[2]) or now - node.beat < tonumber(ARGV[3]) then return 0 end
node.ended = now
node.connections = 0
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(node))
return 1
