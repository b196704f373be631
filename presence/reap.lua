-- Subtracts some of an ended node's counts, from its hash and from the totals together: its users', which count in a
-- role and in all, or its room members'. A member that is nowhere else in the room is due to be announced as gone.
-- KEYS: 1 nodes  2 the node's users, or its rooms  3 all users, or leaving  4… roles, or rooms
-- ARGV: 1 identity  2 grace of members in ms; empty: these are users,
--   then for each count: field role|user or room|role|user, index in KEYS of its role or room (0: no field of ours,
--   only removed)
-- Reply: number of fields removed; -1 the node hasn't ended, or not any more
-- It begins with fields.lua.
local raw = redis.call('HGET', KEYS[1], ARGV[1])
local ok, node = pcall(cjson.decode, raw or 'null')
if not ok or type(node) ~= 'table' or not node.ended then return -1 end
local grace = tonumber(ARGV[2])

local fields, removed, changes = {}, 0, {}
for i = 3, #ARGV, 2 do fields[#fields + 1] = ARGV[i] end
local held = read(KEYS[2], fields)
pieces(fields, function(...) removed = removed + redis.call('HDEL', KEYS[2], ...) end)

for i = 3, #ARGV, 2 do
  local field, at = ARGV[i], tonumber(ARGV[i + 1])
  local count = held[field]
  held[field] = 0
  if count ~= 0 and at > 0 then
    local user = string.match(field, '[^|]*$')
    expect(KEYS[at], user)
    if not grace then expect(KEYS[3], user) end
    changes[#changes + 1] = {field = field, total = KEYS[at], user = user, count = count}
  end
end
local gone = {}
for _, c in ipairs(changes) do
  local _, after = add(c.total, c.user, -c.count)
  if not grace then
    add(KEYS[3], c.user, -c.count)
  elseif after <= 0 then
    gone[#gone + 1] = c.field
  end
end
write_totals()
if grace then schedule(KEYS[3], gone, in_ms(grace)) end
return removed
