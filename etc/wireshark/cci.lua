-- The CCI parameter exchange (docs/protocol.md) for Wireshark and tshark. An observer of the first bytes takes a connection that
-- starts with it for an unknown one; with this file OFFER and ACCEPT are named, and what follows an ACCEPT that says TLS goes
-- to the TLS dissector from exactly that byte. A start with TLS is left to TLS.
--
--     tshark -X lua_script:cci.lua -r FILE         or copy it to the folder of personal Lua plugins (Help, About, Folders)

local cci = Proto("cci", "CCI parameter exchange")

local HEADER = 16
local MOST = 4096
local MAGIC = 0x43434950
local TYPES = { [1] = "OFFER", [2] = "ACCEPT", [3] = "REFUSE", [4] = "CONFIRM" }
local CPUS = { [1] = "UTF-8", [2] = "EBCDIC, code page 1047" }
local OFFERED = { [0] = "none", [1] = "off", [2] = "on", [3] = "required", [4] = "inside" }
local ANSWERED = { [0] = "clear", [1] = "TLS follows", [2] = "inside TLS already" }
local REASONS = {
	[1] = "bad message", [2] = "version not supported", [3] = "security required, and the connecting side has none",
	[4] = "security not offered here, and the connecting side requires it", [5] = "unknown target",
	[6] = "target cannot be reached", [7] = "not permitted", [8] = "busy: a limit is reached", [9] = "shutting down",
	[10] = "data before the answer", [11] = "timed out", [12] = "this CCI name has been secured before, and may not go back",
	[13] = "the clear exchange was altered", [14] = "no TLS version in common",
}
local PARAMETERS = {
	[1] = "security", [2] = "sysid", [3] = "target", [4] = "agent", [5] = "text", [6] = "verifier", [7] = "tls",
	[8] = "connection", [9] = "hops",
}
local VERSIONS = { [0x0301] = "TLS 1.0", [0x0302] = "TLS 1.1", [0x0303] = "TLS 1.2", [0x0304] = "TLS 1.3" }
-- Which parameter stands in which message (bits of the types), and the bounds of its size in UTF-8 and EBCDIC.
local IN = { [1] = 6, [2] = 6, [3] = 2, [4] = 6, [5] = 8, [6] = 16, [7] = 2, [8] = 6, [9] = 2 }
local SIZES = { [1] = { 1, 1 }, [2] = { 1, 64 }, [3] = { 1, 64 }, [4] = { 1, 256 }, [5] = { 1, 1020 }, [6] = { 32, 32 }, [7] = { 4, 4 },
	[8] = { 16, 16 }, [9] = { 1, 1 } }
local REQUIRED = { [1] = { 1, 2 }, [2] = { 1, 2 }, [3] = {}, [4] = { 6 } }

local f = {
	magic = ProtoField.string("cci.magic", "Magic"),
	version = ProtoField.uint8("cci.version", "Version"),
	type = ProtoField.uint8("cci.type", "Type", base.DEC, TYPES),
	cpu = ProtoField.uint8("cci.cpu", "CPU", base.DEC, CPUS),
	flags = ProtoField.uint8("cci.flags", "Flags", base.HEX),
	length = ProtoField.uint16("cci.length", "Length"),
	reason = ProtoField.uint16("cci.reason", "Reason", base.DEC, REASONS),
	maxru = ProtoField.uint32("cci.maxru", "Largest data unit"),
	id = ProtoField.uint16("cci.parameter.id", "Id", base.HEX),
	size = ProtoField.uint16("cci.parameter.size", "Size"),
	value = ProtoField.bytes("cci.parameter.value", "Value"),
	offered = ProtoField.uint8("cci.offered", "Security offered", base.DEC, OFFERED),
	answered = ProtoField.uint8("cci.answered", "Security answered", base.DEC, ANSWERED),
	sysid = ProtoField.string("cci.sysid", "System id"),
	target = ProtoField.string("cci.target", "Target"),
	agent = ProtoField.string("cci.agent", "Agent"),
	text = ProtoField.string("cci.text", "Text"),
	verifier = ProtoField.bytes("cci.verifier", "Verifier"),
	lowest = ProtoField.uint16("cci.tls.lowest", "Lowest TLS version", base.HEX, VERSIONS),
	highest = ProtoField.uint16("cci.tls.highest", "Highest TLS version", base.HEX, VERSIONS),
	connection = ProtoField.bytes("cci.connection", "Connection id"),
	hops = ProtoField.uint8("cci.hops", "Hops left"),
	data = ProtoField.bytes("cci.data", "Data after the exchange"),
}
cci.fields = f

local malformed = ProtoExpert.new("cci.malformed", "Bad CCI message", expert.group.MALFORMED, expert.severity.ERROR)
local refused = ProtoExpert.new("cci.refused", "Refused", expert.group.RESPONSE_CODE, expert.severity.NOTE)
local early = ProtoExpert.new("cci.early", "Data before the answer", expert.group.SECURITY, expert.severity.WARN)
cci.experts = { malformed, refused, early }

cci.prefs.ports = Pref.range("TCP ports", "1202,1720,1721", "Ports on which a connection starts with the exchange", 65535)

local TEXTS = { [2] = f.sysid, [3] = f.target, [4] = f.agent, [5] = f.text }

-- Returns what of a message is wrong, or nil.
local function add_value(tree, value, id, kind, cpu)
	local size = value:len()
	local bounds = SIZES[id]
	if bounds == nil then
		if size > 0 then tree:add(f.value, value) end
		return id >= 0x8000 and "a critical parameter that is not known" or id == 0 and "parameter id 0" or nil
	end
	if size < bounds[1] or size > bounds[2] then
		if size > 0 then tree:add(f.value, value) end
		return "size of " .. PARAMETERS[id]
	end
	if id == 1 then
		local known = kind == 2 and ANSWERED or OFFERED
		tree:add(kind == 2 and f.answered or f.offered, value)
		return known[value:uint()] == nil and "security has no such value" or nil
	elseif TEXTS[id] ~= nil then
		tree:add_packet_field(TEXTS[id], value, cpu == 2 and ENC_EBCDIC_CP037 or ENC_UTF_8 + ENC_STRING)
	elseif id == 6 then
		tree:add(f.verifier, value)
	elseif id == 7 then
		tree:add(f.lowest, value(0, 2))
		tree:add(f.highest, value(2, 2))
		return value(0, 2):uint() > value(2, 2):uint() and "lowest TLS version above the highest" or nil
	elseif id == 8 then
		tree:add(f.connection, value)
	else
		tree:add(f.hops, value)
	end
end

local function complain(tree, wrong, words)
	if words ~= nil then
		tree:add_proto_expert_info(malformed, "Bad CCI message: " .. words)
		wrong[#wrong + 1] = words
	end
end

local function add_parameters(message, tree, kind, cpu, wrong)
	local at, seen = HEADER, {}
	while at < message:len() do
		if message:len() - at < 4 then
			return complain(tree, wrong, "a parameter is cut off")
		end
		local id, size = message(at, 2):uint(), message(at + 2, 2):uint()
		local name = PARAMETERS[id] or string.format("unknown parameter 0x%04x", id)
		if size > message:len() - at - 4 then
			return complain(tree, wrong, "the size of " .. name .. " runs past the message")
		end
		local branch = tree:add(cci, message(at, 4 + size), "Parameter: " .. name)
		branch:add(f.id, message(at, 2))
		branch:add(f.size, message(at + 2, 2))
		complain(branch, wrong, seen[id] and name .. " is there twice" or nil)
		local value = size > 0 and message(at + 4, size):tvb() or ByteArray.new():tvb("empty")
		complain(branch, wrong, add_value(branch, value(), id, kind, cpu))
		if IN[id] ~= nil and TYPES[kind] ~= nil and math.floor(IN[id] / 2 ^ kind) % 2 == 0 then
			complain(branch, wrong, name .. " does not belong into " .. TYPES[kind])
		end
		seen[id] = true
		at = at + 4 + size
	end
	for _, id in ipairs(REQUIRED[kind] or {}) do
		complain(tree, wrong, not seen[id] and PARAMETERS[id] .. " is missing" or nil)
	end
end

local function add_header(message, tree, wrong)
	local kind, reason, maxru = message(5, 1):uint(), message(10, 2):uint(), message(12, 4):uint()
	tree:add(f.magic, message(0, 4))
	local version = tree:add(f.version, message(4, 1))
	complain(version, wrong, message(4, 1):uint() ~= 1 and "version" or nil)
	local item = tree:add(f.type, message(5, 1))
	complain(item, wrong, TYPES[kind] == nil and "type" or nil)
	item = tree:add(f.cpu, message(6, 1))
	complain(item, wrong, CPUS[message(6, 1):uint()] == nil and "cpu" or nil)
	item = tree:add(f.flags, message(7, 1))
	complain(item, wrong, message(7, 1):uint() ~= 0 and "flags" or nil)
	tree:add(f.length, message(8, 2))
	item = tree:add(f.reason, message(10, 2))
	if kind == 3 then
		item:add_proto_expert_info(refused, "Refused: " .. (REASONS[reason] or "reason " .. reason))
	end
	complain(item, wrong, (kind == 3) ~= (reason ~= 0) and "reason" or nil)
	item = tree:add(f.maxru, message(12, 4))
	local none = kind == 3 or kind == 4
	complain(item, wrong, (none and maxru ~= 0 or not none and (maxru < 256 or maxru > 1048576)) and "maxru" or nil)
	return kind
end

-- The value of parameter 1, or nil.
local function security_of(message)
	local at = HEADER
	while at + 4 <= message:len() do
		local id, size = message(at, 2):uint(), message(at + 2, 2):uint()
		if at + 4 + size > message:len() then return nil end
		if id == 1 then return size == 1 and message(at + 4, 1):uint() or nil end
		at = at + 4 + size
	end
end

local function add_message(message, pinfo, root)
	local wrong = {}
	local tree = root:add(cci, message)
	local kind = add_header(message, tree, wrong)
	local name = TYPES[kind] or "type " .. kind
	tree:set_text("CCI " .. name)
	add_parameters(message, tree, kind, message(6, 1):uint(), wrong)
	local security = security_of(message)
	local words = name
	if kind == 1 then
		words = words .. " (" .. (OFFERED[security] or "?") .. ")"
	elseif kind == 2 then
		words = words .. " (" .. (ANSWERED[security] or "?") .. ")"
	elseif kind == 3 then
		words = words .. " " .. message(10, 2):uint() .. " (" .. (REASONS[message(10, 2):uint()] or "?") .. ")"
	end
	pinfo.cols.info:append((tostring(pinfo.cols.info) == "" and "" or ", ") .. words .. (#wrong > 0 and " [bad message]" or ""))
	return kind, security
end

-- --- a connection ---

-- What became of a connection: `agreed` is the frame in which the ACCEPT ended, `tls` that it says so.
local streams, frames = {}, {}
function cci.init()
	streams, frames = {}, {}
end

local function starts_like(range)
	local size = math.min(range:len(), 4)
	return range(0, size):bytes():tohex() == string.sub("43434950", 1, 2 * size)
end

local tls

-- One message at `at` of a stream's bytes. Its length; 0 and the bytes that lack; or nil, where there is none.
local function length_at(tvb, at)
	local left = tvb:len() - at
	if not starts_like(tvb(at, math.min(left, 4))) then return nil end
	if left < HEADER then return 0 end
	local length = tvb(at + 8, 2):uint()
	if length < HEADER or length > MOST then return nil end
	return left < length and 0 or length, length - left
end

local function hand_over(tvb, at, pinfo, root)
	tls = tls or Dissector.get("tls")
	-- It is not TCP that calls it, and still it may ask for more segments; counted from its own first byte.
	pinfo.can_desegment = 2
	tls:call(tvb(at):tvb(), pinfo, root)
	if at > 0 and pinfo.desegment_len ~= 0 then
		pinfo.desegment_offset = pinfo.desegment_offset + at
	end
end

local function dissect(tvb, pinfo, root, stream, inside)
	local at = 0
	if not inside and not (stream.tls and pinfo.number > stream.agreed) then
		pinfo.cols.protocol = "CCI"
		pinfo.cols.info = ""
	end
	while at < tvb:len() do
		-- Frames after the one with the ACCEPT belong to what was agreed; what follows in the same frame, too.
		if stream.agreed ~= nil and (pinfo.number > stream.agreed or at > 0) then
			if stream.tls then
				hand_over(tvb, at, pinfo, root)
			else
				root:add(cci, tvb(at), "CCI data"):add(f.data, tvb(at))
				pinfo.cols.info:append((at > 0 and ", " or "") .. "data, " .. tvb:len() - at .. " bytes")
			end
			return tvb:len()
		end
		local length, lacks = length_at(tvb, at)
		if length == 0 then
			pinfo.desegment_offset = at
			pinfo.desegment_len = lacks or DESEGMENT_ONE_MORE_SEGMENT
			return tvb:len()
		elseif length == nil then
			local tree = root:add(cci, tvb(at), "CCI: not a message")
			tree:add_proto_expert_info(at > 0 and early or malformed)
			pinfo.cols.info:append(at > 0 and ", data before the answer" or "not a message")
			return tvb:len()
		end
		local kind, security = add_message(tvb(at, length):tvb()(), pinfo, root)
		at = at + length
		if not inside and kind == 2 and not pinfo.visited then
			stream.agreed, stream.tls = pinfo.number, security == 1
		end
	end
	return tvb:len()
end

-- By addresses and ports: tcp.stream is not known to Lua in a pass without a tree. Who uses them again begins with an OFFER, which
-- no TLS record looks like. What was found in the first pass holds for each frame in the next.
local function stream_at(tvb, pinfo)
	if frames[pinfo.number] ~= nil then return frames[pinfo.number] end
	local a, b = tostring(pinfo.src) .. " " .. pinfo.src_port, tostring(pinfo.dst) .. " " .. pinfo.dst_port
	local key = a < b and a .. " " .. b or b .. " " .. a
	local stream = streams[key]
	local is_new = tvb:len() >= HEADER and tvb(0, 4):uint() == MAGIC and tvb(5, 1):uint() == 1
	if stream == nil or is_new and (stream.agreed ~= nil or stream.direct) then
		stream = {}
		streams[key] = stream
	end
	if not pinfo.visited then frames[pinfo.number] = stream end
	return stream
end

function cci.dissector(tvb, pinfo, root)
	local stream = stream_at(tvb, pinfo)
	-- The other way of starting needs no help; nor does a recording that begins later.
	if not stream.seen and tvb:len() > 0 then
		local first = tvb(0, 1):uint()
		stream.direct = first >= 0x14 and first <= 0x17
	end
	stream.seen = true
	if stream.direct then
		hand_over(tvb, 0, pinfo, root)
		return tvb:len()
	end
	return dissect(tvb, pinfo, root, stream, false)
end

-- --- where it is looked for ---

local function heuristic(tvb, pinfo, root)
	if tvb:len() < HEADER or tvb(0, 4):uint() ~= MAGIC or tvb(4, 1):uint() ~= 1 then return false end
	pinfo.conversation = cci
	cci.dissector(tvb, pinfo, root)
	return true
end
cci:register_heuristic("tcp", heuristic)

local ports
local function use_ports()
	local tcp = DissectorTable.get("tcp.port")
	if ports ~= nil then tcp:remove(ports, cci) end
	ports = cci.prefs.ports
	tcp:add(ports, cci)
end
function cci.prefs_changed()
	if ports ~= cci.prefs.ports then use_ports() end
end
use_ports()

-- Inside TLS, where its secrets are known (insecure_key_log, tls.keylog_file): CONFIRM, or OFFER and answer, then data.
local inner = Proto("cci_tls", "CCI inside TLS")
function inner.dissector(tvb, pinfo, root)
	pinfo.cols.protocol = "CCI"
	pinfo.cols.info = ""
	if tvb:len() >= 4 and tvb(0, 4):uint() == MAGIC then
		return dissect(tvb, pinfo, root, {}, true)
	end
	root:add(cci, tvb(), "CCI data"):add(f.data, tvb())
	pinfo.cols.info:append("data, " .. tvb:len() .. " bytes")
	return tvb:len()
end
for _, name in ipairs({ "cci-upgrade/1", "cci/1" }) do
	DissectorTable.get("tls.alpn"):add(name, inner)
end
