-- Claims the oldest entries of one consumer at once, however short they are idle, with their delivery counts.
-- Listing and claiming are one step, so nodes that do this at the same time share the entries out.
--
-- KEYS[1] event stream
-- ARGV[1] group  ARGV[2] own consumer  ARGV[3] consumer to claim from (may be the own one)
-- ARGV[4] most entries to look at  ARGV[5..] ids to leave alone
--
-- Reply: { entries, lost } as of claim_idle.lua
-- Raises NOGROUP.

local skip = {}
for i = 5, #ARGV do skip[ARGV[i]] = true end

local claimed, lost = {}, 0
for _, state in ipairs(redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', ARGV[4], ARGV[3])) do
  if not skip[state[1]] then
    local entry = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, state[1])[1]
    if entry then
      claimed[#claimed + 1] = { entry[1], entry[2], state[4] + 1 }
    else
      redis.call('XACK', KEYS[1], ARGV[1], state[1])
      lost = lost + 1
    end
  end
end
return { claimed, lost }
