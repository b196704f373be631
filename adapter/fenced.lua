-- Appends entries to the log if the caller holds a lease.
-- KEYS[1]  the lease, a string
-- KEYS[2]  the log, a stream
-- ARGV[1]  what the lease's value is while the caller holds it
-- ARGV[2]  id below which entries are trimmed, or "" for none
-- ARGV[3]  number of entries; then of each: the number of strings that follow, field and value pairs
-- Reply    {1 if the lease was held, else 0; number of entries appended; error of the one that was refused, or ""}
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {0, 0, ''} end
local arg = 4
for i = 1, tonumber(ARGV[3]) do
  local count = tonumber(ARGV[arg])
  local added
  if ARGV[2] == '' then
    added = redis.pcall('XADD', KEYS[2], '*', unpack(ARGV, arg + 1, arg + count))
  else
    added = redis.pcall('XADD', KEYS[2], 'MINID', '~', ARGV[2], '*', unpack(ARGV, arg + 1, arg + count))
  end
  if type(added) == 'table' and added['err'] then return {1, i - 1, added['err']} end
  arg = arg + count + 1
end
return {1, tonumber(ARGV[3]), ''}
