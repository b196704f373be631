-- Announces members as gone, each once, unless they came back in the meantime.
-- KEYS: 1 leaving  2 log
-- ARGV: for each: field room|role|user, number n of strings of its log entry (0: none), those n strings
-- Reply: number of entries appended to the log
-- It begins with fields.lua.
local now = in_ms(0)
local fields, entries, i = {}, {}, 1
while i <= #ARGV do
  local n = tonumber(ARGV[i + 1])
  fields[#fields + 1] = ARGV[i]
  entries[#entries + 1] = {first = i + 2, last = i + 1 + n}
  i = i + 2 + n
end
local dues = fetch('ZMSCORE', KEYS[1], fields)
local announced, left = 0, {}
for j, field in ipairs(fields) do
  local due, entry = dues[field], entries[j]
  if due and tonumber(due) <= now then
    dues[field] = false
    left[#left + 1] = field
    if entry.last >= entry.first then
      redis.call('XADD', KEYS[2], '*', unpack(ARGV, entry.first, entry.last))
      announced = announced + 1
    end
  end
end
pieces(left, function(...) redis.call('ZREM', KEYS[1], ...) end)
return announced
