-- Sets the delivery count of one entry, if it is still this consumer's. One that somebody trimmed from the stream is left
-- as it is, since XCLAIM would drop it from the pending list; nobody can be given it again, so it needs no mark.
--
-- KEYS[1] event stream
-- ARGV[1] group  ARGV[2] own consumer  ARGV[3] id  ARGV[4] delivery count
--
-- Reply: 1, or 0 if it is not this consumer's
-- Raises NOGROUP.

if not redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1, ARGV[2])[1] then return 0 end
if redis.call('XRANGE', KEYS[1], ARGV[3], ARGV[3])[1] then
  redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[3], 'RETRYCOUNT', ARGV[4], 'JUSTID')
end
return 1
