-- What the clients of wrk send, and whether each answer is one that an honest host gives.
--
-- Arguments: the token of a caller without limits, and that of one with few requests a minute.

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  local function submit(token)
    local headers = { ["Authorization"] = "Bearer " .. token, ["Content-Type"] = "application/json" }
    local body = '{"executor": "transform_executor", "inputs": {"filter": "1"}, "run_at": "2999-01-01T00:00:00Z"}'
    return wrk.format("POST", "/api/v1/jobs", headers, body)
  end
  local look = wrk.format("GET", "/api/v1/jobs?limit=1", { ["Authorization"] = "Bearer " .. args[1] })
  -- Of eight requests, six submit, one is of the caller with few, and one looks.
  requests = { submit(args[1]), submit(args[2]), look }
  sent, accepted, seen, refused, wrong, first_wrong = 0, 0, 0, 0, 0, ""
end

function request()
  sent = sent + 1
  if sent % 8 == 0 then return requests[2] end
  if sent % 8 == 4 then return requests[3] end
  return requests[1]
end

function response(status, headers, body)
  local wait = tonumber(headers["retry-after"])
  if status == 202 then
    accepted = accepted + 1
  elseif status == 200 then
    seen = seen + 1
  elseif status == 429 and wait and wait >= 1 then
    refused = refused + 1
  else
    wrong = wrong + 1
    if first_wrong == "" then first_wrong = status .. " " .. body end
  end
end

function done(summary, latency)
  local function sum(name)
    local all = 0
    for _, thread in ipairs(threads) do all = all + thread:get(name) end
    return all
  end
  for _, thread in ipairs(threads) do
    local text = thread:get("first_wrong")
    if text ~= "" then io.stderr:write("a wrong answer: " .. text .. "\n") end
  end
  local errors = summary.errors
  io.stderr:write(string.format(
    '{"accepted": %d, "seen": %d, "refused": %d, "wrong": %d, "broken": %d, "p99_ms": %.1f}\n',
    sum("accepted"), sum("seen"), sum("refused"), sum("wrong"),
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(99) / 1000))
end
