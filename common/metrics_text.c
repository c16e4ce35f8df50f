/* Prometheus' text format. */
#include "metrics_text.h"

#include <inttypes.h>

static void put_escaped(FILE *stream, const char *value)
{
	for (; *value != '\0'; value++)
		if (*value == '\\' || *value == '"')
			(void)fprintf(stream, "\\%c", *value);
		else if (*value == '\n')
			(void)fputs("\\n", stream);
		else
			(void)fputc(*value, stream);
}

static void put_labels(FILE *stream, const struct metrics_label *labels, size_t count)
{
	const char *before = "{";

	for (size_t i = 0; i < count; i++) {
		if (labels[i].value == NULL || labels[i].value[0] == '\0')
			continue;
		(void)fprintf(stream, "%s%s=\"", before, labels[i].name);
		put_escaped(stream, labels[i].value);
		(void)fputc('"', stream);
		before = ",";
	}
	if (before[0] == ',')
		(void)fputc('}', stream);
}

void metrics_family(FILE *stream, const char *name, const char *type, const char *help)
{
	(void)fprintf(stream, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void metrics_number(FILE *stream, const char *name, const struct metrics_label *labels, size_t count, uint64_t number)
{
	(void)fputs(name, stream);
	put_labels(stream, labels, count);
	(void)fprintf(stream, " %" PRIu64 "\n", number);
}

void metrics_real(FILE *stream, const char *name, const struct metrics_label *labels, size_t count, double number)
{
	(void)fputs(name, stream);
	put_labels(stream, labels, count);
	(void)fprintf(stream, " %.15g\n", number);
}

void metrics_one(FILE *stream, const char *name, const char *type, const char *help, uint64_t number)
{
	metrics_family(stream, name, type, help);
	metrics_number(stream, name, NULL, 0, number);
}

void metrics_histogram(FILE *stream, const char *name, const struct metrics_label *label,
                       const struct metrics_histogram *histogram)
{
	struct metrics_label labels[] = {*label, {"le", NULL}};
	uint64_t count = 0;
	char whole[96], bound[32];

	(void)snprintf(whole, sizeof(whole), "%s_bucket", name);
	for (size_t i = 0; i <= histogram->count; i++) {
		count += histogram->buckets[i];
		if (i < histogram->count)
			(void)snprintf(bound, sizeof(bound), "%g", histogram->bounds[i]);
		labels[1].value = i < histogram->count ? bound : "+Inf";
		metrics_number(stream, whole, labels, 2, count);
	}
	(void)snprintf(whole, sizeof(whole), "%s_sum", name);
	metrics_real(stream, whole, label, 1, histogram->sum);
	(void)snprintf(whole, sizeof(whole), "%s_count", name);
	metrics_number(stream, whole, label, 1, count);
}
