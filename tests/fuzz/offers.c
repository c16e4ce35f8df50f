/* What a client may begin with. */
#include "offers.h"

#include <string.h>

#include "play.h"

void offers_proxy_header(struct side *side, uint8_t which)
{
	static const char *const headers[] = {"PROXY TCP4 10.1.2.3 10.0.0.1 4000 1202\r\n", "PROXY UNKNOWN\r\n",
	                                      "PROXY TCP6 fe80::1 fe80::2 1 2\r\n", "PROXY TCP4 10.1.2.3\r\n", ""};
	static const uint8_t version2[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x0a\1\2\3\x0a\0\0\1\x0f\xa0\x04\xb2";

	which %= 6;
	if (which < 5)
		stream_put(&side->outbox, headers[which], strlen(headers[which]));
	else
		stream_put(&side->outbox, version2, sizeof(version2) - 1);
	side->prologue = gate_proxy_header(stream_at(&side->outbox), stream_size(&side->outbox));
}

void offers_fill(struct letter *offer, bool direct, uint8_t what, uint8_t target)
{
	static const uint8_t securities[] = {2, 3, 1, 0, 4, 5};
	static const char *const names[] = {"PC1", "PC2", "NEVER1", "REFUSE1", "fuzz", "TOO LONG \x01", "LIMIT1", "AUDIT1"};
	static const char *const targets[] = {"",     "S1",   "S2",   "S3",   "ECHO", "*PING", SITE_SYSID, "PNONE",
	                                      "POFF", "PON",  "PREQ", "PDIR", "PRAT", "PTWO",  "FARAWAY",  "NOBODY"};
	static const uint32_t maxrus[] = {4096, 256, 1048576, 255};
	uint8_t security = direct ? 4 : securities[(what & 7) % 6], hops = what >> 6;

	if (direct && (what & 7) == 7)
		security = 2;
	letter_begin(offer, LETTER_OFFER, 0, maxrus[target >> 6]);
	letter_add(offer, ID_SECURITY, &security, 1);
	letter_add_text(offer, ID_SYSID, names[what >> 3 & 7]);
	if (targets[target & 15][0] != '\0')
		letter_add_text(offer, ID_TARGET, targets[target & 15]);
	if (target & 16)
		letter_add(offer, ID_TLS, target & 32 ? "\3\3\3\3" : "\3\4\3\4", 4);
	if (hops > 0) {
		hops--;
		letter_add(offer, ID_HOPS, &hops, 1);
	}
}
