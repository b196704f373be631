-- Revokes one token, or a user's tokens issued up to some second, and raises the version that nodes poll.
--
-- KEYS[1] revoked: jti:X -> the token's expiry, unix ms     KEYS[2] before: user:U -> unix s     KEYS[3] version
-- ARGV[1] "jti:X", "user:U", or "" to forget only  ARGV[2] the expiry in ms, or the second
-- ARGV[3] tokens that expired by then, unix ms, are forgotten  ARGV[4] seconds before this one are forgotten, unix s
--
-- Reply: the version; forgetting does not raise it
--
-- Repeating it is harmless: an expiry and a second only ever grow. Forgetting is bounded, a thousand tokens and a hundred
-- users a call, so that it blocks Redis for about as long as the write itself; each call adds at most one.

local version = redis.call('GET', KEYS[3])
if ARGV[1] ~= '' then
  version = redis.call('INCR', KEYS[3])
end

if string.sub(ARGV[1], 1, 4) == 'jti:' then
  local known = redis.call('ZSCORE', KEYS[1], ARGV[1])
  if not known or tonumber(known) < tonumber(ARGV[2]) then
    redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
  end
elseif ARGV[1] ~= '' then
  local known = tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or '')
  if not known or not (known >= tonumber(ARGV[2])) then
    redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
  end
end

-- What the other key holds, or of what type it is, must not fail the write.
local expired = redis.pcall('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[3], 'LIMIT', 0, 1000)
if not expired['err'] and #expired > 0 then
  redis.call('ZREM', KEYS[1], unpack(expired))
end
local sample = redis.pcall('HRANDFIELD', KEYS[2], 100, 'WITHVALUES')
if not sample['err'] then
  for i = 1, #sample, 2 do
    local second = tonumber(sample[i + 1])
    if second and second < tonumber(ARGV[4]) then
      redis.call('HDEL', KEYS[2], sample[i])
    end
  end
end
return version
