-- Gives a quiet log a position, and keeps the log within its cap.
-- KEYS[1]  the log, a stream
-- ARGV[1]  age in ms of the newest entry from which an empty entry is appended
-- ARGV[2]  age in ms beyond which entries are trimmed when one is appended; of those the newest stays, with those of an
--          eighth of the age before it: after a long pause that is where the readers are
-- ARGV[3]  number of entries that the log may hold
-- Reply    {id of the appended entry or "", number of entries that the cap cut}
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local appended = ''
if not newest or now - tonumber(string.match(newest[1], '^%d+')) >= tonumber(ARGV[1]) then
  local age, keep = tonumber(ARGV[2]), 0
  local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
  -- With no entry beyond the age XREVRANGE would look at all there are.
  if oldest and tonumber(string.match(oldest[1], '^%d+')) <= now - age then
    local aged = redis.call('XREVRANGE', KEYS[1], string.format('%.0f', now - age), '-', 'COUNT', 1)[1]
    keep = tonumber(string.match(aged[1], '^%d+')) - math.floor(age / 8)
  end
  appended = redis.call('XADD', KEYS[1], 'MINID', '~', string.format('%.0f', math.max(0, keep)), '*',
    'at', string.format('%.0f', now))
end
local cut = redis.call('XTRIM', KEYS[1], 'MAXLEN', '~', ARGV[3])
return {appended, cut}
