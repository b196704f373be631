-- Marks a node as having left by itself; what it holds is subtracted by the reaping calls that follow.
-- KEYS: 1 nodes
-- ARGV: 1 identity  2 number of this call
-- Reply: 1 marked, now or before; 0 it has no entry
local raw = redis.call('HGET', KEYS[1], ARGV[1])
local ok, node = pcall(cjson.decode, raw or 'null')
if not ok or type(node) ~= 'table' then return 0 end
if node.ended then return 1 end
local t = redis.call('TIME')
node.ended = t[1] * 1000 + math.floor(t[2] / 1000)
node.seq = tonumber(ARGV[2])
node.connections = 0
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(node))
return 1
