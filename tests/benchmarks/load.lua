-- What wrk sends. Arguments: mode, file of targets, file of the body, a seed.
-- A target is a line: address, access token and entity tag, each behind a tab.
-- put: an entry under an id of its own; sync: a queue of 100 such entries; get: the address as it is.

local mode, targets, body, parts = nil, {}, "", {}

local function uuid()
  local r = math.random
  return string.format("%04x%04x-%04x-4%03x-%x%03x-%04x%04x%04x", r(0, 65535), r(0, 65535), r(0, 65535), r(0, 4095),
    r(8, 11), r(0, 4095), r(0, 65535), r(0, 65535), r(0, 65535))
end

local function read(name)
  local file = assert(io.open(name))
  local text = file:read("*a")
  file:close()
  return text
end

function init(args)
  mode = args[1]
  for line in read(args[2]):gmatch("[^\n]+") do
    local path, token, tag = line:match("^(.-)\t(.-)\t(.-)$")
    local headers = { ["Authorization"] = "Bearer " .. token, ["Content-Type"] = "application/json" }
    if tag ~= "" then headers["If-None-Match"] = tag end
    targets[#targets + 1] = { path = path, headers = headers }
  end
  body = read(args[3])
  for part in (body .. "@ID@"):gmatch("(.-)@ID@") do parts[#parts + 1] = part end
  math.randomseed(tonumber(args[4]))
end

function request()
  local target = targets[math.random(#targets)]
  if mode == "get" then return wrk.format("GET", target.path, target.headers) end
  if mode == "put" then return wrk.format("PUT", target.path .. uuid(), target.headers, body) end
  local text = { parts[1] }
  for i = 2, #parts do
    text[#text + 1] = uuid()
    text[#text + 1] = parts[i]
  end
  return wrk.format("POST", target.path, target.headers, table.concat(text))
end

function done(summary, latency)
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status
    + summary.errors.timeout
  io.stderr:write(string.format('{"requests":%d,"seconds":%f,"failed":%d,"p50_ms":%f,"p99_ms":%f}',
    summary.requests, summary.duration / 1e6, failed, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
