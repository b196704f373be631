-- The plain form of users.lua, one count after another, that a test holds it against.
-- Writes some of a node's counts of users, as absolute values, and applies the difference to the totals.
-- KEYS: 1 nodes  2 the node's users  3 all users  4… roles
-- ARGV: 1 identity  2 number of this call  3 registration  4 the node's connections,
--   then for each count: field role|user, index in KEYS of its role, count
-- Reply: 1 applied; 0 the node isn't registered (any more) under this registration; -1 a later call came before this one
local raw = redis.call('HGET', KEYS[1], ARGV[1])
local ok, node = pcall(cjson.decode, raw or 'null')
if not ok or type(node) ~= 'table' or node.ended or node.reg ~= tonumber(ARGV[3]) then return 0 end
if node.seq >= tonumber(ARGV[2]) then return -1 end
node.seq = tonumber(ARGV[2])
node.connections = tonumber(ARGV[4])
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(node))
for i = 5, #ARGV, 3 do
  local field, count = ARGV[i], tonumber(ARGV[i + 2])
  local diff = count - tonumber(redis.call('HGET', KEYS[2], field) or 0)
  if diff ~= 0 then
    if count > 0 then redis.call('HSET', KEYS[2], field, count) else redis.call('HDEL', KEYS[2], field) end
    local user = string.match(field, '|(.*)$')
    for _, total in ipairs({KEYS[tonumber(ARGV[i + 1])], KEYS[3]}) do
      if redis.call('HINCRBY', total, user, diff) <= 0 then redis.call('HDEL', total, user) end
    end
  end
end
return 1
