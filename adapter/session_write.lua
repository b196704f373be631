-- Writes sessions, each unless a newer connection owns it.
-- KEYS[1..]  the sessions
-- ARGV       of each session in turn: owner, generation, TTL in ms, the record as JSON
-- Reply      the places (from 1) of the sessions that were left alone, since another owns them
local lost = {}
for i, stored in ipairs(redis.call('MGET', unpack(KEYS))) do
  local owner, gen = ARGV[4 * i - 3], tonumber(ARGV[4 * i - 2])
  local ok, was = pcall(cjson.decode, stored or 'null')
  local wasGen = ok and type(was) == 'table' and tonumber(was.gen)
  if wasGen and (wasGen > gen or wasGen == gen and was.owner ~= owner) then
    lost[#lost + 1] = i
  else
    redis.call('SET', KEYS[i], ARGV[4 * i], 'PX', ARGV[4 * i - 1])
  end
end
return lost
