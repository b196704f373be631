-- Takes, keeps or gives up a lease, and names who has it next. A lease that has ended is not kept: somebody else may have
-- had it meanwhile, unless who keeps it is next, which nobody else can have been since.
-- KEYS[1]  the lease, a string
-- KEYS[2]  who is next, a string: "?" if that is sought, a value of who is about to listen, that and "\n" and where of who
--          does
-- ARGV[1]  the caller's value, of this one term of its holding it
-- ARGV[2]  "take", "keep", "call" (for one who is next), "ready" (to be it), or "release"
-- ARGV[3]  how long both last, ms
-- ARGV[4]  where the caller listens; of "ready" alone
-- Reply    1 if the caller holds it now, or is next and ready; 2 if it is to get ready; else 0
local value, what = ARGV[1], ARGV[2]
local holder, heir = redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2])
local ready = heir and string.match(heir, '^(.*)\n[^\n]*$')

local function set(key, to) redis.call('SET', key, to, 'PX', ARGV[3]) end
local function hold()
  set(KEYS[1], value)
  redis.call('DEL', KEYS[2])
  return 1
end

if what == 'take' then
  if not holder and not ready then return hold() end
  if holder and heir == '?' then
    set(KEYS[2], value)
    return 2
  end
  return 0
end
if what == 'ready' then
  if heir ~= value then return 0 end
  set(KEYS[2], value .. '\n' .. ARGV[4])
  return 1
end
if what == 'release' then
  if heir == value or ready == value or (heir == '?' and holder == value) then redis.call('DEL', KEYS[2]) end
  if holder == value then redis.call('DEL', KEYS[1]) end
  return 0
end
if what == 'keep' and ready == value then
  if not holder then return hold() end
  set(KEYS[2], heir)
  return 0
end
if holder ~= value then return 0 end
if what == 'call' then
  set(KEYS[2], '?')
  return 1
end
set(KEYS[1], value)
return 1
