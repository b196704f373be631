-- Claims the oldest entries that nobody renewed or was delivered for a while, with their delivery counts.
--
-- KEYS[1] event stream
-- ARGV[1] group  ARGV[2] own consumer  ARGV[3] minimum idle time, ms  ARGV[4] most entries to claim
--
-- Reply: { entries, lost }
--   entries: of each its id, its field and value pairs, and how often it was delivered, this time included
--   lost: number of pending entries that no longer existed in the stream and are forgotten now
-- Raises NOGROUP.

local reply = redis.call('XAUTOCLAIM', KEYS[1], ARGV[1], ARGV[2], ARGV[3], '0-0', 'COUNT', ARGV[4])
local claimed = {}
for _, entry in ipairs(reply[2]) do
  local state = redis.call('XPENDING', KEYS[1], ARGV[1], entry[1], entry[1], 1)
  claimed[#claimed + 1] = { entry[1], entry[2], state[1] and state[1][4] or 1 }
end
return { claimed, #(reply[3] or {}) }
