-- Ends the reaping of a node that holds nothing any more, and forgets a node that ended long ago.
-- KEYS: 1 nodes  2 the node's users  3 the node's rooms
-- ARGV: 1 identity  2 how long an ended node is kept, in ms
-- Reply: 1 nothing is left to reap; 2 the entry was removed, too; 0 something is left; -1 the node hasn't ended
local raw = redis.call('HGET', KEYS[1], ARGV[1])
local ok, node = pcall(cjson.decode, raw or 'null')
if not ok or type(node) ~= 'table' or not node.ended then return -1 end
if redis.call('EXISTS', KEYS[2], KEYS[3]) > 0 then return 0 end
local t = redis.call('TIME')
if t[1] * 1000 + math.floor(t[2] / 1000) - node.ended > tonumber(ARGV[2]) then
  redis.call('HDEL', KEYS[1], ARGV[1])
  return 2
end
if not node.done then
  node.done = true
  redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(node))
end
return 1
