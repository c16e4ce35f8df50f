/*
 * Answers of the control socket as tables for people. What strangers said is escaped: only printable ASCII is written.
 * Each takes one answer of its verb; 0, or -1 where the stream fails.
 */
#ifndef CONTROL_PRINT_H
#define CONTROL_PRINT_H

#include <jansson.h>
#include <stdio.h>

int control_print_status(const json_t *answer, FILE *stream);
int control_print_connections(const json_t *answer, FILE *stream);
int control_print_rules(const json_t *answer, FILE *stream);
int control_print_peers(const json_t *answer, FILE *stream);
int control_print_certificates(const json_t *answer, FILE *stream);
int control_print_notifiers(const json_t *answer, FILE *stream);
int control_print_ratchet(const json_t *answer, FILE *stream);

int control_print_help(const json_t *answer, FILE *stream);

/* The same of one string (without a line feed), and of an array of strings, a line for each; what is none is passed
 * over. */
void control_print_escaped(const json_t *text, FILE *stream);
void control_print_texts(const json_t *texts, FILE *stream);

/* A text, or the members "findings" and "text" of an object; anything else as JSON. */
int control_print_text(const json_t *answer, FILE *stream);

#endif
