-- Writes some of a node's counts of room members, as absolute values, applies the difference to the rooms' totals, and
-- announces who came; who went is due to be announced later, unless he comes back.
-- KEYS: 1 nodes  2 the node's rooms  3 leaving  4 log  5… rooms
-- ARGV: 1 identity  2 number of this call  3 registration  4 all roles, escaped, joined by |  5 grace in ms,
--   then for each count: field room|role|user, index in KEYS of its room, count, 1 if Redis was emptied since it held
--   this member (0 otherwise), number n of strings of the announcement's log entry (0: none), those n strings
-- Reply: number of entries appended to the log; -2 the node isn't registered (any more) under this registration;
--   -1 a later call came before this one
-- It begins with fields.lua.
local raw = redis.call('HGET', KEYS[1], ARGV[1])
local ok, node = pcall(cjson.decode, raw or 'null')
if not ok or type(node) ~= 'table' or node.ended or node.reg ~= tonumber(ARGV[3]) then return -2 end
if node.seq >= tonumber(ARGV[2]) then return -1 end
node.seq = tonumber(ARGV[2])
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(node))

local fields, members, i = {}, {}, 6
while i <= #ARGV do
  local n = tonumber(ARGV[i + 4])
  local room, user = string.match(ARGV[i], '^(.-)|.-|(.*)$')
  members[#members + 1] = {
    field = ARGV[i], room = room, user = user, total = KEYS[tonumber(ARGV[i + 1])], count = tonumber(ARGV[i + 2]),
    known = ARGV[i + 3] == '1', first = i + 5, last = i + 4 + n,
  }
  fields[#fields + 1] = ARGV[i]
  i = i + 5 + n
end

-- One user may be in a room in several roles; back in any of them is back.
local roles = {}
for role in string.gmatch(ARGV[4], '[^|]+') do roles[#roles + 1] = '|' .. role .. '|' end
local held, written, changes, names = read(KEYS[2], fields), {}, {}, {}
for _, m in ipairs(members) do
  m.diff = m.count - held[m.field]
  if m.diff ~= 0 then held[m.field], written[m.field] = m.count, m.count end
  if m.diff ~= 0 or m.known then changes[#changes + 1] = m end
  if m.diff > 0 then
    m.names = {}
    local own = false
    for k, role in ipairs(roles) do
      local name = m.room .. role .. m.user
      m.names[k], names[#names + 1] = name, name
      own = own or name == m.field
    end
    if not own then m.names[#m.names + 1], names[#names + 1] = m.field, m.field end
  end
end
write(KEYS[2], written)

-- Who is leaving, in one of the roles that everyone who comes removes from there, is in no total of the room.
local leaving = fetch('ZMSCORE', KEYS[3], names)
for _, m in ipairs(changes) do
  local absent = false
  for k = 1, m.names and #roles or 0 do absent = absent or leaving[m.names[k]] end
  expect(m.total, m.user, absent)
end
for _, m in ipairs(changes) do
  local before, after = add(m.total, m.user, m.diff)
  m.came = before <= 0 and after > 0
  m.went = after <= 0 and (before > 0 or m.known)
end
write_totals()

-- Now in their order, since one in a call may come back from where another has just gone.
local announced, back, gone = 0, {}, {}
for _, m in ipairs(changes) do
  if m.went then
    leaving[m.field], gone[m.field] = true, true
  elseif m.came then
    local was = false
    for _, name in ipairs(m.names) do
      if leaving[name] then
        was = true
        leaving[name], gone[name] = nil, nil
        back[#back + 1] = name
      end
    end
    if not was and not m.known and m.last >= m.first then
      redis.call('XADD', KEYS[4], '*', unpack(ARGV, m.first, m.last))
      announced = announced + 1
    end
  end
end
pieces(back, function(...) redis.call('ZREM', KEYS[3], ...) end)
local went = {}
for name in pairs(gone) do went[#went + 1] = name end
if #went > 0 then schedule(KEYS[3], went, in_ms(tonumber(ARGV[5]))) end
return announced
