/* Messages of the exchange in words. */
#include "params_text.h"

#include <string.h>

#include "reason.h"

#define TYPE_OFFSET 5 /* protocol, section 1 */

static void put_text(struct text *text, const char *name, const char *value)
{
	if (value[0] == '\0')
		return;
	text_printf(text, " %s=\"", name);
	text_put_escaped(text, value, strlen(value));
	text_puts(text, "\"");
}

static const char *tls_word(uint16_t version)
{
	return version == 0x0303 ? "1.2" : version == 0x0304 ? "1.3" : "unknown";
}

static void put_security(const struct params *params, struct text *text)
{
	const char *word;

	if (params->type == PARAMS_OFFER)
		word = params_security_word((enum params_security)params->security);
	else if (params->type == PARAMS_ACCEPT)
		word = params_answer_word((enum params_answer)params->security);
	else
		return;
	text_printf(text, " security=%s(%u)", word, params->security);
}

static void put_optional(const struct params *params, struct text *text)
{
	if (params->has_tls)
		text_printf(text, " tls=%s-%s", tls_word(params->tls_lowest), tls_word(params->tls_highest));
	if (params->has_connection) {
		text_puts(text, " connection=");
		text_put_hex(text, params->connection, sizeof(params->connection));
	}
	if (params->has_hops)
		text_printf(text, " hops=%u", params->hops);
}

void params_text(const struct params *params, struct text *text)
{
	text_printf(text, "%s cpu=%s", params_type_word(params->type), params->cpu == PARAMS_EBCDIC ? "ebcdic" : "utf-8");
	if (params->type == PARAMS_OFFER || params->type == PARAMS_ACCEPT)
		text_printf(text, " maxru=%u", params->maxru);
	if (params->type == PARAMS_REFUSE)
		text_printf(text, " reason=%u(%s)", params->reason, reason_word(reason_from_code(params->reason)));
	put_security(params, text);
	put_text(text, "sysid", params->sysid);
	put_text(text, "target", params->target);
	put_text(text, "agent", params->agent);
	put_text(text, "text", params->text);
	put_optional(params, text);
	if (params->type == PARAMS_CONFIRM)
		text_puts(text, " verifier=(32 bytes, not shown)");
}

void params_text_bytes(const uint8_t *bytes, size_t size, size_t most, struct text *text)
{
	bool hidden = size > TYPE_OFFSET && bytes[TYPE_OFFSET] == PARAMS_CONFIRM && size > PARAMS_HEADER_SIZE;
	size_t shown = hidden ? PARAMS_HEADER_SIZE : size;

	if (shown > most)
		shown = most;
	text_put_hex(text, bytes, shown);
	if (hidden)
		text_puts(text, "... verifier not shown");
	else if (shown < size)
		text_printf(text, "... %zu more", size - shown);
}
