/*
 * Prometheus' text format, version 0.0.4: families with HELP and TYPE, samples with labels. Knows nothing of what is
 * measured. Errors are the stream's, and stay in it (ferror).
 */
#ifndef METRICS_TEXT_H
#define METRICS_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct metrics_label {
	const char *name;  /* ours, and valid as it is */
	const char *value; /* any text: escaped. NULL or "": the label is left out */
};

/* Begin a family: `type` is counter, gauge or histogram. */
void metrics_family(FILE *stream, const char *name, const char *type, const char *help);

/* A sample of family `name`. */
void metrics_number(FILE *stream, const char *name, const struct metrics_label *labels, size_t count, uint64_t number);
void metrics_real(FILE *stream, const char *name, const struct metrics_label *labels, size_t count, double number);

/* A family of one sample without labels. */
void metrics_one(FILE *stream, const char *name, const char *type, const char *help, uint64_t number);

/* A histogram's samples. `bounds` are `count` upper bounds in seconds; `buckets` has the counts of each, not summed up,
 * and that of +Inf behind them. */
struct metrics_histogram {
	const double *bounds;
	const uint64_t *buckets;
	size_t count;
	double sum;
};

void metrics_histogram(FILE *stream, const char *name, const struct metrics_label *label,
                       const struct metrics_histogram *histogram);

#endif
