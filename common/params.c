/* The codec of the parameter exchange: every byte on the wire is read and written here, and nowhere else. */
#include "params.h"

#include <assert.h>
#include <string.h>

#include "ebcdic.h"

/* Offsets in the header, the CTH (protocol, section 1). */
enum {
	AT_MAGIC = 0,
	AT_VERSION = 4,
	AT_TYPE = 5,
	AT_CPU = 6,
	AT_FLAGS = 7,
	AT_LENGTH = 8,
	AT_REASON = 10,
	AT_MAXRU = 12
};

static_assert(AT_MAXRU + 4 == PARAMS_HEADER_SIZE, "the header is 16 bytes");

enum {
	ID_SECURITY = 1,
	ID_SYSID = 2,
	ID_TARGET = 3,
	ID_AGENT = 4,
	ID_TEXT = 5,
	ID_VERIFIER = 6,
	ID_TLS = 7,
	ID_CONNECTION = 8,
	ID_HOPS = 9,
	ID_COUNT = 10,
	ID_CRITICAL = 0x8000
};

#define VERSION 1
#define PARAMETER_HEADER 4 /* id, size */
#define AGENT_CHARS 64
#define TEXT_CHARS 255
#define MESSAGE_PARAMETERS ((PARAMS_MESSAGE_SIZE - PARAMS_HEADER_SIZE) / PARAMETER_HEADER)

static const uint8_t magic[4] = {0x43, 0x43, 0x49, 0x50};

/* In which messages a parameter may stand, and in which it must: bits 1 << type. */
#define IN(type) (1u << PARAMS_##type)

static const struct {
	unsigned allowed, required;
} places[ID_COUNT] = {
    [ID_SECURITY] = {IN(OFFER) | IN(ACCEPT), IN(OFFER) | IN(ACCEPT)},
    [ID_SYSID] = {IN(OFFER) | IN(ACCEPT), IN(OFFER) | IN(ACCEPT)},
    [ID_TARGET] = {IN(OFFER), 0},
    [ID_AGENT] = {IN(OFFER) | IN(ACCEPT), 0},
    [ID_TEXT] = {IN(REFUSE), 0},
    [ID_VERIFIER] = {IN(CONFIRM), IN(CONFIRM)},
    [ID_TLS] = {IN(OFFER), 0},
    [ID_CONNECTION] = {IN(OFFER) | IN(ACCEPT), 0},
    [ID_HOPS] = {IN(OFFER), 0},
};

static unsigned get16(const uint8_t *bytes)
{
	return (unsigned)bytes[0] << 8 | bytes[1];
}

static uint32_t get32(const uint8_t *bytes)
{
	return (uint32_t)get16(bytes) << 16 | get16(bytes + 2);
}

static void put16(uint8_t *bytes, unsigned number)
{
	bytes[0] = (uint8_t)(number >> 8);
	bytes[1] = (uint8_t)number;
}

static enum params_result bad(const char **what, const char *why)
{
	*what = why;
	return PARAMS_BAD;
}

static bool is_negotiation(unsigned type)
{
	return type == PARAMS_OFFER || type == PARAMS_ACCEPT;
}

static enum params_result check_numbers(const uint8_t *bytes, const char **what)
{
	unsigned type = bytes[AT_TYPE], length = get16(bytes + AT_LENGTH), reason = get16(bytes + AT_REASON);
	uint32_t maxru = get32(bytes + AT_MAXRU);

	if (length < PARAMS_HEADER_SIZE || length > PARAMS_MESSAGE_SIZE)
		return bad(what, "the length is not 16 to 4096");
	if (type == PARAMS_REFUSE && reason == 0)
		return bad(what, "a REFUSE without a reason");
	if (type != PARAMS_REFUSE && reason != 0)
		return bad(what, "a reason outside of a REFUSE");
	if (is_negotiation(type) && (maxru < PARAMS_MAXRU_LEAST || maxru > PARAMS_MAXRU_MOST))
		return bad(what, "maxru is not 256 to 1048576");
	if (!is_negotiation(type) && maxru != 0)
		return bad(what, "maxru is not 0");
	return PARAMS_OK;
}

enum params_result params_header(const uint8_t *bytes, size_t have, size_t *length, const char **what)
{
	*what = "";
	if (memcmp(bytes, magic, have < sizeof(magic) ? have : sizeof(magic)) != 0) {
		*what = "not a message of the exchange";
		return PARAMS_NOT_CCI;
	}
	if (have > AT_VERSION && bytes[AT_VERSION] != VERSION) {
		*what = "the version is not 1";
		return PARAMS_BAD_VERSION;
	}
	if (have > AT_TYPE && (bytes[AT_TYPE] < PARAMS_OFFER || bytes[AT_TYPE] > PARAMS_CONFIRM))
		return bad(what, "unknown message type");
	if (have > AT_CPU && bytes[AT_CPU] != PARAMS_UTF8 && bytes[AT_CPU] != PARAMS_EBCDIC)
		return bad(what, "unknown cpu type");
	if (have > AT_FLAGS && bytes[AT_FLAGS] != 0)
		return bad(what, "flags are set");
	if (have < PARAMS_HEADER_SIZE)
		return PARAMS_MORE;
	*length = get16(bytes + AT_LENGTH);
	return check_numbers(bytes, what);
}

/* The length of the UTF-8 character at `text`, 0 when it is malformed, overlong, a surrogate or a control character. */
static size_t printable(const uint8_t *text, size_t length)
{
	uint32_t character = text[0];
	size_t size = character < 0x80 ? 1 : character < 0xc2 ? 0 : character < 0xe0 ? 2 : character < 0xf0 ? 3 : 4;
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};

	if (size == 0 || size > length || character > 0xf4)
		return 0;
	if (size > 1)
		character &= 0x7fu >> size;
	for (size_t i = 1; i < size; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		character = character << 6 | (text[i] & 0x3f);
	}
	if (character < least[size] || character > 0x10ffff || (character >= 0xd800 && character <= 0xdfff))
		return 0;
	return character < 0x20 || (character >= 0x7f && character <= 0x9f) ? 0 : size;
}

/* 1 to `most` printable characters? */
static bool text_valid(const char *text, size_t length, size_t most)
{
	size_t characters = 0;

	for (size_t at = 0; at < length; characters++) {
		size_t size = printable((const uint8_t *)text + at, length - at);

		if (size == 0)
			return false;
		at += size;
	}
	return characters >= 1 && characters <= most;
}

/* A parameter as it lies in the message. */
struct parameter {
	unsigned id;
	size_t size;
	const uint8_t *value;
};

/* Text in either encoding into `out` as UTF-8. Length, or -1. */
static int take_text(const struct params *params, const struct parameter *parameter, char *out, size_t size)
{
	if (params->cpu == PARAMS_EBCDIC)
		return ebcdic_to_utf8(parameter->value, parameter->size, out, size);
	if (parameter->size >= size || memchr(parameter->value, 0, parameter->size) != NULL)
		return -1;
	memcpy(out, parameter->value, parameter->size);
	out[parameter->size] = '\0';
	return (int)parameter->size;
}

static enum params_result take_name(struct params *params, const struct parameter *parameter, char *out,
                                    const char **what)
{
	int length = take_text(params, parameter, out, NAME_MAX_CHARS + 1);

	if (length >= 0 && name_valid(out, (size_t)length))
		return PARAMS_OK;
	if (parameter->id == ID_TARGET && length >= 0 && strcmp(out, PARAMS_PING) == 0)
		return PARAMS_OK;
	out[0] = '\0';
	return bad(what, parameter->id == ID_SYSID ? "the sysid is not a CCI name" : "the target is not a CCI name");
}

static enum params_result take_words(struct params *params, const struct parameter *parameter, const char **what)
{
	bool agent = parameter->id == ID_AGENT;
	char *out = agent ? params->agent : params->text;
	int length = take_text(params, parameter, out, agent ? sizeof(params->agent) : sizeof(params->text));

	if (length >= 0 && text_valid(out, (size_t)length, agent ? AGENT_CHARS : TEXT_CHARS))
		return PARAMS_OK;
	out[0] = '\0';
	return bad(what, agent ? "the agent is not a text of 1 to 64 characters"
	                       : "the text of a REFUSE is not 1 to 255 characters");
}

static enum params_result take_security(struct params *params, const struct parameter *parameter, const char **what)
{
	unsigned most = params->type == PARAMS_OFFER ? SECURITY_INSIDE : ANSWER_INSIDE;

	if (parameter->size != 1 || parameter->value[0] > most)
		return bad(what, "the security parameter has no known value");
	params->security = parameter->value[0];
	return PARAMS_OK;
}

static enum params_result take_tls(struct params *params, const struct parameter *parameter, const char **what)
{
	if (parameter->size != 4)
		return bad(what, "the tls parameter is not 4 bytes");
	params->tls_lowest = (uint16_t)get16(parameter->value);
	params->tls_highest = (uint16_t)get16(parameter->value + 2);
	params->has_tls = true;
	if (params->tls_lowest > params->tls_highest)
		return bad(what, "the tls parameter has its versions reversed");
	return PARAMS_OK;
}

static enum params_result take_bytes(const struct parameter *parameter, uint8_t *out, size_t size, const char **what,
                                     const char *why)
{
	if (parameter->size != size)
		return bad(what, why);
	memcpy(out, parameter->value, size);
	return PARAMS_OK;
}

static enum params_result take_known(struct params *params, const struct parameter *parameter, const char **what)
{
	switch (parameter->id) {
	case ID_SECURITY:
		return take_security(params, parameter, what);
	case ID_SYSID:
		return take_name(params, parameter, params->sysid, what);
	case ID_TARGET:
		return take_name(params, parameter, params->target, what);
	case ID_AGENT:
	case ID_TEXT:
		return take_words(params, parameter, what);
	case ID_VERIFIER:
		return take_bytes(parameter, params->verifier, PARAMS_VERIFIER_SIZE, what, "the verifier is not 32 bytes");
	case ID_TLS:
		return take_tls(params, parameter, what);
	case ID_CONNECTION:
		params->has_connection = true;
		return take_bytes(parameter, params->connection, PARAMS_CONNECTION_SIZE, what,
		                  "the connection id is not 16 bytes");
	default:
		params->has_hops = true;
		return take_bytes(parameter, &params->hops, 1, what, "the hops parameter is not 1 byte");
	}
}

/* The ids of one message so far. */
struct seen {
	uint16_t ids[MESSAGE_PARAMETERS];
	size_t count;
};

static bool seen_before(struct seen *seen, unsigned id)
{
	for (size_t i = 0; i < seen->count; i++)
		if (seen->ids[i] == id)
			return true;
	seen->ids[seen->count++] = (uint16_t)id;
	return false;
}

static enum params_result take_parameter(struct params *params, const struct parameter *parameter, struct seen *seen,
                                         const char **what)
{
	if (parameter->id == 0)
		return bad(what, "a parameter with the id 0");
	if (seen_before(seen, parameter->id))
		return bad(what, "a parameter stands twice");
	if (parameter->id & ID_CRITICAL)
		return bad(what, "an unknown critical parameter");
	if (parameter->id >= ID_COUNT)
		return PARAMS_OK;
	if ((places[parameter->id].allowed & 1u << params->type) == 0)
		return bad(what, "a parameter that does not belong to this message");
	return take_known(params, parameter, what);
}

static enum params_result take_all(struct params *params, const uint8_t *bytes, size_t size, const char **what)
{
	struct seen seen = {.count = 0};
	size_t at = PARAMS_HEADER_SIZE;

	while (at < size) {
		struct parameter parameter;
		enum params_result result;

		if (size - at < PARAMETER_HEADER)
			return bad(what, "a parameter is cut");
		parameter = (struct parameter){get16(bytes + at), get16(bytes + at + 2), bytes + at + PARAMETER_HEADER};
		at += PARAMETER_HEADER;
		if (parameter.size > size - at)
			return bad(what, "a parameter runs past the message");
		at += parameter.size;
		result = take_parameter(params, &parameter, &seen, what);
		if (result != PARAMS_OK)
			return result;
	}
	for (unsigned id = 1; id < ID_COUNT; id++) {
		bool found = false;

		for (size_t i = 0; i < seen.count; i++)
			found = found || seen.ids[i] == id;
		if (!found && (places[id].required & 1u << params->type) != 0)
			return bad(what, "a required parameter is missing");
	}
	return PARAMS_OK;
}

enum params_result params_decode(const uint8_t *bytes, size_t size, struct params *params, const char **what)
{
	enum params_result result;
	size_t length = 0;

	memset(params, 0, sizeof(*params));
	params->cpu = size > AT_CPU && bytes[AT_CPU] == PARAMS_EBCDIC ? PARAMS_EBCDIC : PARAMS_UTF8;
	*what = "";
	if (size == 0)
		return PARAMS_MORE;
	result = params_header(bytes, size < PARAMS_HEADER_SIZE ? size : PARAMS_HEADER_SIZE, &length, what);
	if (result != PARAMS_OK)
		return result;
	if (length > size)
		return PARAMS_MORE;
	if (length < size)
		return bad(what, "bytes after the message");
	params->type = (enum params_type)bytes[AT_TYPE];
	params->reason = (uint16_t)get16(bytes + AT_REASON);
	params->maxru = get32(bytes + AT_MAXRU);
	return take_all(params, bytes, size, what);
}

/* A message being written. */
struct writer {
	const struct params *params;
	uint8_t *bytes;
	size_t used;
	bool failed;
};

static void write_value(struct writer *writer, unsigned id, const void *value, size_t size)
{
	if (writer->used + PARAMETER_HEADER + size > PARAMS_MESSAGE_SIZE) {
		writer->failed = true;
		return;
	}
	put16(writer->bytes + writer->used, id);
	put16(writer->bytes + writer->used + 2, (unsigned)size);
	memcpy(writer->bytes + writer->used + PARAMETER_HEADER, value, size);
	writer->used += PARAMETER_HEADER + size;
}

/* The first `most` characters of a text; its bytes. A text that is not UTF-8 ends where it breaks. */
static size_t text_bytes(const char *text, size_t most)
{
	size_t length = strlen(text), at = 0;

	for (size_t characters = 0; at < length && characters < most; characters++) {
		size_t size = printable((const uint8_t *)text + at, length - at);

		if (size == 0)
			break;
		at += size;
	}
	return at;
}

static void write_text(struct writer *writer, unsigned id, const char *text, size_t most)
{
	char cut[sizeof(writer->params->text)];
	uint8_t converted[TEXT_CHARS];
	size_t length = text_bytes(text, most);
	int size;

	if (length == 0 || length >= sizeof(cut))
		return;
	if (writer->params->cpu == PARAMS_UTF8) {
		write_value(writer, id, text, length);
		return;
	}
	memcpy(cut, text, length);
	cut[length] = '\0';
	size = ebcdic_from_utf8(cut, converted, sizeof(converted));
	if (size < 0)
		writer->failed = true;
	else
		write_value(writer, id, converted, (size_t)size);
}

static void write_name(struct writer *writer, unsigned id, const char *name)
{
	if (name[0] == '\0')
		return;
	if (!name_valid(name, strlen(name)) && (id != ID_TARGET || strcmp(name, PARAMS_PING) != 0))
		writer->failed = true;
	write_text(writer, id, name, NAME_MAX_CHARS);
}

static void write_negotiation(struct writer *writer)
{
	const struct params *params = writer->params;
	unsigned most = params->type == PARAMS_OFFER ? SECURITY_INSIDE : ANSWER_INSIDE;
	uint8_t versions[4];

	if (params->security > most || params->sysid[0] == '\0')
		writer->failed = true;
	write_value(writer, ID_SECURITY, &params->security, 1);
	write_name(writer, ID_SYSID, params->sysid);
	if (params->type == PARAMS_OFFER)
		write_name(writer, ID_TARGET, params->target);
	write_text(writer, ID_AGENT, params->agent, AGENT_CHARS);
	if (params->type == PARAMS_OFFER && params->has_tls) {
		put16(versions, params->tls_lowest);
		put16(versions + 2, params->tls_highest);
		write_value(writer, ID_TLS, versions, sizeof(versions));
	}
	if (params->has_connection)
		write_value(writer, ID_CONNECTION, params->connection, PARAMS_CONNECTION_SIZE);
	if (params->type == PARAMS_OFFER && params->has_hops)
		write_value(writer, ID_HOPS, &params->hops, 1);
}

size_t params_encode(const struct params *params, uint8_t *bytes)
{
	struct writer writer = {.params = params, .bytes = bytes, .used = PARAMS_HEADER_SIZE};
	const char *what;

	memset(bytes, 0, PARAMS_HEADER_SIZE);
	memcpy(bytes + AT_MAGIC, magic, sizeof(magic));
	bytes[AT_VERSION] = VERSION;
	bytes[AT_TYPE] = (uint8_t)params->type;
	bytes[AT_CPU] = (uint8_t)params->cpu;
	put16(bytes + AT_REASON, params->reason);
	put16(bytes + AT_MAXRU, (unsigned)(params->maxru >> 16));
	put16(bytes + AT_MAXRU + 2, (unsigned)(params->maxru & 0xffff));
	if (is_negotiation(params->type))
		write_negotiation(&writer);
	else if (params->type == PARAMS_REFUSE)
		write_text(&writer, ID_TEXT, params->text, TEXT_CHARS);
	else
		write_value(&writer, ID_VERIFIER, params->verifier, PARAMS_VERIFIER_SIZE);
	put16(bytes + AT_LENGTH, (unsigned)writer.used);
	if (writer.failed || check_numbers(bytes, &what) != PARAMS_OK)
		return 0;
	return writer.used;
}

const char *params_type_word(enum params_type type)
{
	static const char *const words[] = {"unknown", "OFFER", "ACCEPT", "REFUSE", "CONFIRM"};

	return words[type >= PARAMS_OFFER && type <= PARAMS_CONFIRM ? type : 0];
}

const char *params_security_word(enum params_security security)
{
	static const char *const words[] = {"none", "off", "on", "required", "inside"};

	return words[security <= SECURITY_INSIDE ? security : 0];
}

const char *params_answer_word(enum params_answer answer)
{
	static const char *const words[] = {"clear", "tls", "inside"};

	return words[answer <= ANSWER_INSIDE ? answer : 0];
}
