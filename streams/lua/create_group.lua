-- Creates the group where this cluster left off: after the last committed id, else at the stream's beginning. If the
-- stream is a new one, the committed id is dropped and the log's readers are told that source ids begin again.
--
-- KEYS[1] event stream  KEYS[2] log  KEYS[3] last committed id
-- ARGV[1] group  ARGV[2] highest id that the caller knows to be committed, or "0-0"
--
-- Reply: { created 0 or 1, start id, new stream 0 or 1 }

local function older(a, b)
  local ams, aseq = string.match(a, '^(%d+)-(%d+)$')
  local bms, bseq = string.match(b, '^(%d+)-(%d+)$')
  if ams == bms then ams, bms = aseq, bseq end
  if #ams ~= #bms then return #ams < #bms end
  return ams < bms
end

local function field(flat, name)
  for i = 1, #flat, 2 do
    if flat[i] == name then return flat[i + 1] end
  end
end

local last = nil
if redis.call('EXISTS', KEYS[1]) == 1 then
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    if field(group, 'name') == ARGV[1] then return { 0, '', 0 } end
  end
  last = field(redis.call('XINFO', 'STREAM', KEYS[1]), 'last-generated-id')
  if last == '' then last = '0-0' end
end

local committed = redis.call('GET', KEYS[3]) or '0-0'
if not last or older(last, committed) or older(last, ARGV[2]) then
  redis.call('XADD', KEYS[2], '*', 'src', '0-0')
  redis.call('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0-0', 'MKSTREAM')
  redis.call('DEL', KEYS[3])
  return { 1, '0-0', 1 }
end
redis.call('XGROUP', 'CREATE', KEYS[1], ARGV[1], committed)
return { 1, committed, 0 }
