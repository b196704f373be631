-- Takes sessions over for new connections, each if it still is as it was read.
-- KEYS[1..]  the sessions
-- ARGV       of each session in turn: the owner and generation that were read, the new socket's id, TTL in ms, the new
--            record as JSON, whose generation is one higher. Of a Node server's: the text that was read, and 0
-- Reply      of each session 1, or 0 if it has ended or another connection has it. A repeated call replies the same.
local replies, taken = {}, {}
for i, stored in ipairs(redis.call('MGET', unpack(KEYS))) do
  local owner, gen, sid = ARGV[5 * i - 4], tonumber(ARGV[5 * i - 3]), ARGV[5 * i - 2]
  -- Two connections may ask for one session in the same call.
  local ok, was = pcall(cjson.decode, taken[KEYS[i]] or stored or 'null')
  replies[i] = 0
  if gen == 0 and owner ~= '' and not taken[KEYS[i]] and stored == owner then
    ok, was = true, {gen = gen, owner = owner}
  end
  if ok and type(was) == 'table' and not was.ended then
    if was.gen == gen and was.owner == owner then
      redis.call('SET', KEYS[i], ARGV[5 * i], 'PX', ARGV[5 * i - 1])
      taken[KEYS[i]] = ARGV[5 * i]
      replies[i] = 1
    elseif was.gen == gen + 1 and was.sid == sid then
      replies[i] = 1
    end
  end
end
return replies
