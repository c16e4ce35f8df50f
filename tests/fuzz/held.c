/* What earlier sessions of a run leave behind for later ones, by docs/protocol.md and what they did: none of it is asked of the gateway. */
#include "held.h"

#include <string.h>
#include <strings.h>

static unsigned moment;

void held_begin(struct play *play)
{
	play->begun = ++moment;
}

void held_end(struct play *play, const struct record *record)
{
	play->over = ++moment;
	play->peer_secured = record->back.secured;
}

/* Its relay was over when the other began: what it has taught the gateway, that one is held to. */
static bool is_before(const struct play *play, const struct play *other)
{
	return play->over != 0 && play->over < other->begun && play->relayed;
}

static void text_of(const struct side *side, uint16_t id, char text[65])
{
	const uint8_t *bytes = side->own.bytes, *value;
	size_t size = side->own.size, length = 0;

	if (side->kind != SIDE_DIRECT)
		size = gate_delivered(side, &bytes);
	value = size > 0 && bytes[6] == 1 ? letter_find(bytes, size, id, &length) : NULL;
	if (value == NULL || length > 64)
		length = 0;
	else
		memcpy(text, value, length);
	text[length] = '\0';
}

bool held_name(const struct play *play)
{
	char name[65], earlier[65];

	text_of(&play->front, ID_SYSID, name);
	for (size_t i = 0; i < play_count; i++) {
		const struct play *other = &plays[i];

		if (!is_before(other, play) || !other->secured || other->listener->ratchet != CHOICE_YES)
			continue;
		text_of(&other->front, ID_SYSID, earlier);
		if (name[0] != '\0' && strcasecmp(name, earlier) == 0)
			return true;
	}
	return false;
}

bool held_peer(const struct play *play)
{
	for (size_t i = 0; i < play_count; i++)
		if (is_before(&plays[i], play) && plays[i].peer == play->peer && plays[i].peer_secured)
			return play->peer->ratchet == CHOICE_YES;
	return false;
}

/* --- places under [rule limit], which admits one --- */

static bool is_ident(const struct play *play)
{
	return strcmp(play->listener->place.name, "ident") == 0;
}

static bool has_limit(const struct play *play)
{
	char name[65];

	text_of(&play->front, ID_SYSID, name);
	return strncasecmp(name, "LIMIT", 5) == 0 && !is_ident(play);
}

static bool is_accepted(const struct side *side)
{
	return side->message_whole && stream_at(&side->said)[5] == LETTER_ACCEPT;
}

bool held_place(const struct play *play)
{
	for (size_t i = 0; i < play_count; i++)
		if (&plays[i] != play && plays[i].records == 0 && is_accepted(&plays[i].front) && has_limit(&plays[i]))
			return has_limit(play);
	return false;
}

/* --- [rule ident]: who has the certificate, and names no service, comes to S2; and nobody else does --- */

const char *held_service(const struct play *play)
{
	bool is_second = play->service != NULL && strcmp(play->service->place.name, "S2") == 0;
	char name[65], target[65];

	text_of(&play->front, ID_SYSID, name);
	text_of(&play->front, ID_TARGET, target);
	if (!is_ident(play) || play->front.tampered || target[0] != '\0' || strncasecmp(name, "PC", 2) != 0)
		return NULL;
	if (is_second == (play->front.manners.cert == CERT_CLIENT))
		return NULL;
	return is_second ? "the service is for whoever has the certificate" : "its certificate leads to another service";
}
