/* A plain HTTP client. */
#include "web.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer.h"

#define ANSWER_MOST (8 * 1024 * 1024)

int web_port(const struct gateway *gateway, int number)
{
	char line[8192];
	int port = 0;
	FILE *stream;

	ck_assert_int_ge(gateway_lines(gateway, number, "id=CCI1090I", NULL, NULL), number);
	stream = fopen(gateway->log, "r");
	ck_assert_ptr_nonnull(stream);
	while (number > 0 && fgets(line, sizeof(line), stream) != NULL) {
		const char *address = strstr(line, "id=CCI1090I") != NULL ? strstr(line, "address=127.0.0.1:") : NULL;

		number -= strstr(line, "id=CCI1090I") != NULL;
		port = address != NULL ? atoi(address + strlen("address=127.0.0.1:")) : 0;
	}
	(void)fclose(stream);
	return port;
}

char *web_raw(int fd, const char *request)
{
	char *answer = malloc(ANSWER_MOST);
	size_t used = 0;
	ssize_t got;

	ck_assert_ptr_nonnull(answer);
	if (fd >= 0)
		(void)!send(fd, request, strlen(request), MSG_NOSIGNAL);
	while (fd >= 0 && used < ANSWER_MOST - 1 && (got = recv(fd, answer + used, ANSWER_MOST - 1 - used, 0)) > 0)
		used += (size_t)got;
	answer[used] = '\0';
	if (fd >= 0)
		close(fd);
	return answer;
}

char *web_get(int port, const char *path)
{
	char request[512];

	(void)snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n\r\n", path, port);
	return web_raw(peer_connect(port), request);
}

int web_status(const char *answer)
{
	return strncmp(answer, "HTTP/1.1 ", 9) == 0 || strncmp(answer, "HTTP/1.0 ", 9) == 0 ? atoi(answer + 9) : 0;
}

const char *web_body(const char *answer)
{
	const char *end = strstr(answer, "\r\n\r\n");

	return end != NULL ? end + 4 : "";
}

char *web_await(int port, const char *path, const char *words)
{
	char *answer = NULL;

	for (int i = 0; i < 200; i++) {
		free(answer);
		answer = web_get(port, path);
		if (strstr(answer, words) != NULL)
			return answer;
		usleep(50000);
	}
	ck_abort_msg("%s never said %s: %.600s", path, words, answer);
	return NULL;
}
