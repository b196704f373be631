-- Renews entries that wait for older ones: their idle time begins again, their delivery count stays.
--
-- KEYS[1] event stream
-- ARGV[1] group  ARGV[2] own consumer  ARGV[3..] ids
--
-- Reply: the ids that are not this consumer's any more (settled, or claimed by another after a pause)
-- Raises NOGROUP.

local gone = {}
for i = 3, #ARGV do
  local state = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2])[1]
  if state then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'RETRYCOUNT', state[4], 'JUSTID')
  else
    gone[#gone + 1] = ARGV[i]
  end
end
return gone
