local time = redis.call('TIME')
local now = tonumber(time[1])
local state = redis.call('HMGET', KEYS[1], 'era', 'count', 'last', 'gone', 'kept')
local era, count, newest = state[1], tonumber(state[2] or -1), state[3] or '0'
local gone, kept = tonumber(state[4] or 0), tonumber(state[5] or 0)
local changes = math.abs(now - kept) > 8640000
if not era or redis.call('ZCARD', KEYS[2]) ~= count or redis.call('ZCARD', KEYS[3]) ~= count then
  era, newest, gone, changes = ARGV[1], '0', 0, true
  redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
end
local last = tonumber(newest)
local known = tonumber(ARGV[5])
if ARGV[2] == era and known > gone and known ~= last then
  if redis.call('ZCOUNT', KEYS[3], known, known) == 0 then
    era, changes = ARGV[1], true
  end
end
local ended = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - 60, 'LIMIT', 0, 500)
for i = 1, #ended do
  gone = math.max(gone, tonumber(redis.call('ZSCORE', KEYS[3], ended[i])))
end
if #ended > 0 then
  changes = true
  redis.call('ZREM', KEYS[2], unpack(ended))
  redis.call('ZREM', KEYS[3], unpack(ended))
end
local at = 7
for i = 1, tonumber(ARGV[6]) do
  local has_room = redis.call('HLEN', KEYS[4]) < 64
  if has_room or redis.call('HEXISTS', KEYS[4], ARGV[at]) == 1 then
    redis.call('HSET', KEYS[4], ARGV[at], ARGV[at + 1])
    redis.call('EXPIRE', KEYS[4], 120)
  end
  at = at + 2
end
local refused = 0
for i = at, #ARGV, 3 do
  if not redis.call('ZSCORE', KEYS[2], ARGV[i]) then
    if redis.call('ZCARD', KEYS[2]) < tonumber(ARGV[i + 2]) then
      changes = true
      redis.call('ZADD', KEYS[2], ARGV[i + 1], ARGV[i])
      last = math.max(last + 1, now * 1000000 + time[2])
      redis.call('ZADD', KEYS[3], last, ARGV[i])
    else
      refused = refused + 1
    end
  end
end
if changes then
  count = redis.call('ZCARD', KEYS[2])
  redis.call('HSET', KEYS[1], 'era', era, 'last', last, 'gone', gone, 'count', count, 'kept', now)
  for i = 1, 3 do redis.call('EXPIRE', KEYS[i], 34560000) end
  newest = redis.call('HGET', KEYS[1], 'last')
end
local out = { era, newest, tostring(refused), '0' }
if tonumber(ARGV[4]) > 0 then
  local notes = redis.call('HVALS', KEYS[4])
  local count = math.min(#notes, 64)
  out[4] = tostring(count)
  for i = 1, count do out[i + 4] = notes[i] end
  local from = ARGV[2] == era and ARGV[3] or '0'
  if from ~= newest then
    local found =
      redis.call('ZRANGEBYSCORE', KEYS[3], '(' .. from, '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[4])
    for i = 1, #found do out[count + i + 4] = found[i] end
  end
end
return out
