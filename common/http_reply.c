/* Requests: who may ask, for what, and the headers of every answer. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http_parts.h"

static const char *const headers[][2] = {
    {"Content-Security-Policy",
     "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
     "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
    {"X-Content-Type-Options", "nosniff"},
    {"X-Frame-Options", "DENY"},
    {"Referrer-Policy", "no-referrer"},
    {"Cache-Control", "no-store"},
    {"Cross-Origin-Opener-Policy", "same-origin"},
    {"Cross-Origin-Embedder-Policy", "require-corp"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
};

enum MHD_Result http_send(struct MHD_Connection *connection, unsigned status, const char *type,
                          struct MHD_Response *response)
{
	enum MHD_Result result = MHD_YES;

	if (response == NULL)
		return MHD_NO;
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]) && result == MHD_YES; i++)
		result = MHD_add_response_header(response, headers[i][0], headers[i][1]);
	if (result == MHD_YES)
		result = MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	if (result == MHD_YES && status == MHD_HTTP_METHOD_NOT_ALLOWED)
		result = MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	/* What a refused request still sends is nothing for the next one. */
	if (result == MHD_YES && status >= 400 && status < 500 && status != MHD_HTTP_NOT_FOUND)
		result = MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	/* Without one of them none is sent: the connection is closed. */
	if (result == MHD_YES)
		result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

/* --- who may ask --- */

struct http_request {
	struct MHD_Connection *connection;
	const char *path, *method, *version;
};

/* The host of a Host header without its port, into `name`. 0, or -1: there is none that could be right. */
static int host_of(const char *host, char *name, size_t size)
{
	size_t length = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");

	if (length >= size || length > strlen(host) || (host[length] != '\0' && host[length] != ':') ||
	    strspn(host + length + (host[length] == ':'), "0123456789") != strlen(host + length + (host[length] == ':')))
		return -1;
	memcpy(name, host, length);
	name[length] = '\0';
	return 0;
}

/* Names that lead to this machine whatever a name server says. Another one was made to lead here by a page that wants
 * to read what is not its own (DNS rebinding). */
static bool is_ours(const char *host)
{
	char name[64], text[80];
	struct address address;

	if (host_of(host, name, sizeof(name)) != 0)
		return false;
	if (strcasecmp(name, "localhost") == 0)
		return true;
	(void)snprintf(text, sizeof(text), "%s:1", name);
	return address_parse(text, 0, &address, NULL) == 0 && address.kind == ADDRESS_IP &&
	       socket_is_local(&address.socket);
}

struct seen {
	unsigned hosts;
	bool foreign; /* a host */
	bool body;    /* announced by any of them: which one counts, others may see differently (request smuggling) */
};

static enum MHD_Result on_header(void *context, enum MHD_ValueKind kind, const char *key, const char *value)
{
	struct seen *seen = context;

	(void)kind;
	if (strcasecmp(key, MHD_HTTP_HEADER_HOST) == 0) {
		seen->hosts++;
		seen->foreign |= value == NULL || !is_ours(value);
	}
	seen->body |= strcasecmp(key, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0 ||
	              (strcasecmp(key, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0 && (value == NULL || strcmp(value, "0") != 0));
	return MHD_YES;
}

static const char *header_of(struct MHD_Connection *connection, const char *name)
{
	return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

/* A page of another origin can have a browser ask, though not read: it shall not take places of listeners either. */
static bool is_cross_site(struct MHD_Connection *connection, const char *path)
{
	const char *site = header_of(connection, "Sec-Fetch-Site");

	return site != NULL && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0 && strcmp(path, "/") != 0;
}

/* --- for what --- */

static const struct path {
	const char *path;
	void (*fill)(struct http *http, struct http_reply *reply);
} paths[] = {
    {"/metrics", http_metrics},
    {"/healthz", http_health},
    {"/readyz", http_ready},
    {"/status.json", http_status},
};

static void say(struct http_reply *reply, unsigned status, const char *words)
{
	*reply = (struct http_reply){
	    .status = status, .type = "text/plain; charset=utf-8", .fixed = words, .size = strlen(words)};
}

static void find(struct http *http, const char *path, struct http_reply *reply)
{
	const struct http_file *file = http_file(path);

	if (file != NULL) {
		*reply = (struct http_reply){.status = MHD_HTTP_OK, .type = file->type, .fixed = file->at, .size = file->size};
		return;
	}
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		if (strcmp(paths[i].path, path) == 0) {
			say(reply, MHD_HTTP_INTERNAL_SERVER_ERROR, "not enough memory\n");
			paths[i].fill(http, reply);
			return;
		}
	say(reply, MHD_HTTP_NOT_FOUND, "not found: there are / /metrics /healthz /readyz /status.json /events\n");
}

/* Is something wrong with the request, whatever it asks for? Then the reply says what. */
static bool is_wrong(const struct http_request *request, struct http_reply *reply)
{
	struct seen seen = {0};

	(void)MHD_get_connection_values(request->connection, MHD_HEADER_KIND, on_header, &seen);
	if (seen.hosts > 1 || (seen.hosts == 0 && strcmp(request->version, MHD_HTTP_VERSION_1_0) != 0))
		say(reply, MHD_HTTP_BAD_REQUEST, "one Host header is needed\n");
	else if (seen.foreign)
		say(reply, MHD_HTTP_FORBIDDEN, "this host is asked for by localhost or a loopback address only\n");
	else if (strcmp(request->method, MHD_HTTP_METHOD_GET) != 0 && strcmp(request->method, MHD_HTTP_METHOD_HEAD) != 0)
		say(reply, MHD_HTTP_METHOD_NOT_ALLOWED, "nothing can be changed here: GET and HEAD only\n");
	else if (seen.body)
		say(reply, MHD_HTTP_BAD_REQUEST, "a request has no body here\n");
	else if (is_cross_site(request->connection, request->path))
		say(reply, MHD_HTTP_FORBIDDEN, "not for pages of other sites\n");
	else
		return false;
	return true;
}

static struct MHD_Response *response_of(const struct http_reply *reply)
{
	struct MHD_Response *response;

	if (reply->body == NULL)
		return MHD_create_response_from_buffer(reply->size, (void *)(uintptr_t)reply->fixed, MHD_RESPMEM_PERSISTENT);
	response = MHD_create_response_from_buffer(reply->size, reply->body, MHD_RESPMEM_MUST_FREE);
	if (response == NULL)
		free(reply->body);
	return response;
}

static enum MHD_Result listen_to_events(struct http_client *client)
{
	client->streaming = true;
	client->http->requests[2]++;
	return http_events_answer(client->http, client->connection);
}

/* Called twice for each request: when its headers are there, and when all of it is. An answer the first time ends the
 * connection, which is right for those who did wrong. */
enum MHD_Result http_answer(void *context, struct MHD_Connection *connection, const char *path, const char *method,
                            const char *version, const char *upload, size_t *upload_size, void **state)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct http_client *client = info != NULL ? info->socket_context : NULL;
	const struct http_request request = {connection, path, method, version};
	bool first = *state == NULL;
	struct http_reply reply;

	(void)context;
	(void)upload;
	if (client == NULL)
		return MHD_NO;
	*upload_size = 0;
	*state = client;
	if (first && !is_wrong(&request, &reply))
		return MHD_YES;
	client->answering = true;
	client->since_s = http_now_s(client->http);
	if (!first && strcmp(path, "/events") == 0) {
		if (http_events_count(client->http) < HTTP_LISTENERS)
			return listen_to_events(client);
		say(&reply, MHD_HTTP_SERVICE_UNAVAILABLE, "too many listen already\n");
	} else if (!first) {
		find(client->http, path, &reply);
	}
	client->http->requests[reply.status / 100 % 6]++;
	return http_send(connection, reply.status, reply.type, response_of(&reply));
}
