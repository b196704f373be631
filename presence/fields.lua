-- What the scripts that change counts begin with: many fields of a hash, or members of a set, in each command. Redis
-- then has few commands to carry out, however many counts a call holds.

-- How many arguments a command gets at most, since the stack that unpack fills is bounded. Even, for pairs.
local MOST = 1000

-- pieces calls f with the strings of list, at most MOST at a time.
local function pieces(list, f)
  for i = 1, #list, MOST do f(unpack(list, i, math.min(i + MOST - 1, #list))) end
end

-- fetch returns what HMGET or ZMSCORE says of names, by name, false for one that isn't there.
local function fetch(command, key, names)
  local values, at = {}, 0
  pieces(names, function(...)
    for i, value in ipairs(redis.call(command, key, ...)) do values[names[at + i]] = value end
    at = at + select('#', ...)
  end)
  return values
end

-- read returns the counts of a hash's fields by field, 0 for one that isn't there or is no number.
local function read(hash, fields)
  local counts = fetch('HMGET', hash, fields)
  for field, count in pairs(counts) do counts[field] = tonumber(count or 0) or 0 end
  return counts
end

-- write stores counts by field, and removes those that are not above 0.
local function write(hash, counts)
  local set, del = {}, {}
  for field, count in pairs(counts) do
    if count > 0 then
      set[#set + 1] = field
      set[#set + 1] = count
    else
      del[#del + 1] = field
    end
  end
  pieces(set, function(...) redis.call('HSET', hash, ...) end)
  pieces(del, function(...) redis.call('HDEL', hash, ...) end)
end

-- totals are the counts of all nodes that a call changes, by hash: the users expected to change, the counts known of
-- them, and those of them that have changed.
local totals = {}

-- expect says that add will be called with a hash and user; for each pair as often as it then is. Of one known to be
-- absent nothing is read.
local function expect(hash, user, absent)
  local t = totals[hash]
  if not t then
    t = {users = {}, counts = {}, changed = {}}
    totals[hash] = t
  end
  t.users[#t.users + 1] = user
  if absent then t.counts[user] = 0 end
end

local function read_unknown(hash, t)
  local unknown = {}
  for _, user in ipairs(t.users) do
    if not t.counts[user] then unknown[#unknown + 1] = user end
  end
  for user, count in pairs(read(hash, unknown)) do t.counts[user] = count end
  t.complete = true
end

-- add changes a user's count in a hash, and returns it as it was and as it is. A hash in which one user changes is
-- written at once, in one command where he stays; any other is read first, and written by write_totals.
local function add(hash, user, diff)
  local t = totals[hash]
  if #t.users == 1 then
    local after = redis.call('HINCRBY', hash, user, diff)
    if after <= 0 then redis.call('HDEL', hash, user) end
    return after - diff, after
  end
  if not t.complete then read_unknown(hash, t) end
  local before = t.counts[user]
  local after = before + diff
  t.counts[user] = math.max(after, 0)
  t.changed[user] = t.counts[user]
  return before, after
end

local function write_totals()
  for hash, t in pairs(totals) do write(hash, t.changed) end
end

-- schedule has members announced as gone when they are due, unless they are to be earlier.
local function schedule(leaving, members, due)
  local scored = {}
  for _, member in ipairs(members) do
    scored[#scored + 1] = due
    scored[#scored + 1] = member
  end
  pieces(scored, function(...) redis.call('ZADD', leaving, 'NX', ...) end)
end

-- in_ms is a time by Redis' clock: ms from now.
local function in_ms(ms)
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000) + ms
end
