-- The plain form of left.lua, one count after another, that a test holds it against.
-- Announces members as gone, each once, unless they came back in the meantime.
-- KEYS: 1 leaving  2 log
-- ARGV: for each: field room|role|user, number n of strings of its log entry (0: none), those n strings
-- Reply: number of entries appended to the log
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local announced, i = 0, 1
while i <= #ARGV do
  local n = tonumber(ARGV[i + 1])
  local due = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if due and tonumber(due) <= now then
    redis.call('ZREM', KEYS[1], ARGV[i])
    if n > 0 then
      redis.call('XADD', KEYS[2], '*', unpack(ARGV, i + 2, i + 1 + n))
      announced = announced + 1
    end
  end
  i = i + 2 + n
end
return announced
