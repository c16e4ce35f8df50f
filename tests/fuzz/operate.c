/* The operator, and the machine. */
#include "operate.h"

#include <stdio.h>
#include <string.h>

#include "fuzz.h"
#include "names.h"
#include "play.h"
#include "session_view.h"
#include "trace.h"
#include "world.h"

static void disturb_all(void)
{
	for (size_t i = 0; i < play_count; i++)
		plays[i].disturbed = true;
}

/* One of all services and peers; NULL: there are none. */
static struct target_memory *pick_memory(const struct site *site, uint8_t which)
{
	const struct config *config = site->config;
	size_t services = config->service_count, all = services + config->peer_count;

	if (all == 0)
		return NULL;
	which = (uint8_t)(which % all);
	return which < services ? site->snapshot->services[which] : site->snapshot->peers[which - services];
}

void operate(const struct site *site, uint8_t what)
{
	const struct config *config = site->config;

	disturb_all();
	switch (what & 3) {
	case 0:
		session_drain(&site_host);
		break;
	case 1:
		session_end_all(&site_host, REASON_DRAIN_EXPIRED);
		break;
	case 2:
		for (size_t i = 0; i < config->peer_count; i++) {
			if (what & 4)
				(void)target_memory_disconnect(site->snapshot->peers[i], true);
			(void)session_end_peer(&site_host, site->snapshot->peers[i]);
		}
		site_trouble = site_trouble || (what & 4) != 0;
		break;
	default:
		if (play_count > 0 && plays[0].session != NULL) {
			uint8_t id[16];

			memcpy(id, plays[0].session->record.connection, sizeof(id));
			(void)!session_view_end(&site_host, id, REASON_OPERATOR, "by the fuzzer");
		}
		break;
	}
}

/* --- traces --- */

static const char trace_words[] = "sysid=PC*", source_words[] = "0.0.0.0/0";

static void trace_on(uint8_t how)
{
	struct trace_target target = {.kind = how & 1 ? TRACE_SYSID : TRACE_SOURCE};
	struct error error;

	(void)snprintf(target.words, sizeof(target.words), "%s", how & 1 ? trace_words : source_words);
	if (target.kind == TRACE_SOURCE)
		FUZZ_CHECK(network_parse(source_words, &target.source, &error) == 0, "no network");
	FUZZ_CHECK(trace_log_on(&target, &error) == 0, "no trace: %s", error.text);
}

static void trace_off(void)
{
	(void)!trace_log_off(trace_words);
	(void)!trace_log_off(source_words);
}

/* --- health --- */

static void find(const struct site *site, uint8_t how)
{
	struct target_memory *memory = pick_memory(site, how >> 2);
	struct target_finding finding = {.reason = how & 1 ? REASON_CONNECT_REFUSED : REASON_NONE,
	                                 .detail = how & 1 ? "nobody listens" : "",
	                                 .now_ms = world_now_ms()};

	if (memory == NULL)
		return;
	for (size_t i = 0; i < target_memory_count(memory); i++)
		if (i == 0 || how & 2)
			(void)target_memory_found(memory, i, &finding);
	site_trouble = true;
	disturb_all();
}

void operate_machine(const struct site *site, uint8_t what, uint8_t how)
{
	struct session_view views[PLAYS];

	switch (what % 8) {
	case 0:
		world_reverse();
		break;
	case 1:
		world_no_descriptors(how & 3);
		disturb_all();
		break;
	case 2:
		site_limit_buffers(how & 1 ? 20000 : 0);
		break;
	case 3:
		(void)!session_view_slice(&site_host, UINT64_MAX, views, PLAYS);
		break;
	case 4:
		site_limit(how);
		disturb_all();
		break;
	case 5:
		if (how & 4)
			trace_off();
		else
			trace_on(how);
		break;
	case 6:
		find(site, how);
		break;
	default:
		names_answer(how);
		if (how & 4)
			disturb_all();
		break;
	}
}

void operate_over(const struct site *site)
{
	const struct config *config = site->config;

	trace_off();
	for (size_t i = 0; i < config->service_count; i++)
		target_memory_forget_health(site->snapshot->services[i]);
	for (size_t i = 0; i < config->peer_count; i++) {
		target_memory_forget_health(site->snapshot->peers[i]);
		(void)target_memory_disconnect(site->snapshot->peers[i], false);
	}
}
