-- Counts a request of one key, or refuses it. What algorithm.rs does, in whole microseconds.
--
-- KEYS[1]  holds the key's cells, those of the first limit in front
-- ARGV[1]  what the request costs
-- ARGV     for each limit: algorithm, burst, ticks of its period, ticks of a step, count
--
-- Gives 1 or 0 for admitted or not, the time, and the cells. Nothing is written before all is
-- decided, and then by one command: where Redis is full, nothing has been taken.
local COUNTS = 16
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local cost = tonumber(ARGV[1])
local cells = {}
for number in string.gmatch(redis.call('GET', KEYS[1]) or '', '%d+') do
  cells[#cells + 1] = tonumber(number)
end
-- Whether the cells are those of a later time: the clock was set back.
local ahead = false

-- Each brings the cells from `at` on up to now; gives how much is used, and how many cells
-- there are.
local settle = {
  gcra = function(at, limit)
    local most = limit.step * limit.burst
    local level = math.max((cells[at] or 0) - now, 0)
    if level > most then level, ahead = most, true end
    cells[at] = now + level
    return math.ceil(level / limit.step), 1
  end,
  token_bucket = function(at, limit)
    local filled = cells[at] or now
    if filled > now then filled, ahead = now, true end
    local fills = math.floor((now - filled) / limit.per)
    local missing = math.max((cells[at + 1] or 0) - fills * limit.count, 0)
    cells[at] = missing == 0 and now or filled + fills * limit.per
    cells[at + 1] = missing
    return missing, 2
  end,
  fixed_window = function(at, limit)
    local start = now - now % limit.per
    if start > (cells[at] or 0) then cells[at + 1] = 0 end
    if start < (cells[at] or 0) then ahead = true end
    cells[at] = start
    return cells[at + 1], 2
  end,
  sliding_window = function(at, limit)
    local slot = math.floor(now / limit.step)
    local passed = math.min(math.max(slot - (cells[at] or 0), 0), COUNTS)
    local used = 0
    for age = COUNTS, 1, -1 do
      cells[at + age] = age > passed and cells[at + age - passed] or 0
      used = used + cells[at + age]
    end
    if slot < (cells[at] or 0) then ahead = true end
    cells[at] = slot
    return used, 1 + COUNTS
  end,
}

-- In how many ticks at most nothing is used, after all cells have been brought up to now.
local whole = {
  gcra = function(at) return cells[at] - now end,
  token_bucket = function(at, limit)
    return cells[at] + math.ceil(cells[at + 1] / limit.count) * limit.per - now
  end,
  fixed_window = function(at, limit) return cells[at] + limit.per - now end,
  sliding_window = function(at, limit) return (COUNTS + 1) * limit.step end,
}

local limits, at, admitted = {}, 1, true
for i = 2, #ARGV, 5 do
  local limit = {
    algorithm = ARGV[i], at = at, burst = tonumber(ARGV[i + 1]), per = tonumber(ARGV[i + 2]),
    step = tonumber(ARGV[i + 3]), count = tonumber(ARGV[i + 4]),
  }
  local used, width = settle[limit.algorithm](at, limit)
  if used + cost > limit.burst then admitted = false end
  at = at + width
  limits[#limits + 1] = limit
end

local lasts = 0
for _, limit in ipairs(limits) do
  if admitted then
    local first = limit.algorithm == 'gcra'
    local cell = first and limit.at or limit.at + 1
    cells[cell] = cells[cell] + (first and cost * limit.step or cost)
  end
  lasts = math.max(lasts, whole[limit.algorithm](limit.at, limit))
end

-- Of a refusal there is nothing to remember, but that the cells must not stay those of a later time.
local texts = {}
for i, cell in ipairs(cells) do texts[i] = string.format('%.0f', cell) end
if ahead or admitted and cost > 0 then
  redis.call('SET', KEYS[1], table.concat(texts, ' '), 'PX', math.max(math.ceil(lasts / 1000), 1))
end

local answer = { admitted and 1 or 0, now }
for i, cell in ipairs(cells) do answer[i + 2] = cell end
return answer
