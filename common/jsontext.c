/* JSON values out of the gateway's own. */
#include "jsontext.h"

#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "clock.h"

#define UTC_SIZE 32
#define DEL '\x7f'
#define DEL_ESCAPED "\\u007F"
#define DUMPED_LEAST 1024
#define HEX_MOST 64 /* bytes: ids, session ids, digests */

/* Since the last line of this thread: then what is to be written may lack members, and nothing else says so. */
static _Thread_local bool lacked_memory;

static void *allocate(size_t size)
{
	void *at = malloc(size);

	if (at == NULL)
		lacked_memory = true;
	return at;
}

/* jansson has one allocator for the whole process; what it had before is the same malloc and free. */
__attribute__((constructor)) static void watch_allocations(void)
{
	json_set_alloc_funcs(allocate, free);
}

/* How many bytes of `text` are one character of UTF-8 that JSON may hold; 0: the first is no part of one. */
static size_t character(const char *text)
{
	static const struct {
		unsigned char mask, lead;
		unsigned least;
	} forms[] = {{0x80, 0, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
	const unsigned char *bytes = (const unsigned char *)text;

	for (size_t size = 1; size <= 4; size++) {
		unsigned code = bytes[0] & (unsigned char)~forms[size - 1].mask;

		if ((bytes[0] & forms[size - 1].mask) != forms[size - 1].lead)
			continue;
		for (size_t i = 1; i < size; i++) {
			if ((bytes[i] & 0xc0) != 0x80)
				return 0;
			code = code << 6 | (bytes[i] & 0x3f);
		}
		return code < forms[size - 1].least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff) ? 0 : size;
	}
	return 0;
}

/* A copy in which each byte that is not UTF-8 stands as \xHH. To be freed; NULL without memory. */
static char *mended(const char *text)
{
	char *copy = allocate(4 * strlen(text) + 1), *at = copy;

	while (copy != NULL && *text != '\0') {
		size_t size = character(text);

		if (size == 0) {
			(void)snprintf(at, 5, "\\x%02x", (unsigned char)*text++);
			at += 4;
			continue;
		}
		memcpy(at, text, size);
		at += size;
		text += size;
	}
	if (copy != NULL)
		*at = '\0';
	return copy;
}

json_t *json_of_text(const char *text)
{
	json_t *value = text != NULL ? json_string(text) : json_null();
	char *copy;

	if (value != NULL)
		return value;
	copy = mended(text);
	value = copy != NULL ? json_string(copy) : NULL;
	free(copy);
	return value;
}

/* jansson takes NULL for either, and leaves the object as it is. */
static void put(json_t *object, const char *key, json_t *value)
{
	(void)json_object_set_new(object, key, value);
}

void json_put_text(json_t *object, const char *key, const char *text)
{
	if (text != NULL)
		put(object, key, json_of_text(text));
}

void json_put_said(json_t *object, const char *key, const char *text)
{
	if (text != NULL && text[0] != '\0')
		json_put_text(object, key, text);
}

void json_put_number(json_t *object, const char *key, uint64_t number)
{
	put(object, key, json_integer(number < INT64_MAX ? (json_int_t)number : INT64_MAX));
}

void json_put_bool(json_t *object, const char *key, bool value)
{
	put(object, key, json_boolean(value));
}

void json_put_hex(json_t *object, const char *key, const uint8_t *bytes, size_t size)
{
	char buffer[2 * HEX_MOST + 1];
	struct text text;

	text_init(&text, buffer, sizeof(buffer));
	text_put_hex(&text, bytes, size);
	json_put_text(object, key, buffer);
}

void json_put_utc(json_t *object, const char *key, uint64_t time_us)
{
	char buffer[UTC_SIZE];
	struct text text;

	if (time_us == 0)
		return;
	text_init(&text, buffer, sizeof(buffer));
	text_put_utc(&text, time_us);
	json_put_text(object, key, buffer);
}

void json_put_now(json_t *object, const char *key)
{
	json_put_utc(object, key, clock_utc_us());
}

void json_put_address(json_t *object, const char *key, const struct sockaddr *address)
{
	char buffer[ADDRESS_TEXT_SIZE];

	/* Whoever has one has it out of a union socket_address. */
	if (address != NULL)
		json_put_text(object, key, socket_format((const union socket_address *)(const void *)address, buffer));
}

struct dumped {
	char *text;
	size_t used, room;
	bool failed;
};

static void put_bytes(struct dumped *dumped, const char *bytes, size_t size)
{
	size_t room = dumped->room > 0 ? dumped->room : DUMPED_LEAST;
	char *text;

	while (room <= dumped->used + size)
		room *= 2;
	text = room == dumped->room ? dumped->text : realloc(dumped->text, room);
	if (text == NULL) {
		dumped->failed = true;
		return;
	}
	dumped->text = text;
	dumped->room = room;
	memcpy(text + dumped->used, bytes, size);
	dumped->used += size;
	text[dumped->used] = '\0';
}

/* Jansson goes on where a key found no memory: nothing may follow that. JSON lets DEL stand as it is, which only a
 * string can hold; here it is escaped. */
static int take(const char *bytes, size_t size, void *context)
{
	struct dumped *dumped = context;

	while (!dumped->failed && size > 0) {
		const char *del = memchr(bytes, DEL, size);
		size_t plain = del != NULL ? (size_t)(del - bytes) : size;

		put_bytes(dumped, bytes, plain);
		if (del != NULL && !dumped->failed)
			put_bytes(dumped, DEL_ESCAPED, sizeof(DEL_ESCAPED) - 1);
		bytes += plain + (del != NULL);
		size -= plain + (del != NULL);
	}
	return dumped->failed ? -1 : 0;
}

/* The caller's; NULL without memory. */
static char *dump(const json_t *value, size_t flags)
{
	struct dumped dumped = {.text = NULL};

	if (json_dump_callback(value, take, &dumped, flags | JSON_ENSURE_ASCII | JSON_ENCODE_ANY) == 0 && !dumped.failed)
		return dumped.text;
	free(dumped.text);
	return NULL;
}

int json_print(const json_t *value, size_t flags, FILE *stream)
{
	char *text = dump(value, flags);
	int result = text != NULL && fputs(text, stream) != EOF && fputc('\n', stream) != EOF ? 0 : -1;

	free(text);
	return result == 0 && fflush(stream) == 0 ? 0 : -1;
}

char *json_line(json_t *value, size_t *size)
{
	char *line = lacked_memory ? NULL : dump(value, JSON_COMPACT);

	lacked_memory = false;
	json_decref(value);
	if (size != NULL)
		*size = line != NULL ? strlen(line) : 0;
	return line;
}
