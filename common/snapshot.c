/* A configuration in force, with what is made from it. */
#include "snapshot.h"

#include <stdlib.h>

#include "keyclient.h"

static struct target_memory **new_memories(size_t count)
{
	return calloc(count + 1, sizeof(struct target_memory *));
}

static int make_memories(struct snapshot *snapshot, struct error *error)
{
	const struct config *config = snapshot->config;
	bool complete;

	snapshot->services = new_memories(config->service_count);
	snapshot->peers = new_memories(config->peer_count);
	complete = snapshot->services != NULL && snapshot->peers != NULL;
	for (size_t i = 0; complete && i < config->service_count; i++) {
		snapshot->services[i] = target_memory_new(config->services[i].place.name, &config->services[i].address);
		complete = snapshot->services[i] != NULL;
	}
	for (size_t i = 0; complete && i < config->peer_count; i++) {
		snapshot->peers[i] = target_memory_new(config->peers[i].place.name, &config->peers[i].address);
		complete = snapshot->peers[i] != NULL;
	}
	return complete ? 0 : error_set(error, "not enough memory");
}

static int make_rules(struct snapshot *snapshot, struct error *error)
{
	const struct config *config = snapshot->config;

	snapshot->rules = calloc(config->rule_count + 1, sizeof(struct rulelimit *));
	if (snapshot->rules == NULL)
		return error_set(error, "not enough memory");
	for (size_t i = 0; i < config->rule_count; i++) {
		if (!rulelimit_wanted(&config->rules[i]))
			continue;
		snapshot->rules[i] = rulelimit_new(&config->rules[i]);
		if (snapshot->rules[i] == NULL)
			return error_set(error, "not enough memory");
	}
	return 0;
}

static void free_memories(struct target_memory **memories, size_t count)
{
	for (size_t i = 0; memories != NULL && i < count; i++)
		target_memory_free(memories[i]);
	free(memories);
}

static void free_snapshot(struct snapshot *snapshot)
{
	for (unsigned i = 0; snapshot->parts != NULL && i < snapshot->workers; i++)
		tls_worker_free(snapshot->parts[i].tls);
	free(snapshot->parts);
	free_memories(snapshot->services, snapshot->config->service_count);
	free_memories(snapshot->peers, snapshot->config->peer_count);
	for (size_t i = 0; snapshot->rules != NULL && i < snapshot->config->rule_count; i++)
		rulelimit_free(snapshot->rules[i]);
	free(snapshot->rules);
	notifiers_free(snapshot->notifiers);
	free(snapshot);
}

struct snapshot *snapshot_new(struct config *config, unsigned workers, const struct notifier_source *notifiers,
                              struct error *error)
{
	struct snapshot *snapshot = calloc(1, sizeof(*snapshot));

	if (snapshot == NULL) {
		error_set(error, "not enough memory");
		return NULL;
	}
	snapshot->config = config;
	snapshot->workers = workers;
	atomic_init(&snapshot->references, 1);
	snapshot->parts = calloc(workers, sizeof(*snapshot->parts));
	if (snapshot->parts == NULL)
		error_set(error, "not enough memory");
	else
		snapshot->notifiers = notifiers_new(config, notifiers, error);
	if (snapshot->notifiers == NULL || make_memories(snapshot, error) != 0 || make_rules(snapshot, error) != 0)
		goto err;
	for (unsigned i = 0; i < workers; i++) {
		keyclient_for(i);
		snapshot->parts[i].tls = tls_worker_new(config, error);
		if (snapshot->parts[i].tls == NULL)
			goto err;
	}
	return snapshot;
err:
	free_snapshot(snapshot);
	return NULL;
}

static void remember(struct target_memory **memory, struct target_memory **before, size_t count, const char *name,
                     const struct address_list *addresses)
{
	for (size_t i = 0; i < count; i++) {
		if (!target_memory_is_for(before[i], name, addresses))
			continue;
		target_memory_free(*memory);
		*memory = target_memory_share(before[i]);
		return;
	}
}

static void remember_rule(struct rulelimit **limit, const struct snapshot *before)
{
	for (size_t i = 0; *limit != NULL && i < before->config->rule_count; i++) {
		if (before->rules[i] == NULL || !name_equal(before->rules[i]->name, (*limit)->name))
			continue;
		rulelimit_free(*limit);
		*limit = rulelimit_share(before->rules[i]);
		return;
	}
}

void snapshot_use_limits(const struct snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->config->rule_count; i++)
		if (snapshot->rules[i] != NULL)
			rulelimit_set(snapshot->rules[i], &snapshot->config->rules[i]);
}

void snapshot_remember(struct snapshot *snapshot, const struct snapshot *before)
{
	const struct config *config = snapshot->config;

	for (size_t i = 0; i < config->rule_count; i++)
		remember_rule(&snapshot->rules[i], before);
	for (size_t i = 0; i < config->service_count; i++)
		remember(&snapshot->services[i], before->services, before->config->service_count,
		         config->services[i].place.name, &config->services[i].address);
	for (size_t i = 0; i < config->peer_count; i++)
		remember(&snapshot->peers[i], before->peers, before->config->peer_count, config->peers[i].place.name,
		         &config->peers[i].address);
}

void snapshot_release(struct snapshot *snapshot)
{
	struct config *config;

	if (snapshot == NULL || atomic_fetch_sub_explicit(&snapshot->references, 1, memory_order_acq_rel) != 1)
		return;
	config = snapshot->config;
	free_snapshot(snapshot);
	config_free(config);
}

struct snapshot *snapshot_use(struct snapshot *snapshot, unsigned worker)
{
	if (snapshot->parts[worker].users++ == 0)
		(void)atomic_fetch_add_explicit(&snapshot->references, 1, memory_order_relaxed);
	return snapshot;
}

void snapshot_leave(struct snapshot *snapshot, unsigned worker)
{
	if (--snapshot->parts[worker].users > 0)
		return;
	tls_worker_leave(snapshot->parts[worker].tls);
	snapshot_release(snapshot);
}
