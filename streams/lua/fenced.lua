-- Appends events to the event stream if the caller holds a lease.
--
-- KEYS[1] the lease, a string  KEYS[2] event stream
-- ARGV[1] what the lease's value is while the caller holds it  ARGV[2..] of each event: the channel it came by, its payload
--
-- Reply: { 1 if the lease was held, else 0; number of events appended; error of the one that was refused, or "" }

if redis.call('GET', KEYS[1]) ~= ARGV[1] then return { 0, 0, '' } end
local appended = 0
for i = 2, #ARGV, 2 do
  local added = redis.pcall('XADD', KEYS[2], '*', 'payload', ARGV[i + 1], 'channel', ARGV[i])
  if type(added) == 'table' and added['err'] then return { 1, appended, added['err'] } end
  appended = appended + 1
end
return { 1, appended, '' }
