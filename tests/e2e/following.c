/* What the scenarios of traces share. */
#include "following.h"

#include <check.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct gateway far, near;

void pair_start(void)
{
	control_make_folder();
	gateway_start(&far, "ccissl",
	              "[gateway]\nsysid = HOST1\n[listener l]\naddress = 127.0.0.1:0\nservice = s\n"
	              "[service s]\naddress = builtin:echo\n" TLS_SECTION);
	gateway_start(
	    &near, "ccisslgw",
	    "[gateway]\nsysid = GW1\nworkers = 2\n[listener l]\naddress = 127.0.0.1:0\nunsecured_connections = allow\n"
	    "direct = yes\ntarget = HOST1\n[listener b]\naddress = 127.0.0.1:0\nunsecured_connections = allow\n"
	    "target = HOST1\nproxy_from = " BALANCER "\n"
	    "[rule no]\nsysid = BAD*\naction = refuse\n[peer P]\naddress = 127.0.0.1:%d\ntargets = HOST1\n"
	    "security = required\nserver_name = localhost\n" TLS_SECTION "[control]\nsocket = %s\n",
	    far.ports[0], control_path);
}

void pair_stop(void)
{
	gateway_stop(&near);
	gateway_stop(&far);
	control_remove_folder();
}

void say(const char *words, int status, const char *out, const char *err)
{
	char line[256];
	int got;

	(void)snprintf(line, sizeof(line), "--socket %s %s", control_path, words);
	got = control_command_line("ccisslgw", "", line);
	ck_assert_msg(got == status, "%s: %d, %s%s", words, got, control_out, control_err);
	ck_assert_msg(out == NULL || strstr(control_out, out) != NULL, "%s: %s", words, control_out);
	ck_assert_msg(err == NULL || strstr(control_err, err) != NULL, "%s: %s", words, control_err);
}

void wait_for_silence(void)
{
	for (int i = 0; i < 500; i++) {
		say("trace", 0, NULL, NULL);
		if (strcmp(control_out, "nothing is traced\n") == 0)
			return;
		usleep(10000);
	}
	ck_abort_msg("%s", control_out);
}

/* --- a ctl that follows --- */

struct follower follower;

/* The next line, without its end; NULL when there is none any more. */
static const char *next_line(void)
{
	char *line = follower.text + follower.used;

	if (fgets(line, (int)(sizeof(follower.text) - follower.used), follower.lines) == NULL)
		return NULL;
	follower.used += strlen(line);
	return line;
}

void follow(const char *what, bool json)
{
	char program[128];
	int ends[2];

	(void)snprintf(program, sizeof(program), "%s/ccisslgw", gateway_build());
	ck_assert_int_eq(pipe(ends), 0);
	follower.used = 0;
	follower.pid = fork();
	ck_assert_int_ge(follower.pid, 0);
	if (follower.pid == 0) {
		(void)dup2(ends[1], STDOUT_FILENO);
		close(ends[0]);
		close(ends[1]);
		if (json)
			(void)execl(program, program, "ctl", "--socket", control_path, "--json", "trace", what, NULL);
		else
			(void)execl(program, program, "ctl", "--socket", control_path, "trace", what, NULL);
		_exit(127);
	}
	close(ends[1]);
	follower.lines = fdopen(ends[0], "r");
	ck_assert_ptr_nonnull(follower.lines);
	ck_assert_ptr_nonnull(next_line());
	ck_assert_msg(strstr(follower.text, "tracing") != NULL, "%s", follower.text);
}

const char *line_with(const char *text)
{
	const char *line;

	while ((line = next_line()) != NULL)
		if (strstr(line, text) != NULL)
			return line;
	ck_abort_msg("no %s in: %s", text, follower.text);
}

int unfollow(int signal_number)
{
	int status;

	if (signal_number != 0)
		ck_assert_int_eq(kill(follower.pid, signal_number), 0);
	while (next_line() != NULL)
		;
	(void)fclose(follower.lines);
	ck_assert_int_eq(waitpid(follower.pid, &status, 0), follower.pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
}

/* --- what comes --- */

int offer_to(int port, const char *sysid, const char *agent, int security)
{
	uint8_t offer[4096], answer[4096];
	size_t size = peer_offer(offer, 1, security, sysid, NULL);
	int fd = peer_connect(port), type = 0;

	if (agent != NULL)
		size = peer_add(offer, size, 4, agent, strlen(agent));
	if (peer_exchange(fd, NULL, offer, size, answer) > 0)
		type = peer_type(answer);
	if (type == 2 && security == 2)
		ck_assert(peer_write(fd, NULL, "this is no ClientHello, this is no ClientHello", 46));
	close(fd);
	return type;
}
