/* Bounded text, names and patterns, numbers with units, and errors of one line. */
#include "text.h"

#include <stdio.h>
#include <string.h>

static const char hex_digits[] = "0123456789abcdef";

void error_fill(struct error *error, const char *format, ...)
{
	va_list arguments;

	if (error == NULL)
		return;
	error->key = error->section = error->name = NULL;
	va_start(arguments, format);
	(void)vsnprintf(error->text, sizeof(error->text), format, arguments);
	va_end(arguments);
}

void error_tame(struct error *error)
{
	for (char *at = error->text; *at != '\0'; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			*at = '?';
}

int error_about(struct error *error, const char *key)
{
	return error_at(error, NULL, NULL, key);
}

int error_at(struct error *error, const char *section, const char *name, const char *key)
{
	if (error == NULL)
		return -1;
	error->section = section;
	error->name = name;
	error->key = key;
	return -1;
}

int error_prefix(struct error *error, const char *format, ...)
{
	struct error old;
	va_list arguments;
	size_t used;

	if (error == NULL)
		return -1;
	old = *error;
	va_start(arguments, format);
	(void)vsnprintf(error->text, sizeof(error->text), format, arguments);
	va_end(arguments);
	used = strlen(error->text);
	(void)snprintf(error->text + used, sizeof(error->text) - used, ": %s", old.text);
	return -1;
}

void text_init(struct text *text, char *buffer, size_t size)
{
	*text = (struct text){.at = buffer, .size = size};
	buffer[0] = '\0';
}

void text_put(struct text *text, const char *bytes, size_t length)
{
	size_t room = text->size - 1 - text->used;

	if (length > room) {
		length = room;
		text->cut = true;
	}
	memcpy(text->at + text->used, bytes, length);
	text->used += length;
	text->at[text->used] = '\0';
}

void text_puts(struct text *text, const char *string)
{
	text_put(text, string, strlen(string));
}

void text_printf(struct text *text, const char *format, ...)
{
	size_t room = text->size - text->used;
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(text->at + text->used, room, format, arguments);
	va_end(arguments);
	if (length < 0)
		return;
	if ((size_t)length >= room) {
		text->cut = true;
		text->used = text->size - 1;
	} else {
		text->used += (size_t)length;
	}
}

void text_put_number(struct text *text, uint64_t number, unsigned digits)
{
	char decimal[20];
	size_t at = sizeof(decimal);

	do
		decimal[--at] = (char)('0' + number % 10);
	while ((number /= 10) > 0);
	while (sizeof(decimal) - at < digits && at > 0)
		decimal[--at] = '0';
	text_put(text, decimal + at, sizeof(decimal) - at);
}

/* Day, month and year of a day counted from 1970-01-01. By hand, as gmtime_r takes a lock that all threads share. In a
 * year that begins in March the leap day is the last, so that month lengths follow one rule. */
static void civil_date(uint64_t days, unsigned *year, unsigned *month, unsigned *day)
{
	uint64_t since = days + 719468; /* from 0000-03-01 */
	uint64_t era = since / 146097, of_era = since % 146097;
	uint64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	uint64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	uint64_t from_march = (5 * of_year + 2) / 153;

	*day = (unsigned)(of_year - (153 * from_march + 2) / 5 + 1);
	*month = (unsigned)(from_march < 10 ? from_march + 3 : from_march - 9);
	*year = (unsigned)(era * 400 + year_of_era + (*month <= 2 ? 1 : 0));
}

void text_put_utc(struct text *text, uint64_t time_us)
{
	uint64_t seconds = time_us / 1000000, of_day = seconds % 86400;
	unsigned year, month, day;

	civil_date(seconds / 86400, &year, &month, &day);
	text_put_number(text, year, 4);
	text_puts(text, "-");
	text_put_number(text, month, 2);
	text_puts(text, "-");
	text_put_number(text, day, 2);
	text_puts(text, "T");
	text_put_number(text, of_day / 3600, 2);
	text_puts(text, ":");
	text_put_number(text, of_day / 60 % 60, 2);
	text_puts(text, ":");
	text_put_number(text, of_day % 60, 2);
	text_puts(text, ".");
	text_put_number(text, time_us % 1000000, 6);
	text_puts(text, "Z");
}

void text_put_escaped(struct text *text, const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		unsigned char byte = (unsigned char)bytes[i];
		char escape[4] = {'\\', 'x', hex_digits[byte >> 4], hex_digits[byte & 15]};

		if (byte == '\\' || byte == '"') {
			escape[1] = (char)byte;
			text_put(text, escape, 2);
		} else if (byte < 0x20 || byte > 0x7e) {
			text_put(text, escape, sizeof(escape));
		} else {
			text_put(text, bytes + i, 1);
		}
	}
}

void text_put_hex(struct text *text, const uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		char pair[2] = {hex_digits[bytes[i] >> 4], hex_digits[bytes[i] & 15]};

		text_put(text, pair, sizeof(pair));
	}
}

static char lower(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static bool is_name_char(char c)
{
	return (lower(c) >= 'a' && lower(c) <= 'z') || (c >= '0' && c <= '9') || (c != '\0' && strchr("@#$._-", c) != NULL);
}

bool name_valid(const char *name, size_t length)
{
	if (length < 1 || length > NAME_MAX_CHARS)
		return false;
	for (size_t i = 0; i < length; i++)
		if (!is_name_char(name[i]))
			return false;
	return true;
}

bool name_equal(const char *a, const char *b)
{
	while (*a != '\0' && lower(*a) == lower(*b)) {
		a++;
		b++;
	}
	return *a == '\0' && *b == '\0';
}

int name_compare(const char *a, const char *b)
{
	while (*a != '\0' && lower(*a) == lower(*b)) {
		a++;
		b++;
	}
	return (unsigned char)lower(*a) - (unsigned char)lower(*b);
}

/* One star is enough to go back to: an earlier one could match nothing that the last cannot. */
bool text_match(const char *pattern, const char *text, enum text_case letters)
{
	const char *star = NULL, *resume = NULL;

	while (*text != '\0') {
		bool same = letters == TEXT_EXACT ? *pattern == *text : lower(*pattern) == lower(*text);

		if (*pattern == '*') {
			star = pattern++;
			resume = text;
		} else if (*pattern == '?' || (*pattern != '\0' && same)) {
			pattern++;
			text++;
		} else if (star != NULL) {
			pattern = star + 1;
			text = ++resume;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

bool name_match(const char *pattern, const char *name)
{
	return text_match(pattern, name, TEXT_ANY_CASE);
}

bool name_pattern_valid(const char *pattern)
{
	size_t length = strlen(pattern);

	if (length < 1 || length > NAME_MAX_CHARS)
		return false;
	for (size_t i = 0; i < length; i++)
		if (pattern[i] != '*' && pattern[i] != '?' && !is_name_char(pattern[i]))
			return false;
	return true;
}

/* Decimal digits at `*at`, moved past them. False: none, or too many for 64 bits. */
static bool take_digits(const char **at, uint64_t *number)
{
	const char *first = *at;

	*number = 0;
	for (; **at >= '0' && **at <= '9'; (*at)++) {
		uint64_t digit = (uint64_t)(**at - '0');

		if (*number > (UINT64_MAX - digit) / 10)
			return false;
		*number = *number * 10 + digit;
	}
	return *at > first;
}

int text_to_number(const char *text, uint64_t least, uint64_t most, uint64_t *number, struct error *error)
{
	const char *at = text;

	if (!take_digits(&at, number) || *at != '\0' || *number < least || *number > most)
		return error_set(error, "\"%.64s\" is not a whole number from %llu to %llu", text, (unsigned long long)least,
		                 (unsigned long long)most);
	return 0;
}

static const struct unit {
	const char *name;
	uint64_t ms;
} units[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};

int text_to_duration(const char *text, uint64_t *duration_ms, struct error *error)
{
	const char *at = text;
	uint64_t number;

	if (take_digits(&at, &number)) {
		for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
			if (strcmp(at, units[i].name) != 0 || number > UINT64_MAX / units[i].ms)
				continue;
			*duration_ms = number * units[i].ms;
			return 0;
		}
		if (number == 0 && *at == '\0') {
			*duration_ms = 0;
			return 0;
		}
	}
	return error_set(error, "\"%.64s\" is not a duration: a whole number with ms, s, m, h or d, such as 5s", text);
}

void text_put_duration(struct text *text, uint64_t duration_ms)
{
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (duration_ms % units[i].ms != 0 || (duration_ms == 0 && units[i].ms != 1000))
			continue;
		text_printf(text, "%llu%s", (unsigned long long)(duration_ms / units[i].ms), units[i].name);
		return;
	}
}

static int hex_value(char c)
{
	const char *at = c != '\0' ? strchr(hex_digits, lower(c)) : NULL;

	return at != NULL ? (int)(at - hex_digits) : -1;
}

static const struct {
	char letter;
	unsigned shift;
} byte_units[] = {{'G', 30}, {'M', 20}, {'k', 10}};

int text_to_bytes(const char *text, uint64_t *bytes, struct error *error)
{
	size_t digits = strspn(text, "0123456789");
	unsigned shift = 0;
	char number[24];

	for (size_t i = 0; i < sizeof(byte_units) / sizeof(byte_units[0]); i++)
		if (text[digits] == byte_units[i].letter)
			shift = byte_units[i].shift;
	if (digits == 0 || digits >= sizeof(number) || (text[digits] != '\0' && (shift == 0 || text[digits + 1] != '\0')))
		return error_set(error, "\"%.64s\" is not a number of bytes: a whole number, with k, M or G behind it or none",
		                 text);
	memcpy(number, text, digits);
	number[digits] = '\0';
	if (text_to_number(number, 0, UINT64_MAX >> shift, bytes, error) != 0)
		return -1;
	*bytes <<= shift;
	return 0;
}

void text_put_bytes(struct text *text, uint64_t bytes)
{
	for (size_t i = 0; i < sizeof(byte_units) / sizeof(byte_units[0]); i++) {
		if (bytes == 0 || (bytes & ((UINT64_C(1) << byte_units[i].shift) - 1)) != 0)
			continue;
		text_printf(text, "%llu%c", (unsigned long long)(bytes >> byte_units[i].shift), byte_units[i].letter);
		return;
	}
	text_printf(text, "%llu", (unsigned long long)bytes);
}

int text_from_hex(const char *hex, uint8_t *bytes, size_t size)
{
	size_t length = 0;

	for (; hex[0] != '\0'; hex += 2) {
		int high = hex_value(hex[0]);
		int low = high >= 0 ? hex_value(hex[1]) : -1;

		if (low < 0 || length == size)
			return -1;
		bytes[length++] = (uint8_t)(high << 4 | low);
	}
	return (int)length;
}
