/* Promises about lines that are written for others to read: JSON, CSV, metrics. */
#ifndef LINESOF_H
#define LINESOF_H

#include "input.h"

/* Printable ASCII, in one line. */
void line_is_tame(const char *line, size_t size);

/* Is `value`, out of JSON, what stands for `text`: itself where that is UTF-8, or else with \xHH for each byte that is no part of it? */
bool line_is_text(const char *value, const char *text);

/* RFC 4180: printable ASCII, lines that end in CR LF, all of as many cells; none begins a formula. */
void csv_is_tame(const char *text, size_t size);

/* Writes samples of any labels and numbers, and reads them by the rules of Prometheus' text format. */
void metrics_parse(struct input *input);

#endif
