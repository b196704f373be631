-- Lists members whose leaving is due to be announced.
-- KEYS: 1 leaving
-- ARGV: 1 how many at most
-- Reply: their fields room|role|user
local t = redis.call('TIME')
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', t[1] * 1000 + math.floor(t[2] / 1000), 'LIMIT', 0, ARGV[1])
