local room = 262144
local function said_of(at)
  for k, p in ipairs(KEYS) do
    local name, secret = p .. 'a:' .. ARGV[at + 2 * k], ARGV[at + 2 * k + 1]
    local a = redis.call('HMGET', name, 'sealed', 'asked', 'token')
    if a[1] and a[2] and a[3] then
      local since = '0'
      if secret ~= '' then since = redis.call('GET', p .. 's:' .. secret) end
      local is_there = a[3] == '' or redis.call('EXISTS', p .. 't:' .. a[3]) == 1
      local is_in_force = a[3] == '' or (since and tonumber(since) <= tonumber(a[2]))
      if is_there and is_in_force and #a[1] <= 43740 then
        if #a[1] > room then return 'h' end
        room = room - #a[1]
        return tostring(k - 1) .. a[1]
      end
      redis.call('DEL', name)
    end
  end
  for k, p in ipairs(KEYS) do
    local owner = redis.call('GET', p .. 'l:' .. ARGV[at + 2 * k])
    if owner and owner ~= ARGV[at] then return 'h' end
  end
  redis.call('SET', KEYS[1] .. 'l:' .. ARGV[at + 2], ARGV[at], 'PX', ARGV[at + 1])
  return 'l'
end
local said = {}
for at = 1, #ARGV, 2 + 2 * #KEYS do said[#said + 1] = said_of(at) end
return said
