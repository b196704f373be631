-- Takes, keeps or gives up a lease. A lease that has ended is not kept: somebody else may have had it meanwhile.
-- KEYS[1]  the lease, a string
-- ARGV[1]  the caller's value, of this one term of its holding it
-- ARGV[2]  "take", "keep" or "release"
-- ARGV[3]  how long it lasts, ms
-- Reply    1 if the caller holds it now, else 0
local holder = redis.call('GET', KEYS[1])
if not holder and ARGV[2] == 'take' then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
  return 1
end
if holder ~= ARGV[1] then return 0 end
if ARGV[2] == 'release' then
  redis.call('DEL', KEYS[1])
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
return 1
