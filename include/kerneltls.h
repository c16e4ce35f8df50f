/* Does this kernel do TLS (Documentation/networking/tls.rst)? Looked at, said, and not used: see docs/performance.md.
 */
#ifndef KERNELTLS_H
#define KERNELTLS_H

#include <stdbool.h>

/* Is the TCP upper layer protocol "tls" there? */
bool kerneltls_there(void);

/* The same in words for --version and the log; static. */
const char *kerneltls_words(void);

#endif
