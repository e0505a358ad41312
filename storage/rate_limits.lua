-- The generic cell rate algorithm for several keys at once: domain/rate_limits.py: take.
-- ARGV has interval (microseconds), quota and wanted of each key; the answer has granted, left,
-- wait and whole (microseconds) of each. Redis's own clock is the one clock of all processes.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local answer = {}
for index, key in ipairs(KEYS) do
  local interval = tonumber(ARGV[index * 3 - 2])
  local quota = tonumber(ARGV[index * 3 - 1])
  local wanted = tonumber(ARGV[index * 3])
  local arrival = math.max(tonumber(redis.call('GET', key) or now), now)
  local span = quota * interval
  local room = math.max(0, math.floor((now + span - arrival) / interval))
  local granted = math.min(wanted, room)
  local wait = 0
  if granted == 0 then
    wait = arrival + interval - now - span
  else
    arrival = arrival + granted * interval
    redis.call('SET', key, string.format('%.0f', arrival),
      'PX', math.ceil((arrival - now) / 1000))
  end
  answer[#answer + 1] = granted
  answer[#answer + 1] = room - granted
  answer[#answer + 1] = wait
  answer[#answer + 1] = arrival - now
end
return answer
