-- Tells how far the group is behind.
--
-- KEYS[1] event stream
-- KEYS[2] dead letters
-- ARGV[1] group
--
-- Reply: the time by this Redis in microseconds; entries of the event stream; entries that the group was not delivered, -1
-- if this Redis does not know; the id of the first of these, or ''; entries pending; the id of the first of these, or '';
-- dead letters

local time = redis.call('TIME')
local lag, last, pending, oldest = -1, '-', 0, ''
if redis.call('EXISTS', KEYS[1]) == 1 then
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    local of = {}
    for i = 1, #group, 2 do of[group[i]] = group[i + 1] end
    if of['name'] == ARGV[1] then
      last = '(' .. of['last-delivered-id']
      lag = of['lag'] or -1
      local all = redis.call('XPENDING', KEYS[1], ARGV[1])
      pending, oldest = all[1], all[2] or ''
    end
  end
end
local first = redis.call('XRANGE', KEYS[1], last, '+', 'COUNT', 1)[1]
local length = redis.call('XLEN', KEYS[1])
if last == '-' then lag = length end
if not first then lag = 0 end
return {
  time[1] * 1000000 + time[2], length, lag, first and first[1] or '', pending, oldest, redis.call('XLEN', KEYS[2]),
}
