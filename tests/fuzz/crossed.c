/* What the other end of a connection has sent. */
#include "side.h"

const uint8_t *side_payload(const struct side *side, size_t *size)
{
	const uint8_t *bytes = stream_at(&side->delivered);
	size_t have = stream_size(&side->delivered), before = side->prologue;

	if (side->ssl != NULL) {
		*size = stream_size(&side->plain) - side->plain_prologue;
		return stream_at(&side->plain) + side->plain_prologue;
	}
	if (side->kind == SIDE_CLIENT || side->kind == SIDE_PEER)
		before += have > before ? letter_length(bytes + before, have - before) : 0;
	*size = have > before ? have - before : 0;
	return have > before ? bytes + before : bytes;
}

bool side_ended_cleanly(const struct side *side)
{
	if (side->ssl != NULL)
		return (SSL_get_shutdown(side->ssl) & SSL_SENT_SHUTDOWN) && stream_size(&side->outbox) == 0;
	return side->end_gone;
}
