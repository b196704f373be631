-- Subtracts some of an ended node's counts of users, from its hash and from the totals together.
-- KEYS: 1 nodes  2 the node's users  3 all users  4… roles
-- ARGV: 1 identity, then for each count: field role|user, index in KEYS of its role (0: no field of ours, only removed)
-- Reply: number of fields removed; -1 the node hasn't ended, or not any more
local raw = redis.call('HGET', KEYS[1], ARGV[1])
local ok, node = pcall(cjson.decode, raw or 'null')
if not ok or type(node) ~= 'table' or not node.ended then return -1 end
local removed = 0
for i = 2, #ARGV, 2 do
  local field, role = ARGV[i], tonumber(ARGV[i + 1])
  local count = redis.call('HGET', KEYS[2], field)
  if count then
    redis.call('HDEL', KEYS[2], field)
    removed = removed + 1
    if role > 0 then
      local user = string.match(field, '|(.*)$')
      for _, total in ipairs({KEYS[role], KEYS[3]}) do
        if redis.call('HINCRBY', total, user, -count) <= 0 then redis.call('HDEL', total, user) end
      end
    end
  end
end
return removed
