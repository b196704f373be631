-- The plain form of reap.lua, one count after another, that a test holds it against.
-- Subtracts some of an ended node's counts, from its hash and from the totals together: its users', which count in a
-- role and in all, or its room members'. A member that is nowhere else in the room is due to be announced as gone.
-- KEYS: 1 nodes  2 the node's users, or its rooms  3 all users, or leaving  4… roles, or rooms
-- ARGV: 1 identity  2 grace of members in ms; empty: these are users,
--   then for each count: field role|user or room|role|user, index in KEYS of its role or room (0: no field of ours,
--   only removed)
-- Reply: number of fields removed; -1 the node hasn't ended, or not any more
local raw = redis.call('HGET', KEYS[1], ARGV[1])
local ok, node = pcall(cjson.decode, raw or 'null')
if not ok or type(node) ~= 'table' or not node.ended then return -1 end
local t = redis.call('TIME')
local grace = tonumber(ARGV[2])
local due = t[1] * 1000 + math.floor(t[2] / 1000) + (grace or 0)

local function subtract(total, user, count)
  local gone = redis.call('HINCRBY', total, user, -count) <= 0
  if gone then redis.call('HDEL', total, user) end
  return gone
end

local removed = 0
for i = 3, #ARGV, 2 do
  local field, total = ARGV[i], tonumber(ARGV[i + 1])
  local count = redis.call('HGET', KEYS[2], field)
  if count then
    redis.call('HDEL', KEYS[2], field)
    removed = removed + 1
    if total > 0 then
      local user = string.match(field, '[^|]*$')
      local gone = subtract(KEYS[total], user, count)
      if not grace then
        subtract(KEYS[3], user, count)
      elseif gone then
        redis.call('ZADD', KEYS[3], 'NX', due, field)
      end
    end
  end
end
return removed
