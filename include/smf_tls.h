/* The TLS sections of SMF records of type 119, and the event as these records see it. Pure. See smf.h. */
#ifndef SMF_TLS_H
#define SMF_TLS_H

#include "smf.h"

#define SMF_BLANK 0x40 /* EBCDIC */

/* Fill the section of subtype 11 (SMF_TLS_SIZE bytes) from an event of a secured connection. */
void smf_tls(uint8_t *section, const struct smf_origin *origin, const struct cci_event *event);

/* The section of subtype 12 (SMF_TLS_SUMMARY_SIZE bytes) from that of subtype 11. */
void smf_tls_summary(uint8_t *summary, const uint8_t *section);

/* Text into a field of `size` bytes: code page 1047, in capitals, cut, or padded with blanks. */
void smf_put_text(uint8_t *at, size_t size, const char *text);

#endif
