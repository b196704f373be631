-- Trims the event stream to what every one of its groups has been delivered and has acknowledged.
--
-- KEYS[1] event stream
-- ARGV[1] own group: without it nothing is trimmed, since it will be created again in the past
--
-- Reply: number of entries removed

local function older(a, b)
  local ams, aseq = string.match(a, '^(%d+)-?(%d*)$')
  local bms, bseq = string.match(b, '^(%d+)-?(%d*)$')
  if ams == bms then ams, bms = aseq, bseq end
  if #ams ~= #bms then return #ams < #bms end
  return ams < bms
end

if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local bound, own = nil, false
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local of = {}
  for i = 1, #group, 2 do of[group[i]] = group[i + 1] end
  own = own or of['name'] == ARGV[1]
  local oldest = redis.call('XPENDING', KEYS[1], of['name'], '-', '+', 1)[1]
  local keep = oldest and oldest[1] or of['last-delivered-id']
  if not bound or older(keep, bound) then bound = keep end
end
if not own then return 0 end
return redis.call('XTRIM', KEYS[1], 'MINID', '~', bound)
