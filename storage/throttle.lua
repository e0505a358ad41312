-- Attempts at secrets: domain/throttle.py, attempt and succeed. KEYS are budgets; ARGV[1] says which;
-- then, of each budget: for an attempt free, first, longest and forget (milliseconds); for a success
-- 1 if it makes the budget new. An attempt answers how long to wait, 0 if it was charged.
if ARGV[1] == 'succeed' then
  for index, key in ipairs(KEYS) do
    local failures = tonumber(redis.call('HGET', key, 'failures') or 0)
    if ARGV[index + 1] == '1' or failures <= 1 then
      redis.call('DEL', key)
    else
      redis.call('HINCRBY', key, 'failures', -1)
    end
  end
  return 0
end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local wait = 0
for index, key in ipairs(KEYS) do
  local free, first, longest = ARGV[index * 4 - 2], ARGV[index * 4 - 1], ARGV[index * 4]
  local found = redis.call('HMGET', key, 'failures', 'at')
  local failures, at = tonumber(found[1] or 0), tonumber(found[2] or 0)
  if failures >= tonumber(free) then
    local pause = math.min(tonumber(longest), first * 2 ^ math.min(failures - free, 40))
    wait = math.max(wait, at + pause - now)
  end
end
if wait > 0 then
  return wait
end
for index, key in ipairs(KEYS) do
  redis.call('HINCRBY', key, 'failures', 1)
  redis.call('HSET', key, 'at', string.format('%.0f', now))
  redis.call('PEXPIRE', key, ARGV[index * 4 + 1])
end
return 0
