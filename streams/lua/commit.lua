-- Settles a run of entries in the stream's order: each is acknowledged together with its log entry or dead letter.
--
-- KEYS[1] event stream  KEYS[2] log  KEYS[3] dead letters  KEYS[4] last committed id  KEYS[5] index of the grants
-- KEYS[6..] of each entry in turn: its idempotency key if it has one, then its grants' keys
-- ARGV[1] group  ARGV[2] log age, ms, beyond which entries are trimmed  ARGV[3] log cap, entries  ARGV[4] idempotency TTL, ms  ARGV[5] grant TTL, ms
-- ARGV[6] dead letters' cap, entries  ARGV[7] number of entries, ids ascending; then of each entry:
--   id, target ("l" log, "d" dead), "1" if it has an idempotency key, number of grants, user of each grant,
--   number of strings that follow, field and value pairs of the new entry
--
-- Reply: { outcomes, cut, error, failed grants, dead letters cut }
--   outcomes: one letter for each settled entry from the first on: r relayed, d dead letter, s seen event_id,
--             g not pending any more (another node settled it); shorter than the run if an older entry is pending
--             elsewhere or a write failed
--   cut: log entries younger than the log age that the cap removed   error: of the write that failed, or ""
--   failed grants: refused, or not in the index
-- Raises NOGROUP.
--
-- The snapshot of the smallest pending ids holds while the script runs. An entry is added before it is acknowledged, so
-- that what Redis refuses stays pending.
--
-- Of the entries beyond the log age the newest stays, with those of an eighth of the age before it: after a long pause
-- that is where the readers are.

local events, log, dead, committed, index = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local group, n = ARGV[1], tonumber(ARGV[7])

-- Decimal text compares by length, then by byte: exact for 64 bits, where Lua's numbers are not.
local function older(a, b)
  local ams, aseq = string.match(a, '^(%d+)-(%d+)$')
  local bms, bseq = string.match(b, '^(%d+)-(%d+)$')
  if ams == bms then ams, bms = aseq, bseq end
  if #ams ~= #bms then return #ams < #bms end
  return ams < bms
end

local function failed(reply)
  return type(reply) == 'table' and reply['err']
end

local pending = redis.call('XPENDING', events, group, '-', '+', n)
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local expiry = string.format('%.0f', now + tonumber(ARGV[5]))

local outcomes, acks = {}, {}
local relayed, died, badGrants, fault = false, false, 0, ''
local indexed = {}
local head, key, arg = 1, 6, 8

-- Gives a grant. Its solicitud, the key without what all share, is in the index with the greatest expiry that was given,
-- so that a sweeper finds what has expired.
local function grant(key, user)
  if failed(redis.pcall('ZADD', key, 'GT', expiry, user)) then return false end
  if indexed[key] then return true end
  indexed[key] = true
  redis.pcall('ZREMRANGEBYSCORE', key, '-inf', string.format('%.0f', now))
  return not failed(redis.pcall('ZADD', index, 'GT', expiry, string.sub(key, #index + 2)))
end

-- Removes a stream's oldest entries beyond its cap and returns their number.
local function cap(stream, most)
  if redis.call('XLEN', stream) <= tonumber(most) then return 0 end
  local removed = redis.pcall('XTRIM', stream, 'MAXLEN', '~', most)
  return failed(removed) and 0 or removed
end

for i = 1, n do
  local id, target, hasSeen, grants = ARGV[arg], ARGV[arg + 1], ARGV[arg + 2] == '1', tonumber(ARGV[arg + 3])
  local users = arg + 4
  local count = tonumber(ARGV[users + grants])
  local first = users + grants + 1
  arg = first + count
  local seen = nil
  if hasSeen then
    seen = KEYS[key]
    key = key + 1
  end
  local grantKeys = key
  key = key + grants

  local smallest = pending[head] and pending[head][1]
  if smallest ~= id then
    if smallest and older(smallest, id) then break end
    outcomes[i] = 'g'
  else
    local outcome = target == 'd' and 'd' or 'r'
    if outcome == 'r' and seen then
      local by = redis.pcall('GET', seen)
      if by and not failed(by) and by ~= id then outcome = 's' end
    end
    if outcome ~= 's' then
      local added = redis.pcall('XADD', outcome == 'd' and dead or log, '*', unpack(ARGV, first, first + count - 1))
      if failed(added) then
        fault = added['err']
        break
      end
    end
    if outcome == 'r' then
      relayed = true
      if seen then redis.pcall('SET', seen, id, 'PX', ARGV[4]) end
      for g = 1, grants do
        if not grant(KEYS[grantKeys + g - 1], ARGV[users + g - 1]) then badGrants = badGrants + 1 end
      end
    end
    died = died or outcome == 'd'
    outcomes[i] = outcome
    acks[#acks + 1] = id
    head = head + 1
  end
end

local function msOf(entries)
  return tonumber(string.match(entries[1][1], '^%d+'))
end

-- Trims the log by age. With no entry beyond it XREVRANGE would look at all there are.
local function trim()
  local age = tonumber(ARGV[2])
  local oldest = redis.pcall('XRANGE', log, '-', '+', 'COUNT', 1)
  if failed(oldest) or not oldest[1] or msOf(oldest) > now - age then return end
  local aged = redis.pcall('XREVRANGE', log, string.format('%.0f', now - age), '-', 'COUNT', 1)
  if failed(aged) or not aged[1] then return end
  local keep = msOf(aged) - math.floor(age / 8)
  redis.pcall('XTRIM', log, 'MINID', '~', string.format('%.0f', math.max(0, keep)))
end

local cut, deadCut = 0, 0
if #acks > 0 then
  redis.call('XACK', events, group, unpack(acks))
  redis.call('SET', committed, acks[#acks])
end
if relayed then
  trim()
  cut = cap(log, ARGV[3])
end
if died then deadCut = cap(dead, ARGV[6]) end
return { table.concat(outcomes), cut, fault, badGrants, deadCut }
