/* Single values of the configuration: from text, to text, and released. */
#include "config_values.h"

#include <stdlib.h>
#include <string.h>

#include "identity.h"

#define DEFAULT_PORT_CCISSL 1202
#define DEFAULT_PORT_CCISSLGW 1721
#define LIST_MOST 1024

static void *member(const struct row *row, void *section)
{
	return (char *)section + row->offset;
}

static const void *member_of(const struct row *row, const void *section)
{
	return (const char *)section + row->offset;
}

static void free_texts(struct text_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->at[i]);
	free(list->at);
	*list = (struct text_list){NULL, 0};
}

void config_unset(const struct row *row, void *section)
{
	void *at = member(row, section);

	switch (row->type) {
	case ROW_NAME:
	case ROW_TEXT:
	case ROW_HOST:
	case ROW_PATH:
		free(*(char **)at);
		*(char **)at = NULL;
		break;
	case ROW_ADDRESSES:
		free(((struct address_list *)at)->at);
		*(struct address_list *)at = (struct address_list){NULL, 0};
		break;
	case ROW_NETWORKS:
		free(((struct network_list *)at)->at);
		*(struct network_list *)at = (struct network_list){NULL, 0};
		break;
	case ROW_NAMES:
	case ROW_PATTERNS:
	case ROW_IDENTITIES:
		free_texts(at);
		break;
	default:
		break;
	}
}

static int set_string(char **at, const char *value, struct error *error)
{
	free(*at);
	*at = strdup(value);
	return *at != NULL ? 0 : error_set(error, "not enough memory");
}

static int set_path(const struct config_context *context, char **at, const char *value, struct error *error)
{
	char path[4096];
	struct text text;

	text_init(&text, path, sizeof(path));
	if (value[0] != '/')
		text_printf(&text, "%s/", context->folder);
	text_puts(&text, value);
	if (text.cut)
		return error_set(error, "the path is too long");
	return set_string(at, path, error);
}

static int set_word(const struct row *row, int *at, const char *value, struct error *error)
{
	char buffer[160];
	struct text text;

	text_init(&text, buffer, sizeof(buffer));
	for (const struct row_word *word = row->words; word->word != NULL; word++) {
		if (strcmp(word->word, value) == 0) {
			*at = word->value;
			return 0;
		}
		text_printf(&text, "%s%s", word == row->words ? "" : ", ", word->word);
	}
	return error_set(error, "\"%.40s\" is not one of: %s", value, buffer);
}

/* Call `add` for each item between commas. */
static int each_item(const char *value, int (*add)(void *list, const char *item, void *user, struct error *error),
                     void *list, void *user, struct error *error)
{
	char item[512];
	size_t length, count = 0;
	struct error faults, before;
	int result = 0;

	for (const char *at = value;; at += length + 1) {
		const char *first = at + strspn(at, " \t");
		size_t size;

		length = strcspn(at, ",");
		size = first < at + length ? (size_t)(at + length - first) : 0;
		while (size > 0 && strchr(" \t", first[size - 1]) != NULL)
			size--;
		if (size == 0)
			return error_set(error, "an item of the list is empty: remove the comma");
		if (size >= sizeof(item) || ++count > LIST_MOST)
			return error_set(error, "an item of the list is too long, or the list has more than %d", LIST_MOST);
		memcpy(item, first, size);
		item[size] = '\0';
		if (add(list, item, user, error) != 0) {
			if (result == 0)
				faults = *error;
			else
				error_set(&faults, "%.300s; %.200s", (before = faults).text, error->text);
			result = -1;
		}
		if (at[length] == '\0')
			break;
	}
	if (result != 0)
		*error = faults;
	return result;
}

static void *grow(void *at, size_t count, size_t size)
{
	return reallocarray(at, count + 1, size);
}

static int add_address(void *list, const char *item, void *user, struct error *error)
{
	struct address_list *addresses = list;
	struct address *at = grow(addresses->at, addresses->count, sizeof(*at));

	if (at == NULL)
		return error_set(error, "not enough memory");
	addresses->at = at;
	if (address_parse(item, *(uint16_t *)user, &at[addresses->count], error) != 0)
		return -1;
	addresses->count++;
	return 0;
}

static int add_network(void *list, const char *item, void *user, struct error *error)
{
	struct network_list *networks = list;
	struct network *at = grow(networks->at, networks->count, sizeof(*at));

	(void)user;
	if (at == NULL)
		return error_set(error, "not enough memory");
	networks->at = at;
	if (network_parse(item, &at[networks->count], error) != 0)
		return -1;
	networks->count++;
	return 0;
}

static int check_item(enum row_type type, const char *item, struct error *error)
{
	bool patterns = type == ROW_PATTERNS;

	if (type == ROW_IDENTITIES)
		return identity_pattern_check(item, error);
	if (patterns ? name_pattern_valid(item) : name_valid(item, strlen(item)))
		return 0;
	return error_set(error, "\"%.64s\" is not a %s: 1 to 64 of A-Z a-z 0-9 @ # $ . _ -%s", item,
	                 patterns ? "pattern" : "CCI name", patterns ? " and * ?" : "");
}

static int add_text(void *list, const char *item, void *user, struct error *error)
{
	struct text_list *texts = list;
	char **at = grow(texts->at, texts->count, sizeof(*at));

	if (at == NULL)
		return error_set(error, "not enough memory");
	texts->at = at;
	if (check_item(*(const enum row_type *)user, item, error) != 0)
		return -1;
	at[texts->count] = strdup(item);
	if (at[texts->count] == NULL)
		return error_set(error, "not enough memory");
	texts->count++;
	return 0;
}

static int set_list(const struct config_context *context, const struct row *row, void *at, const char *value,
                    struct error *error)
{
	uint16_t port = row->default_port;
	enum row_type type = row->type;

	if (row->type == ROW_NETWORKS)
		return each_item(value, add_network, at, NULL, error);
	if (row->type != ROW_ADDRESSES)
		return each_item(value, add_text, at, &type, error);
	if (strcmp(row->section, "listener") == 0)
		port = context->program == PROGRAM_CCISSL ? DEFAULT_PORT_CCISSL : DEFAULT_PORT_CCISSLGW;
	return each_item(value, add_address, at, &port, error);
}

/* Octal digits alone; bounds are the row's. */
static int set_mode(const struct row *row, uint64_t *at, const char *value, struct error *error)
{
	uint64_t mode = 0;

	for (const char *digit = value; *digit != '\0'; digit++) {
		if (*digit < '0' || *digit > '7' || mode > row->most)
			return error_set(error, "\"%.16s\" is not a mode: up to four octal digits, such as 0660", value);
		mode = 8 * mode + (uint64_t)(*digit - '0');
	}
	if (mode > row->most)
		return error_set(error, "\"%.16s\" is not a mode from 0 to %04llo", value, (unsigned long long)row->most);
	*at = mode;
	return 0;
}

static int set_size(const struct row *row, uint64_t *at, const char *value, struct error *error)
{
	char least[32], most[32];
	struct text text;

	if (text_to_bytes(value, at, error) != 0)
		return -1;
	if (*at >= row->least && *at <= row->most)
		return 0;
	text_init(&text, least, sizeof(least));
	text_put_bytes(&text, row->least);
	text_init(&text, most, sizeof(most));
	text_put_bytes(&text, row->most);
	return error_set(error, "the number of bytes is not from %s to %s", least, most);
}

static bool is_printable(const char *value)
{
	for (; *value != '\0'; value++)
		if ((unsigned char)*value < 0x20 || (unsigned char)*value > 0x7e)
			return false;
	return true;
}

static int check_bounds(const struct row *row, uint64_t duration_ms, struct error *error)
{
	char least[32], most[32];
	struct text text;

	if (duration_ms >= row->least && duration_ms <= row->most)
		return 0;
	text_init(&text, least, sizeof(least));
	text_put_duration(&text, row->least);
	text_init(&text, most, sizeof(most));
	text_put_duration(&text, row->most);
	return error_set(error, "the duration is not from %s to %s", least, most);
}

int config_set(const struct config_context *context, const struct row *row, void *section, const char *value,
               struct error *error)
{
	void *at = member(row, section);

	if (value[0] == '\0')
		return error_set(error, "the value is empty: give one, or remove the line");
	if (!is_printable(value))
		return error_set(error, "the value holds characters that are not printable ASCII");
	switch (row->type) {
	case ROW_NAME:
		if (!name_valid(value, strlen(value)))
			return error_set(error, "\"%.80s\" is not a CCI name: 1 to 64 of A-Z a-z 0-9 @ # $ . _ -", value);
		return set_string(at, value, error);
	case ROW_HOST:
		/* A dot in front would stand for every name below. */
		if (strlen(value) >= HOST_NAME_SIZE || strpbrk(value, " \t,/*") != NULL || value[0] == '.')
			return error_set(error, "\"%.80s\" is not a host name or an IP address", value);
		return set_string(at, value, error);
	case ROW_TEXT:
		return set_string(at, value, error);
	case ROW_PATH:
		return set_path(context, at, value, error);
	case ROW_NUMBER:
		return text_to_number(value, row->least, row->most, at, error);
	case ROW_DURATION:
		return text_to_duration(value, at, error) != 0 ? -1 : check_bounds(row, *(uint64_t *)at, error);
	case ROW_WORD:
		return set_word(row, at, value, error);
	case ROW_SIZE:
		return set_size(row, at, value, error);
	case ROW_MODE:
		return set_mode(row, at, value, error);
	default:
		config_unset(row, section);
		return set_list(context, row, at, value, error);
	}
}

bool config_is_set(const struct row *row, const void *section)
{
	char buffer[ADDRESS_TEXT_SIZE];
	struct text text;

	text_init(&text, buffer, sizeof(buffer));
	return config_get(row, section, 0, &text);
}

static bool put_string(const char *string, struct text *text)
{
	if (string != NULL)
		text_puts(text, string);
	return string != NULL;
}

static bool put_word(const struct row *row, int value, struct text *text)
{
	for (const struct row_word *word = row->words; word->word != NULL; word++)
		if (word->value == value)
			return put_string(word->word, text);
	return false;
}

static bool get_item(const struct row *row, const void *at, size_t item, struct text *text)
{
	char buffer[ADDRESS_TEXT_SIZE];
	const struct text_list *texts = at;
	const struct network_list *networks = at;
	const struct address_list *addresses = at;

	if (row->type == ROW_ADDRESSES)
		return item < addresses->count && put_string(address_format(&addresses->at[item], buffer), text);
	if (row->type == ROW_NETWORKS)
		return item < networks->count && put_string(network_format(&networks->at[item], buffer), text);
	return item < texts->count && put_string(texts->at[item], text);
}

bool config_get(const struct row *row, const void *section, size_t item, struct text *text)
{
	const void *at = member_of(row, section);

	if (row->inherits && *(const uint64_t *)at == CONFIG_INHERIT)
		return false;
	switch (row->type) {
	case ROW_NAME:
	case ROW_HOST:
	case ROW_TEXT:
	case ROW_PATH:
		return item == 0 && put_string(*(char *const *)at, text);
	case ROW_NUMBER:
		text_printf(text, "%llu", (unsigned long long)*(const uint64_t *)at);
		return item == 0;
	case ROW_DURATION:
		text_put_duration(text, *(const uint64_t *)at);
		return item == 0;
	case ROW_SIZE:
		text_put_bytes(text, *(const uint64_t *)at);
		return item == 0;
	case ROW_MODE:
		text_printf(text, "%04llo", (unsigned long long)*(const uint64_t *)at);
		return item == 0;
	case ROW_WORD:
		return item == 0 && put_word(row, *(const int *)at, text);
	default:
		return get_item(row, at, item, text);
	}
}
