/* The notifier kind `socket`: what is open, and what happens, for whoever connects. */
#include "notifier_socket.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "event_json.h"
#include "jsontext.h"
#include "linetable.h"
#include "log.h"
#include "notifier.h"
#include "subscribers.h"
#include "text.h"
#include "unixsocket.h"

struct instance;

/* Where instances of one path listen. */
struct place {
	struct place *next;
	struct subscribers *subscribers;
	struct instance *newest;
	struct unixsocket_file file;
	char *made; /* under which name it listens until it takes over; NULL: it has its own */
	bool hidden; /* under chroot the path leads elsewhere */
	char path[];
};

struct instance {
	struct place *place;
	struct instance *before; /* at the same place */
	char name[NAME_MAX_CHARS + 1];
	uint64_t queue_bytes;
	mode_t mode;
};

/* The main thread's. */
static struct place *places;
static bool serves; /* nobody has to let this process go any more */
static bool handed_over; /* the paths are another process's */
static pid_t predecessor; /* 0: none */

/* --- lines --- */

/* For the list: an event that opened something, told later. */
static char *opened_line(const char *bytes, size_t size, size_t *opened_size)
{
	json_t *line = json_loadb(bytes, size, 0, NULL);
	const char *event = json_string_value(json_object_get(line, "event"));
	bool secured = event != NULL && strcmp(event, event_word(CCI_HANDSHAKE_DONE)) == 0;

	if (line == NULL)
		return NULL;
	(void)json_object_set_new(line, "event", json_string("open"));
	(void)json_object_set_new(line, "secured", json_boolean(secured));
	return json_line(line, opened_size);
}

static enum line_effect effect_of(int type)
{
	switch (type) {
	case CCI_HANDSHAKE_DONE:
	case CCI_UNSECURED:
		return LINE_KEEPS;
	case CCI_HANDSHAKE_FAILED:
	case CCI_REFUSED:
	case CCI_CLOSED:
		return LINE_ENDS;
	default:
		return LINE_PASSES;
	}
}

/* Both sides of a session have the same id. */
static struct line_key key_of(const struct cci_event *event)
{
	struct line_key key;

	memcpy(key.bytes, event->connection, sizeof(event->connection));
	key.bytes[sizeof(event->connection)] = (uint8_t)event->role;
	return key;
}

static struct line *make_line(const struct line_key *key, const struct cci_event *event)
{
	size_t size;
	char *text = event_json(event, &size);
	struct line *line = text != NULL ? line_new(key, text, size) : NULL;

	free(text);
	return line;
}

static int notify_socket(void *state, const struct cci_event *event)
{
	struct subscribers *subscribers = ((struct instance *)state)->place->subscribers;
	enum line_effect effect = effect_of(event->type);
	const struct line_key key = key_of(event);
	enum put_result put = PUT_NO_LINE;
	struct line *line = NULL;
	int result = notifier_check(event);

	if (result != CCI_NOTIFIED)
		return result;
	/* Lines that nobody would read are not made. */
	if (effect != LINE_KEEPS && !subscribers_any(subscribers))
		put = subscribers_put(subscribers, &key, NULL, effect);
	if (put == PUT_NO_LINE) {
		line = make_line(&key, event);
		if (line != NULL)
			put = subscribers_put(subscribers, &key, line, effect);
		else if (effect == LINE_ENDS)
			subscribers_forget(subscribers, &key);
		line_leave(line);
	}
	/* With on_error = refuse, a connection that one subscriber was not told of does not start. */
	return put == PUT_DONE ? CCI_NOTIFIED : CCI_FAILED;
}

/* --- places --- */

static struct place *find_place(const char *path)
{
	for (struct place *place = places; place != NULL; place = place->next)
		if (strcmp(place->path, path) == 0)
			return place;
	return NULL;
}

static const char *file_of(const struct place *place)
{
	return place->made != NULL ? place->made : place->path;
}

/* Its own name, in place of whatever has it. */
static int move_in(struct place *place, struct error *error)
{
	if (place->made == NULL)
		return 0;
	if (rename(place->made, place->path) != 0)
		return unixsocket_fault(place->path, "rename", error);
	free(place->made);
	place->made = NULL;
	return 0;
}

void notifier_socket_succeed(pid_t process)
{
	predecessor = process;
}

/* The process before, or its starter, which has started this one, keeps the path until it lets us go: an upgrade may
 * still fail. */
static int find_room(struct place *place, struct error *error)
{
	pid_t owner = unixsocket_owner(place->path);

	if (owner == 0 || (owner != getppid() && owner != predecessor))
		return unixsocket_make_room(place->path, error);
	if (asprintf(&place->made, "%s.%ld", place->path, (long)getpid()) < 0) {
		place->made = NULL;
		return error_set(error, "not enough memory");
	}
	return unixsocket_make_room(place->made, error);
}

/* The file was removed: nobody can connect any more until there is another one. Who listens already stays. */
static int renew(struct place *place, struct error *error)
{
	struct unixsocket_file file;
	int fd;

	if (!serves || handed_over || place->made != NULL || place->hidden ||
	    unixsocket_is_there(place->path, &place->file))
		return 0;
	fd = unixsocket_make_room(place->path, error) == 0
	         ? unixsocket_listen(place->path, place->newest->mode, &file, error)
	         : -1;
	if (fd < 0)
		return -1;
	if (subscribers_move(place->subscribers, fd) == 0) {
		place->file = file;
		return 0;
	}
	(void)unixsocket_fault(place->path, "dup3", error);
	unixsocket_remove(place->path, &file);
	close(fd);
	return -1;
}

static void free_place(struct place *place)
{
	free(place->made);
	free(place);
}

static struct place *new_place(const struct cci_notifier_options *options, struct error *error)
{
	struct place *place = calloc(1, sizeof(*place) + strlen(options->path) + 1);
	struct subscribers_options listening = {
	    .name = options->name, .limit_bytes = options->queue_bytes, .opened = opened_line};

	if (place == NULL) {
		(void)error_set(error, "not enough memory");
		return NULL;
	}
	memcpy(place->path, options->path, strlen(options->path) + 1);
	listening.fd = find_room(place, error) == 0
	                   ? unixsocket_listen(file_of(place), (mode_t)options->mode, &place->file, error)
	                   : -1;
	if (listening.fd < 0)
		goto err;
	if ((!serves || move_in(place, error) == 0) && (place->subscribers = subscribers_new(&listening, error)) != NULL) {
		place->next = places;
		places = place;
		return place;
	}
	unixsocket_remove(file_of(place), &place->file);
	close(listening.fd);
err:
	free_place(place);
	return NULL;
}

static void close_place(struct place *place)
{
	struct place **at = &places;

	while (*at != place)
		at = &(*at)->next;
	*at = place->next;
	unixsocket_remove(file_of(place), &place->file);
	subscribers_free(place->subscribers);
	free_place(place);
}

/* --- instances --- */

static void use_settings(const struct instance *instance)
{
	subscribers_set(instance->place->subscribers, instance->name, instance->queue_bytes);
}

static int open_socket(const struct cci_notifier_options *options, void **state, char *words, size_t size)
{
	struct instance *instance = calloc(1, sizeof(*instance));
	struct place *place = find_place(options->path);
	mode_t mode = (mode_t)options->mode;
	struct error error = {.text = "not enough memory"};

	if (instance != NULL && place == NULL)
		place = new_place(options, &error);
	else if (instance != NULL && place->newest->mode != mode &&
	         unixsocket_set_mode(file_of(place), &place->file, mode, &error) != 0)
		place = NULL;
	if (instance == NULL || place == NULL) {
		(void)snprintf(words, size, "%s", error.text);
		free(instance);
		return -1;
	}
	*instance =
	    (struct instance){.place = place, .before = place->newest, .queue_bytes = options->queue_bytes, .mode = mode};
	(void)snprintf(instance->name, sizeof(instance->name), "%s", options->name);
	place->newest = instance;
	use_settings(instance);
	*state = instance;
	return 0;
}

/* The one before holds again where the newest goes first: a reload that came to nothing. */
static void close_socket(void *state)
{
	struct instance *instance = state, **at = &instance->place->newest;
	struct place *place = instance->place;
	struct error ignored;

	while (*at != instance)
		at = &(*at)->before;
	*at = instance->before;
	if (place->newest == NULL)
		close_place(place);
	else if (at == &place->newest) {
		use_settings(place->newest);
		if (place->newest->mode != instance->mode)
			(void)!unixsocket_set_mode(file_of(place), &place->file, place->newest->mode, &ignored);
	}
	free(instance);
}

static void status_socket(void *state, struct cci_notifier_status *status)
{
	subscribers_status(((struct instance *)state)->place->subscribers, status);
}

static void take_place(struct place *place)
{
	struct error error;

	if (serves && (move_in(place, &error) != 0 || renew(place, &error) != 0))
		log_say(MESSAGE_SOCKET_NOT_TAKEN, "%s", error.text);
}

/* What could not be taken over may be possible by now, and what was removed is made anew. */
static void reopen_socket(void *state)
{
	take_place(((struct instance *)state)->place);
}

void notifier_socket_take_over(void)
{
	serves = true;
	for (struct place *place = places; place != NULL; place = place->next) {
		place->hidden = !unixsocket_is_there(file_of(place), &place->file);
		take_place(place);
	}
}

void notifier_socket_hand_over(pid_t successor)
{
	handed_over = true;
	for (struct place *place = places; place != NULL; place = place->next)
		subscribers_farewell(place->subscribers, successor);
}

const struct cci_notifier_kind notifier_socket_kind = {
    .size = sizeof(struct cci_notifier_kind),
    .version = CCI_NOTIFIER_VERSION,
    .kind = "socket",
    .open = open_socket,
    .notify = notify_socket,
    .close = close_socket,
    .reopen = reopen_socket,
    .status = status_socket,
};

int notifier_socket_check(const struct config *config, config_report *report, void *context)
{
	int result = 0;

	for (size_t i = 0; i < config->notifier_count; i++) {
		const struct config_notifier *section = &config->notifiers[i];
		struct error error;
		int judged = 0;

		/* Without a path there is another error already. */
		if (section->kind != NULL && strcmp(section->kind, "socket") == 0 && section->path != NULL)
			judged = unixsocket_judge(section->path, &error);
		if (judged == 0)
			continue;
		error_prefix(&error, "[notifier %s] path", section->place.name);
		report(context, judged < 0, config->file, config_line_of(config, "notifier", section->place.name, "path"),
		       error.text);
		result = judged < 0 ? -1 : result;
	}
	return result;
}
