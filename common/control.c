/* The control socket: opened, watched, passed on, closed. */
#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control_parts.h"
#include "daemon_parts.h"
#include "listener_unix.h"
#include "log.h"

/* A listening socket. Its memory goes when its handle is closed. */
struct control_door {
	struct control *control;
	struct listener_set set; /* with the one listener */
	uv_poll_t poll;
	bool watched; /* `poll` is open */
};

/* --- who comes --- */

static int accept_now(const struct control *control)
{
	return accept4(control->door->set.at[0].fds[0], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

/* The table of descriptors is full just when somebody has to look what it is full of: some are kept for that. A worker
 * may be faster to take one that is given up. */
static int accept_one(struct control *control)
{
	int fd = accept_now(control);

	while (fd < 0 && (errno == EMFILE || errno == ENFILE) && control->reserves > 0) {
		close(control->reserve[--control->reserves]);
		fd = accept_now(control);
	}
	return fd;
}

static void keep_reserves(struct control *control)
{
	int fd = 0;

	while (fd >= 0 && control->door != NULL && control->reserves < CONTROL_RESERVES) {
		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (fd >= 0)
			control->reserve[control->reserves++] = fd;
	}
}

/* Why nobody can be taken, whom only more descriptors help: a line a minute. */
static void say_failed(struct control *control, int number)
{
	if (complaint_due(&control->complaint, uv_now(&control->daemon->loop)) > 0)
		log_say(MESSAGE_CONTROL_FAILED, "%s", strerrordesc_np(number));
}

static bool is_trouble(int number)
{
	return number != EAGAIN && number != ECONNABORTED && number != EINTR;
}

/* Who finds no room waits in the backlog, and not for those who say nothing. */
static void on_waiting(uv_poll_t *poll, int status, int events)
{
	struct control_door *door = poll->data;
	struct control *control = door->control;
	int fd = 0, number = 0;

	(void)status;
	(void)events;
	while (fd >= 0 && control->count < CONTROL_CLIENTS) {
		fd = accept_one(control);
		number = errno;
		if (fd >= 0)
			control_serve(control, fd);
	}
	if (fd >= 0 || is_trouble(number))
		(void)uv_poll_stop(poll); /* until a client leaves, or a second has passed */
	if (fd >= 0)
		control_make_way(control);
	if (fd < 0 && is_trouble(number))
		say_failed(control, number);
}

static void watch(struct control *control)
{
	if (control->door != NULL && control->door->watched && control->count < CONTROL_CLIENTS)
		(void)uv_poll_start(&control->door->poll, UV_READABLE, on_waiting);
}

void control_left(struct control *control)
{
	/* At once: what a client had is not to be somebody else's. */
	keep_reserves(control);
	watch(control);
}

void control_tick(struct control *control)
{
	if (control == NULL)
		return;
	keep_reserves(control);
	watch(control);
	/* Whoever asks for connections is to know whether all workers come by. */
	for (unsigned i = 0; control->door != NULL && i < control->daemon->worker_count; i++)
		(void)worker_silent_ms(control->daemon->workers[i]);
}

/* --- the socket --- */

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void close_door(struct control_door *door, bool keep_file)
{
	if (door == NULL)
		return;
	/* Before its descriptor is another's. */
	if (door->watched)
		uv_close((uv_handle_t *)&door->poll, on_closed);
	if (!keep_file)
		listener_remove_files(&door->set, NULL);
	listener_close(&door->set);
	if (!door->watched)
		free(door);
}

static struct config_listener section_of(uint64_t mode)
{
	return (struct config_listener){.unix_mode = mode};
}

static int open_set(struct control_door *door, const struct config *config, const struct listener_set *inherited,
                    struct error *error)
{
	const struct config_listener section = section_of(config->control.mode);
	struct address asked;
	char text[sizeof("unix:") + sizeof(((struct sockaddr_un *)NULL)->sun_path)];

	if ((size_t)snprintf(text, sizeof(text), "unix:%s", config->control.socket) >= sizeof(text))
		return error_set(error, "unix:%s is too long for a unix socket", config->control.socket);
	return address_parse(text, 0, &asked, error) == 0
	           ? listener_open_control(&door->set, &asked, &section, inherited, error)
	           : -1;
}

/* Then the files are the other process's still. */
static bool is_passed_on(const struct listener_set *inherited)
{
	return inherited != NULL && inherited->count > 0;
}

static int open_door(struct control *control, const struct config *config, const struct listener_set *inherited,
                     struct error *error)
{
	struct control_door *door = calloc(1, sizeof(*door));

	if (door == NULL)
		return error_set(error, "not enough memory");
	door->control = control;
	if (open_set(door, config, inherited, error) != 0) {
		close_door(door, is_passed_on(inherited));
		return -1;
	}
	if (uv_poll_init(&control->daemon->loop, &door->poll, door->set.at[0].fds[0]) != 0) {
		close_door(door, is_passed_on(inherited));
		return error_set(error, "it cannot be watched: not enough memory, or raise the limit of open files");
	}
	door->poll.data = door;
	door->watched = true;
	control->prepared = door;
	return 0;
}

static bool is_at(const struct control_door *door, const char *path)
{
	return door != NULL && strcmp(door->set.at[0].asked.socket.local.sun_path, path) == 0;
}

/* --- the whole --- */

struct control *control_new(struct daemon *daemon, struct error *error)
{
	struct control *control = calloc(1, sizeof(*control));

	if (control == NULL) {
		error_set(error, "not enough memory");
		return NULL;
	}
	control->daemon = daemon;
	return control;
}

int control_prepare(struct control *control, const struct config *config, const struct listener_set *inherited,
                    struct error *error)
{
	const char *path = config->control.socket;
	int result = 0;

	control->is_prepared = true;
	control->prepared = NULL;
	control->mode = config->control.mode;
	control->is_below = config->gateway.chroot != NULL;
	if (path == NULL)
		return 0;
	/* One whose file is gone is of no use. Under chroot the path leads elsewhere, and says nothing. */
	if (is_at(control->door, path) && (control->is_below || listener_unix_is_there(&control->door->set.at[0])))
		control->prepared = control->door;
	else if (control->daemon->serving && config->gateway.chroot != NULL)
		result = error_set(error, "%s: under chroot it could not be found from outside: restart", path);
	else
		result = open_door(control, config, inherited, error);
	if (result == 0)
		return 0;
	control_forget(control);
	return error_prefix(error, "%s:%u: [control] socket", config->file,
	                    config_line_of(config, "control", NULL, "socket"));
}

int control_check(const struct config *config, config_report *report, void *context)
{
	unsigned line = config_line_of(config, "control", NULL, "socket");
	struct error error;
	int judged = config->control.socket != NULL ? unixsocket_judge(config->control.socket, &error) : 0;

	if (judged == 0)
		return 0;
	error_prefix(&error, "[control] socket");
	report(context, judged < 0, config->file, line, error.text);
	return judged < 0 ? -1 : 0;
}

void control_use(struct control *control)
{
	const struct config_listener section = section_of(control->mode);
	struct error error;

	if (!control->is_prepared)
		return;
	/* It may be of the configuration, or the process, before. Under chroot its path leads elsewhere. */
	if (control->prepared != NULL && !control->is_below &&
	    listener_unix_permit(&control->prepared->set.at[0], &section, &error) != 0)
		log_say(MESSAGE_CONFIG_WARNING, "[control] socket: %s", error.text);
	if (control->prepared != control->door) {
		close_door(control->door, false);
		control->door = control->prepared;
	}
	control->prepared = NULL;
	control->is_prepared = false;
	control_tick(control);
}

void control_forget(struct control *control)
{
	if (control == NULL || !control->is_prepared)
		return;
	if (control->prepared != control->door)
		close_door(control->prepared, false);
	control->prepared = NULL;
	control->is_prepared = false;
}

const struct listener_set *control_listeners(const struct control *control)
{
	static const struct listener_set none;
	const struct control_door *door = control->door != NULL ? control->door : control->prepared;

	return door != NULL ? &door->set : &none;
}

void control_hand_over(struct control *control)
{
	close_door(control->door, true);
	control->door = NULL;
}

void control_close(struct control *control, bool keep_files)
{
	if (control == NULL)
		return;
	control_cut(control);
	if (control->is_prepared && control->prepared != control->door)
		close_door(control->prepared, keep_files);
	close_door(control->door, keep_files);
	control->door = control->prepared = NULL;
	control->is_prepared = false;
	while (control->reserves > 0)
		close(control->reserve[--control->reserves]);
}

void control_free(struct control *control)
{
	free(control);
}
