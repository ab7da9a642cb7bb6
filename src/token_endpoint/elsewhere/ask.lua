for i = 3, #ARGV, 2 do
  local p = KEYS[(i - 1) / 2]
  local at = p .. 'a:' .. ARGV[i]
  local a = redis.call('HMGET', at, 'sealed', 'asked', 'token')
  if a[1] and a[2] and a[3] then
    local since = '0'
    if ARGV[i + 1] ~= '' then since = redis.call('GET', p .. 's:' .. ARGV[i + 1]) end
    local is_there = a[3] == '' or redis.call('EXISTS', p .. 't:' .. a[3]) == 1
    if is_there and (a[3] == '' or (since and tonumber(since) <= tonumber(a[2]))) then
      return { 'answer', tostring((i - 3) / 2), a[1] }
    end
    redis.call('DEL', at)
  end
end
for i = 3, #ARGV, 2 do
  local owner = redis.call('GET', KEYS[(i - 1) / 2] .. 'l:' .. ARGV[i])
  if owner and owner ~= ARGV[1] then return { 'held' } end
end
redis.call('SET', KEYS[1] .. 'l:' .. ARGV[3], ARGV[1], 'PX', ARGV[2])
return { 'lead' }
