-- Writes dead letters to the event stream again, each together with its removal from the dead letters.
--
-- KEYS[1] dead letters  KEYS[2] event stream  KEYS[3..] of each letter in turn: its idempotency key if it has one
-- ARGV of each letter: id, "1" if it has an idempotency key
--
-- Reply: { outcomes, error }
--   outcomes: one letter for each from the first on: r replayed, g gone (replayed, dropped or cut by the cap), s its
--             event_id was relayed since and is still remembered, so that it would be swallowed: it stays; shorter than
--             the run if a write failed
--   error: of the write that failed, or ""
--
-- A letter is added before it is removed, so that what Redis refuses stays a dead letter. As letters that are gone are
-- skipped, a repeated call replays each once.

local dead, events = KEYS[1], KEYS[2]

local function failed(reply)
  return type(reply) == 'table' and reply['err']
end

-- The letter's own fields, in their order.
local function original(flat, id)
  local pairs = {}
  for i = 1, #flat, 2 do
    local name = flat[i]
    if string.sub(name, 1, 5) ~= 'dead_' and name ~= 'replayed_from' then
      pairs[#pairs + 1] = name
      pairs[#pairs + 1] = flat[i + 1]
    end
  end
  pairs[#pairs + 1] = 'replayed_from'
  pairs[#pairs + 1] = id
  return pairs
end

local outcomes, fault, key = {}, '', 3
for i = 1, #ARGV, 2 do
  local id, seen = ARGV[i], false
  if ARGV[i + 1] == '1' then
    local by = redis.pcall('GET', KEYS[key])
    seen = by and not failed(by)
    key = key + 1
  end
  local letter = redis.call('XRANGE', dead, id, id)[1]
  local outcome = 'r'
  if not letter then
    outcome = 'g'
  elseif seen then
    outcome = 's'
  else
    local added = redis.pcall('XADD', events, '*', unpack(original(letter[2], id)))
    if failed(added) then
      fault = added['err']
      break
    end
    redis.call('XDEL', dead, id)
  end
  outcomes[#outcomes + 1] = outcome
end
return { table.concat(outcomes), fault }
