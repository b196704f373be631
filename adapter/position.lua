-- Gives a quiet log a position, and keeps the log within its cap.
-- KEYS[1]  the log, a stream
-- ARGV[1]  age in ms of the newest entry from which an empty entry is appended
-- ARGV[2]  age in ms beyond which entries are trimmed when one is appended
-- ARGV[3]  number of entries that the log may hold
-- Reply    {id of the appended entry or "", number of entries that the cap cut}
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local appended = ''
if not newest or now - tonumber(string.match(newest[1], '^%d+')) >= tonumber(ARGV[1]) then
  local oldest = math.max(0, now - tonumber(ARGV[2]))
  appended = redis.call('XADD', KEYS[1], 'MINID', '~', string.format('%.0f', oldest), '*',
    'at', string.format('%.0f', now))
end
local cut = redis.call('XTRIM', KEYS[1], 'MAXLEN', '~', ARGV[3])
return {appended, cut}
