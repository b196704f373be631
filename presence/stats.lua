-- Reads the figures of one moment; its work is O(1) in the sockets, O(n) in the nodes.
-- KEYS: 1 nodes  2 all users  3… roles
-- ARGV: none
-- Reply: {Redis' time in ms, nodes as a flat list of identity and entry, number of users, number of each role's users…}
local t = redis.call('TIME')
local reply = {t[1] * 1000 + math.floor(t[2] / 1000), redis.call('HGETALL', KEYS[1])}
for i = 2, #KEYS do reply[#reply + 1] = redis.call('HLEN', KEYS[i]) end
return reply
