/* What the scenarios of the control socket share. */
#include "controlling.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

char control_out[4 * 1024 * 1024], control_err[8192], control_folder[64], control_path[96];

void control_make_folder(void)
{
	(void)strcpy(control_folder, "/tmp/cci-control-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(control_folder));
	(void)snprintf(control_path, sizeof(control_path), "%s/s", control_folder);
}

void control_remove_folder(void)
{
	ck_assert_int_eq(rmdir(control_folder), 0);
}

static void read_back(const char *path, char *text, size_t size)
{
	FILE *stream = fopen(path, "r");
	size_t got;

	ck_assert_ptr_nonnull(stream);
	got = fread(text, 1, size - 1, stream);
	text[got] = '\0';
	(void)fclose(stream);
	(void)unlink(path);
}

int control_command_line(const char *program, const char *before, const char *words)
{
	char line[2048], out[96], err[96];
	int status;

	(void)snprintf(out, sizeof(out), "%s/out", control_folder);
	(void)snprintf(err, sizeof(err), "%s/err", control_folder);
	(void)snprintf(line, sizeof(line), "%s %s/%s ctl %s >%s 2>%s", before, gateway_build(), program, words, out, err);
	status = system(line);
	ck_assert_msg(WIFEXITED(status), "%s", line);
	read_back(out, control_out, sizeof(control_out));
	read_back(err, control_err, sizeof(control_err));
	return WEXITSTATUS(status);
}

int control_run(const struct gateway *gateway, const char *words)
{
	char line[1024];

	(void)snprintf(line, sizeof(line), "-c %s %s", gateway->config, words);
	return control_command_line("ccissl", "", line);
}

void control_expect(const struct gateway *gateway, const char *words, int status, const char *out, const char *err)
{
	int got = control_run(gateway, words);

	ck_assert_msg(got == status, "%s: %d, and not %d: %s", words, got, status, control_err);
	ck_assert_msg(out == NULL || strstr(control_out, out) != NULL, "%s: no %s in: %s", words, out, control_out);
	ck_assert_msg(err == NULL || strstr(control_err, err) != NULL, "%s: no %s in: %s", words, err, control_err);
}

void control_wait(const struct gateway *gateway, const char *filter, const char *text)
{
	char words[256];

	(void)snprintf(words, sizeof(words), "connections %s", filter);
	for (int i = 0; i < 200; i++) {
		ck_assert_int_eq(control_run(gateway, words), 0);
		if (strstr(control_out, text) != NULL)
			return;
		usleep(20000);
	}
	ck_abort_msg("%s is not in: %s", text, control_out);
}

void control_check_printable(const char *text)
{
	for (; *text != '\0'; text++)
		ck_assert_msg((*text >= ' ' && *text <= '~') || *text == '\n', "a byte %02x", (unsigned char)*text);
}

int control_connect(void)
{
	int fd = peer_connect_unix(control_path);

	ck_assert_int_ge(fd, 0);
	return fd;
}

size_t control_ask(const void *bytes, size_t size)
{
	size_t used = 0;
	ssize_t got;
	int fd = control_connect();

	ck_assert(peer_write(fd, NULL, bytes, size));
	while ((got = read(fd, control_out + used, sizeof(control_out) - 1 - used)) > 0)
		used += (size_t)got;
	control_out[used] = '\0';
	close(fd);
	return used;
}

void control_say(const char *request, const char *wanted)
{
	(void)control_ask(request, strlen(request));
	ck_assert_msg(strstr(control_out, wanted) != NULL, "%s: no %s in: %s", request, wanted, control_out);
	ck_assert_msg(strchr(control_out, '\n') == control_out + strlen(control_out) - 1, "not one line: %s", control_out);
}

struct control_client control_client(const struct gateway *gateway, const char *sysid, const char *agent, bool secured)
{
	struct control_client client = {.fd = peer_connect(gateway->ports[0])};
	uint8_t offer[4096], answer[4096];
	size_t size = peer_offer(offer, 1, secured ? 2 : 0, sysid, NULL);
	int got;

	if (agent != NULL)
		size = peer_add(offer, size, 4, agent, strlen(agent));
	got = peer_exchange(client.fd, NULL, offer, size, answer);
	ck_assert_int_gt(got, 0);
	ck_assert_int_eq(peer_type(answer), 2);
	if (secured) {
		client.ssl = peer_tls_client(client.fd, &(struct peer_tls){.alpn = "cci-upgrade/1", .ca = CERTS "ca.pem"});
		ck_assert_ptr_nonnull(client.ssl);
		ck_assert(peer_confirm_both(client.ssl, offer, size, answer, (size_t)got));
	}
	ck_assert(peer_write(client.fd, client.ssl, "ping", 4));
	ck_assert(peer_read(client.fd, client.ssl, answer, 4));
	return client;
}

void control_part(struct control_client *client)
{
	peer_free(client->fd, client->ssl);
}
