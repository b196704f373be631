-- The plain form of rooms.lua, one count after another, that a test holds it against.
-- Writes some of a node's counts of room members, as absolute values, applies the difference to the rooms' totals, and
-- announces who came; who went is due to be announced later, unless he comes back.
-- KEYS: 1 nodes  2 the node's rooms  3 leaving  4 log  5… rooms
-- ARGV: 1 identity  2 number of this call  3 registration  4 all roles, escaped, joined by |  5 grace in ms,
--   then for each count: field room|role|user, index in KEYS of its room, count, 1 if Redis was emptied since it held
--   this member (0 otherwise), number n of strings of the announcement's log entry (0: none), those n strings
-- Reply: number of entries appended to the log; -2 the node isn't registered (any more) under this registration;
--   -1 a later call came before this one
local raw = redis.call('HGET', KEYS[1], ARGV[1])
local ok, node = pcall(cjson.decode, raw or 'null')
if not ok or type(node) ~= 'table' or node.ended or node.reg ~= tonumber(ARGV[3]) then return -2 end
if node.seq >= tonumber(ARGV[2]) then return -1 end
node.seq = tonumber(ARGV[2])
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(node))
local t = redis.call('TIME')
local due = t[1] * 1000 + math.floor(t[2] / 1000) + tonumber(ARGV[5])

-- One user may be in a room in several roles; back in any of them is back.
local function came_back(field, room, user)
  local gone = {field}
  for role in string.gmatch(ARGV[4], '[^|]+') do gone[#gone + 1] = room .. '|' .. role .. '|' .. user end
  return redis.call('ZREM', KEYS[3], unpack(gone)) > 0
end

local announced, i = 0, 6
while i <= #ARGV do
  local field, total = ARGV[i], KEYS[tonumber(ARGV[i + 1])]
  local count, known, n = tonumber(ARGV[i + 2]), ARGV[i + 3] == '1', tonumber(ARGV[i + 4])
  local room, user = string.match(field, '^(.-)|.-|(.*)$')
  local diff = count - tonumber(redis.call('HGET', KEYS[2], field) or 0)
  local before = tonumber(redis.call('HGET', total, user) or 0)
  local after = before + diff
  if diff ~= 0 then
    if count > 0 then redis.call('HSET', KEYS[2], field, count) else redis.call('HDEL', KEYS[2], field) end
    if after > 0 then redis.call('HSET', total, user, after) else redis.call('HDEL', total, user) end
  end
  if before <= 0 and after > 0 then
    if not came_back(field, room, user) and not known and n > 0 then
      redis.call('XADD', KEYS[4], '*', unpack(ARGV, i + 5, i + 4 + n))
      announced = announced + 1
    end
  elseif after <= 0 and (before > 0 or known) then
    redis.call('ZADD', KEYS[3], 'NX', due, field)
  end
  i = i + 5 + n
end
return announced
