local p = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', p .. 'ends', '-inf', now)
local full = 0
local function stays(key, value, ms)
  if redis.call('SET', key, value, 'NX', 'PX', ms) then return end
  if redis.call('PTTL', key) < tonumber(ms) then redis.call('PEXPIRE', key, ms) end
end
for i = 1, #ARGV, 9 do
  local what, name, owner, ms, asked = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  local at = p .. 'a:' .. name
  if what == 'token' or what == 'secret' then
    for _, k in ipairs(KEYS) do redis.call('DEL', k .. what:sub(1, 1) .. ':' .. name) end
  elseif what == 'purge' then
    for _, k in ipairs(KEYS) do
      redis.call('DEL', k .. 'a:' .. name)
      redis.call('ZREM', k .. 'ends', name)
    end
  elseif what == 'keep' and tonumber(ms) > 0 then
    local token, secret = ARGV[i + 6], ARGV[i + 7]
    local before = tonumber(redis.call('HGET', at, 'asked') or 0)
    local has_token = before > 0 and redis.call('HGET', at, 'token') ~= ''
    local has_room = before > 0 or redis.call('ZCARD', p .. 'ends') < tonumber(ARGV[i + 8])
    if not has_room then
      full = full + 1
    elseif before <= tonumber(asked) and not (has_token and token == '') then
      redis.call('HSET', at, 'sealed', ARGV[i + 5], 'asked', asked, 'token', token)
      redis.call('PEXPIRE', at, ms)
      redis.call('ZADD', p .. 'ends', now + ms, name)
      if token ~= '' then stays(p .. 't:' .. token, '1', ms) end
      if token ~= '' and secret ~= '' then stays(p .. 's:' .. secret, asked, ms) end
    end
  end
  if owner ~= '' and redis.call('GET', p .. 'l:' .. name) == owner then
    redis.call('DEL', p .. 'l:' .. name)
  end
end
redis.call('PEXPIRE', p .. 'ends', 600000)
return { tostring(full) }
