/* How the gateway goes: for people and probes. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "http_parts.h"
#include "inspect.h"
#include "jsontext.h"
#include "keyholder.h"
#include "clock.h"
#include "report.h"

#define CONNECTIONS_MOST 500
#define REPORT_MOST 500 /* names, and entries: whoever invents them shall not fill the page */
#define SILENT_MS 3000 /* a worker that has not come by for so long does not answer */

static void put_words(struct http_reply *reply, unsigned status, const char *format, ...) PRINTF_LIKE(3, 4);

static void put_words(struct http_reply *reply, unsigned status, const char *format, ...)
{
	va_list arguments;
	char *words = NULL;
	int size;

	va_start(arguments, format);
	size = vasprintf(&words, format, arguments);
	va_end(arguments);
	if (size < 0)
		return;
	*reply =
	    (struct http_reply){.status = status, .type = "text/plain; charset=utf-8", .body = words, .size = (size_t)size};
}

/* --- health --- */

void http_watch_workers(struct http *http)
{
	for (unsigned i = 0; i < http->daemon->worker_count; i++)
		(void)worker_silent_ms(http->daemon->workers[i]);
}

void http_health(struct http *http, struct http_reply *reply)
{
	const struct daemon *daemon = http->daemon;

	for (unsigned i = 0; i < daemon->worker_count; i++) {
		uint64_t silent_ms = worker_silent_ms(daemon->workers[i]);

		if (silent_ms >= SILENT_MS) {
			put_words(reply, MHD_HTTP_SERVICE_UNAVAILABLE, "worker %u has not answered for %llu s\n", i,
			          (unsigned long long)(silent_ms / 1000));
			return;
		}
	}
	put_words(reply, MHD_HTTP_OK, "ok: %u worker%s answer%s\n", daemon->worker_count,
	          daemon->worker_count == 1 ? "" : "s", daemon->worker_count == 1 ? "s" : "");
}

const char *http_unready(const struct daemon *daemon)
{
	const struct notifiers *notifiers = daemon->snapshot->notifiers;
	struct notifier_state state;

	if (daemon->succeeded)
		return "retired: another process has taken over";
	if (daemon->draining)
		return "draining: no new connections are taken";
	if (!daemon->serving)
		return "starting";
	if (keyholder_trouble() != NULL)
		return keyholder_trouble();
	/* It would refuse every connection that comes. */
	for (size_t i = 0; i < notifiers_count(notifiers); i++) {
		notifiers_state(notifiers, i, &state);
		if (state.on_error == ON_ERROR_REFUSE && state.status.failing)
			return "a notifier with on_error = refuse takes nothing: every connection would be refused";
	}
	return NULL;
}

void http_ready(struct http *http, struct http_reply *reply)
{
	const char *why = http_unready(http->daemon);

	put_words(reply, why == NULL ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, "%s\n", why == NULL ? "ready" : why);
}

/* --- /status.json --- */

void http_status(struct http *http, struct http_reply *reply)
{
	struct daemon *daemon = http->daemon;
	struct connection_filter filter = {.most = CONNECTIONS_MOST};
	json_t *whole = json_pack(
	    "{s:o,s:o,s:I,s:o,s:o,s:o,s:o,s:o,s:I,s:o}", "status", inspect_status(daemon), "connections",
	    inspect_connections(daemon, &filter), "connections_total", (json_int_t)quota_count(daemon->shared.quota),
	    "report", report_json_most(daemon->shared.report, REPORT_MOST), "certificates", inspect_certificates(daemon),
	    "peers", inspect_peers(daemon), "notifiers", inspect_notifiers(daemon), "rules", inspect_rules(daemon),
	    "ratcheted", (json_int_t)ratchet_count(daemon->shared.ratchet), "history",
	    history_json(http->history, http_now_s(http), clock_utc_us()));
	char *body = json_line(whole, NULL);

	if (body != NULL)
		*reply = (struct http_reply){
		    .status = MHD_HTTP_OK, .type = "application/json; charset=utf-8", .body = body, .size = strlen(body)};
}
