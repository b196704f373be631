-- Renews entries that wait for older ones or are being handled: their idle time begins again, their delivery count
-- stays. One that somebody trimmed from the stream is left as it is, since XCLAIM would drop it from the pending list.
--
-- KEYS[1] event stream
-- ARGV[1] group  ARGV[2] own consumer  ARGV[3..] ids
--
-- Reply: the ids that are not this consumer's any more (settled, or claimed by another after a pause)
-- Raises NOGROUP.

local gone = {}
for i = 3, #ARGV do
  local state = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2])[1]
  if not state then
    gone[#gone + 1] = ARGV[i]
  elseif redis.call('XRANGE', KEYS[1], ARGV[i], ARGV[i])[1] then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'RETRYCOUNT', state[4], 'JUSTID')
  end
end
return gone
