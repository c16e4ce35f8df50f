/* A configuration in force, with what is made from it. */
#include "snapshot.h"

#include <stdlib.h>

static int make_memories(struct target_memory **memories, size_t count)
{
	*memories = calloc(count + 1, sizeof(**memories));
	return *memories != NULL ? 0 : -1;
}

static int make_part(struct snapshot_part *part, const struct config *config, struct error *error)
{
	if (make_memories(&part->services, config->service_count) != 0 ||
	    make_memories(&part->peers, config->peer_count) != 0)
		return error_set(error, "not enough memory");
	for (size_t i = 0; i < config->service_count; i++)
		if (target_memory_init(&part->services[i], config->services[i].address.count) != 0)
			return error_set(error, "not enough memory");
	for (size_t i = 0; i < config->peer_count; i++)
		if (target_memory_init(&part->peers[i], config->peers[i].address.count) != 0)
			return error_set(error, "not enough memory");
	part->tls = tls_worker_new(config, error);
	return part->tls != NULL ? 0 : -1;
}

static void free_part(struct snapshot_part *part, const struct config *config)
{
	for (size_t i = 0; part->services != NULL && i < config->service_count; i++)
		target_memory_close(&part->services[i]);
	for (size_t i = 0; part->peers != NULL && i < config->peer_count; i++)
		target_memory_close(&part->peers[i]);
	free(part->services);
	free(part->peers);
	tls_worker_free(part->tls);
}

static void free_snapshot(struct snapshot *snapshot)
{
	for (unsigned i = 0; snapshot->parts != NULL && i < snapshot->workers; i++)
		free_part(&snapshot->parts[i], snapshot->config);
	free(snapshot->parts);
	notifiers_free(snapshot->notifiers);
	free(snapshot);
}

struct snapshot *snapshot_new(struct config *config, unsigned workers, const struct cci_notifier_kind *const *kinds,
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
		snapshot->notifiers = notifiers_new(config, kinds, error);
	if (snapshot->notifiers == NULL)
		goto err;
	for (unsigned i = 0; i < workers; i++)
		if (make_part(&snapshot->parts[i], config, error) != 0)
			goto err;
	return snapshot;
err:
	free_snapshot(snapshot);
	return NULL;
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
