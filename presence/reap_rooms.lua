-- Subtracts some of an ended node's counts of room members, from its hash and from the rooms' totals together; whoever
-- is nowhere else in the room is due to be announced as gone.
-- KEYS: 1 nodes  2 the node's rooms  3 leaving  4… rooms
-- ARGV: 1 identity  2 grace in ms,
--   then for each count: field room|role|user, index in KEYS of its room (0: no field of ours, only removed)
-- Reply: number of fields removed; -1 the node hasn't ended, or not any more
local raw = redis.call('HGET', KEYS[1], ARGV[1])
local ok, node = pcall(cjson.decode, raw or 'null')
if not ok or type(node) ~= 'table' or not node.ended then return -1 end
local t = redis.call('TIME')
local due = t[1] * 1000 + math.floor(t[2] / 1000) + tonumber(ARGV[2])
local removed = 0
for i = 3, #ARGV, 2 do
  local field, room = ARGV[i], tonumber(ARGV[i + 1])
  local count = redis.call('HGET', KEYS[2], field)
  if count then
    redis.call('HDEL', KEYS[2], field)
    removed = removed + 1
    if room > 0 then
      local user = string.match(field, '|.-|(.*)$')
      if redis.call('HINCRBY', KEYS[room], user, -count) <= 0 then
        redis.call('HDEL', KEYS[room], user)
        redis.call('ZADD', KEYS[3], 'NX', due, field)
      end
    end
  end
end
return removed
