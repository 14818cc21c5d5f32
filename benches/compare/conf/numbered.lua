-- Every request asks for a URL of its own. The first number comes behind `--`.
local next_number

function init(args)
  next_number = tonumber(args[1])
end

function request()
  next_number = next_number + 1
  return wrk.format("GET", string.format("/p42/fill/%.0f", next_number))
end
