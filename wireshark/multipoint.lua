-- Wireshark's and tshark's view of multipoint sessions: control messages over TCP, tagged datagrams over UDP.
-- The layouts are those of docs/protocol.md, how to use it is in docs/wireshark.md.
--
-- A connection is known by the Hello it begins with, a datagram by its first four bytes: neither has a port of its own.

local MAGIC, MAGIC_BYTE = 0xd74d504c, 0xd7
local HELLO_SIZE, HEADER_SIZE = 23, 4
local DATAGRAM_VERSION = 0xd1000000 -- version 1, and three bytes that are 0
local DATAGRAM_HEADER_SIZE = 40

local multipoint = Proto("multipoint", "Multipoint sessions")

-- Fields, by the last part of their name: f.kind is multipoint.kind

local f = {}

local function field(make, name, ...)
  f[name] = make("multipoint." .. name, ...)
end

local provider_classes = {[1] = "MCAST", [2] = "SSM", [3] = "P2MP", [4] = "CONF"}
local planes = {[0] = "leaf", [1] = "root"}
local roles = {[1] = "sender only", [2] = "receiver only", [4] = "both"}
local kinds = {
  "Proof", "Join", "Invite", "Accept", "Reject", "Confirm", "Cancel", "Leave", "Close", "Heartbeat", "Chat",
  "FlowRequest", "FlowAnswer",
}

field(ProtoField.bytes, "magic", "Magic")
field(ProtoField.uint8, "major", "Major version")
field(ProtoField.uint8, "minor", "Minor version")
field(ProtoField.bool, "wants_proof", "Wants a proof")
field(ProtoField.bytes, "nonce", "Nonce")
field(ProtoField.uint8, "kind", "Kind", base.DEC, kinds)
field(ProtoField.uint8, "flags", "Flags", base.HEX)
field(ProtoField.uint16, "length", "Length of the body")
field(ProtoField.bytes, "tag", "Tag")
field(ProtoField.uint8, "provider", "Provider class", base.DEC, provider_classes)
field(ProtoField.uint8, "control_plane", "Control plane", base.DEC, planes)
field(ProtoField.uint8, "data_plane", "Data plane", base.DEC, planes)
field(ProtoField.uint8, "role", "Role", base.DEC, roles)
field(ProtoField.uint16, "capacity", "Capacity for callee data")
field(ProtoField.uint16, "code", "WSA code")
field(ProtoField.uint64, "session", "Session", base.HEX)
field(ProtoField.uint32, "member", "Member")
field(ProtoField.bytes, "group_key", "Group key")
field(ProtoField.bytes, "member_key", "Member key")
field(ProtoField.uint32, "heartbeat_ms", "Heartbeat time in ms")
field(ProtoField.uint32, "silence_ms", "Silence time in ms")
field(ProtoField.bool, "has_side_chats", "Has side chats")
field(ProtoField.uint64, "stamp", "Stamp")
field(ProtoField.uint64, "echo", "Echo")
field(ProtoField.uint32, "number", "Number")
for _, name in ipairs({"caller_data", "callee_data", "disconnect_data", "chat", "objects"}) do
  field(ProtoField.bytes, name, (name:gsub("_", " "):gsub("^%l", string.upper)))
end
for _, name in ipairs({"data_address", "group", "root"}) do
  local label = name:gsub("_", " "):gsub("^%l", string.upper)
  field(ProtoField.ipv4, name .. ".ipv4", label)
  field(ProtoField.ipv6, name .. ".ipv6", label)
  field(ProtoField.uint16, name .. ".port", label .. ", port")
end
local flowspec = {
  "TokenRate", "TokenBucketSize", "PeakBandwidth", "Latency", "DelayVariation", "ServiceType", "MaxSduSize",
  "MinimumPolicedSize",
}
for _, direction in ipairs({"sending", "receiving"}) do
  for _, name in ipairs(flowspec) do
    field(ProtoField.uint32, direction .. "." .. name, direction:gsub("^%l", string.upper) .. " " .. name)
  end
end
field(ProtoField.uint8, "version", "Version", base.HEX)
field(ProtoField.bytes, "reserved", "Reserved")
field(ProtoField.uint32, "sender", "Sender")
field(ProtoField.uint64, "sequence", "Sequence")
field(ProtoField.bytes, "payload", "Payload")
multipoint.fields = f

local malformed = ProtoExpert.new("multipoint.malformed", "Malformed", expert.group.MALFORMED, expert.severity.ERROR)
multipoint.experts = {malformed}

-- A reader takes bytes from the front of a body. What is no message ends in an error with the reason as a table.

local Reader = {}
Reader.__index = Reader

local function refuse(...)
  error({reason = string.format(...)}, 0)
end

function Reader:take(count)
  if self.at + count > self.stop then
    refuse("%d bytes are wanted, %d are left", count, self.stop - self.at)
  end
  local range = self.tvb:range(self.at, count)
  self.at = self.at + count
  return range
end

-- Codecs: each returns a function that takes a value from a reader and adds it to a tree.

local function number(name, size, is_allowed)
  return function(reader, tree)
    local range = reader:take(size)
    tree:add(f[name], range)
    if is_allowed and not is_allowed(range:uint()) then
      refuse("%d is no %s", range:uint(), name)
    end
  end
end

local function choice(name, values)
  return number(name, 1, function(value) return values[value] ~= nil end)
end

local function truth(name)
  return number(name, 1, function(value) return value <= 1 end)
end

local function bytes(name, size)
  return function(reader, tree)
    tree:add(f[name], reader:take(size))
  end
end

local function up_to(limit, name)
  return function(reader, tree)
    local length = reader:take(2):uint()
    if length > limit then
      refuse("%s has at most %d bytes, %d are announced", name, limit, length)
    end
    if length > 0 then
      tree:add(f[name], reader:take(length))
    end
  end
end

local function address(name)
  return function(reader, tree)
    local version = reader:take(1):uint()
    if version ~= 4 and version ~= 6 then
      refuse("there is no IPv%d", version)
    end
    tree:add(f[name .. ".ipv" .. version], reader:take(version == 4 and 4 or 16))
    tree:add(f[name .. ".port"], reader:take(2))
  end
end

local function flows(reader, tree)
  for _, direction in ipairs({"sending", "receiving"}) do
    for _, name in ipairs(flowspec) do
      tree:add_le(f[direction .. "." .. name], reader:take(4))
    end
  end
  up_to(4096, "objects")(reader, tree)
end

local function maybe(codec)
  return function(reader, tree)
    local is_there = reader:take(1):uint()
    if is_there > 1 then
      refuse("%d is neither 0 nor 1", is_there)
    elseif is_there == 1 then
      codec(reader, tree)
    end
  end
end

local provider = choice("provider", provider_classes)
local control_plane, data_plane = choice("control_plane", planes), choice("data_plane", planes)
local role = choice("role", roles)
local capacity = number("capacity", 2, function(value) return value <= 1024 end)
local caller_data, callee_data = up_to(1024, "caller_data"), up_to(1024, "callee_data")
local disconnect_data = up_to(1024, "disconnect_data")

-- By kind: the most bytes of a body, and its fields.
local bodies = {
  {most = 32, fields = {bytes("tag", 32)}},
  {most = 5214, fields = {
    provider, control_plane, data_plane, role, address("data_address"), capacity, caller_data, maybe(flows),
  }},
  {most = 5203, fields = {
    provider, control_plane, data_plane, role, number("session", 8), capacity, caller_data, maybe(flows),
  }},
  {most = 5211, fields = {control_plane, data_plane, maybe(address("data_address")), callee_data, maybe(flows)}},
  {most = 2, fields = {number("code", 2)}},
  {most = 131, fields = {
    number("session", 8), number("member", 4), address("group"), address("root"), bytes("group_key", 32),
    bytes("member_key", 32), number("heartbeat_ms", 4), number("silence_ms", 4), truth("has_side_chats"),
    number("sequence", 8),
  }},
  {most = 0, fields = {}},
  {most = 1026, fields = {disconnect_data}},
  {most = 1026, fields = {disconnect_data}},
  {most = 16, fields = {number("stamp", 8), number("echo", 8)}},
  {most = 65489, fields = {up_to(65487, "chat")}},
  {most = 4166, fields = {number("number", 4), flows}},
  {most = 4168, fields = {number("number", 4), number("code", 2), flows}},
}

local function read_all(codecs, reader, tree)
  for _, codec in ipairs(codecs) do
    codec(reader, tree)
  end
  if reader.at < reader.stop then
    refuse("%d bytes are left over", reader.stop - reader.at)
  end
end

local function tell_malformed(tree, said, problem)
  tree:add_proto_expert_info(malformed, "Malformed: " .. problem)
  said[#said + 1] = "malformed"
end

-- Add the fields between start and stop to a tree, and what is wrong with them. Said is what the list of packets shows.
local function add_fields(codecs, tvb, start, stop, tree, said)
  local reader = setmetatable({tvb = tvb, at = start, stop = stop}, Reader)
  local is_read, problem = pcall(read_all, codecs, reader, tree)
  if not is_read then
    if type(problem) ~= "table" then
      error(problem, 0)
    end
    tell_malformed(tree, said, problem.reason)
  end
end

local hello = {
  bytes("magic", 4), number("major", 1), number("minor", 1), truth("wants_proof"), bytes("nonce", 16),
}

local function add_hello(tvb, at, size, tree, said)
  said[#said + 1] = "Hello"
  add_fields(hello, tvb, at, at + size, tree:add(multipoint, tvb:range(at, size), "Hello"), said)
end

local function add_frame(tvb, at, size, tree, said)
  local kind = tvb:range(at, 1):uint()
  said[#said + 1] = kinds[kind]
  local branch = tree:add(multipoint, tvb:range(at, size), kinds[kind])
  branch:add(f.kind, tvb:range(at, 1))
  branch:add(f.flags, tvb:range(at + 1, 1))
  branch:add(f.length, tvb:range(at + 2, 2))
  add_fields(bodies[kind].fields, tvb, at + HEADER_SIZE, at + size, branch, said)
end

-- Why what begins here can be no frame, whatever follows; nil: it may be one. Only what is there is looked at.
local function problem_of_frame(tvb, at, left)
  local kind = tvb:range(at, 1):uint()
  if kinds[kind] == nil then
    return string.format("there is no message of kind %d", kind)
  elseif left >= 2 and tvb:range(at + 1, 1):uint() ~= 0 then
    return "its second byte is not 0"
  elseif left >= HEADER_SIZE and tvb:range(at + 2, 2):uint() > bodies[kind].most then
    return string.format("the body of %s has at most %d bytes", kinds[kind], bodies[kind].most)
  end
end

-- Add the message that begins here, and return its size; nil and how many bytes are still wanted if it is cut.
local function add_message(tvb, at, tree, said)
  local left = tvb:len() - at
  local is_hello = tvb:range(at, 1):uint() == MAGIC_BYTE
  local problem = not is_hello and problem_of_frame(tvb, at, left)
  if problem then
    tell_malformed(tree:add(multipoint, tvb:range(at), "No message"), said, problem)
    return left
  elseif not is_hello and left < HEADER_SIZE then
    return nil, DESEGMENT_ONE_MORE_SEGMENT
  end
  local size = is_hello and HELLO_SIZE or HEADER_SIZE + tvb:range(at + 2, 2):uint()
  if size > left then
    return nil, size - left
  end
  local add = is_hello and add_hello or add_frame
  add(tvb, at, size, tree, said)
  return size
end

function multipoint.dissector(tvb, pinfo, tree)
  local at, said = 0, {}
  while at < tvb:len() do
    local size, wanted = add_message(tvb, at, tree, said)
    if size == nil then
      pinfo.desegment_offset, pinfo.desegment_len = at, wanted
      break
    end
    at = at + size
  end
  if #said > 0 then
    pinfo.cols.protocol = "MULTIPOINT"
    -- With a blank at the end: what another part of the same segment says is put behind it.
    pinfo.cols.info = table.concat(said, " ") .. " "
  end
  return tvb:len()
end

local function is_control(tvb, pinfo, tree)
  if tvb:len() < 4 or tvb:range(0, 4):uint() ~= MAGIC then
    return false
  end
  pinfo.conversation = multipoint
  multipoint.dissector(tvb, pinfo, tree)
  return true
end

local datagram = {
  number("version", 1), bytes("reserved", 3), number("sender", 4), number("session", 8), number("sequence", 8),
  bytes("tag", 16),
}

local function is_data(tvb, pinfo, tree)
  if tvb:len() < DATAGRAM_HEADER_SIZE or tvb:range(0, 4):uint() ~= DATAGRAM_VERSION then
    return false
  end
  local sender, size = tvb:range(4, 4):uint(), tvb:len() - DATAGRAM_HEADER_SIZE
  local title = "Data of " .. (sender == 0 and "the root" or "member " .. sender)
  pinfo.cols.protocol = "MULTIPOINT"
  pinfo.cols.info = string.format("%s, %d bytes", title, size)
  local branch = tree:add(multipoint, tvb:range(), title)
  add_fields(datagram, tvb, 0, DATAGRAM_HEADER_SIZE, branch, {})
  if size > 0 then
    branch:add(f.payload, tvb:range(DATAGRAM_HEADER_SIZE))
  end
  return true
end

multipoint:register_heuristic("tcp", is_control)
multipoint:register_heuristic("udp", is_data)
-- For a connection whose beginning was not captured: Analyze, Decode As.
DissectorTable.get("tcp.port"):add_for_decode_as(multipoint)
