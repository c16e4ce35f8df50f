/*
 * A strict reader of Prometheus' text format (version 0.0.4), written from its document; shares nothing with the programs.
 */
#ifndef PROMTEXT_H
#define PROMTEXT_H

#include <stdbool.h>

/* Fails the test with the line at fault, unless `text` is: families of HELP, TYPE and samples that stand together, each once; names,
 * labels and numbers as the format has them; no series twice; counters ending in _total; histograms that grow from bucket
 * to bucket, with +Inf equal to their count. */
void promtext_check(const char *text);

/* The value of the sample that begins so ("name{label=\"a\"}"), which must be there; -1 where it is not. */
double promtext_value(const char *text, const char *series);

/* The names of all families, each followed by a space, into `names`. */
void promtext_families(const char *text, char *names, unsigned long size);

#endif
