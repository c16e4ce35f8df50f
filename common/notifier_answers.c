/* Counts answers that come from any thread, and wakes the loop that waits for them. */
#include "notifier_answers.h"

#include <pthread.h>
#include <stdlib.h>

struct answer {
	struct cci_pending pending;
	struct notifier_answers *all;
	size_t tag;
	int result;
};

struct notifier_answers {
	pthread_mutex_t lock; /* of due, abandoned, the results, and of whether `woken` may be sent to */
	size_t due;
	bool abandoned;
	uv_async_t *woken; /* owned by its loop; NULL: nobody waits */
	notifier_answered *done;
	void *owner;
	size_t count;
	struct answer at[];
};

static void free_all(struct notifier_answers *answers)
{
	(void)pthread_mutex_destroy(&answers->lock);
	free(answers);
}

struct notifier_answers *notifier_answers_new(size_t most)
{
	struct notifier_answers *answers = calloc(1, sizeof(*answers) + most * sizeof(answers->at[0]));

	if (answers != NULL)
		(void)pthread_mutex_init(&answers->lock, NULL);
	return answers;
}

/* The last one that comes to what nobody wants frees it. */
static void take_answer(struct cci_pending *pending, int result)
{
	struct answer *answer = OWNER_OF(pending, struct answer, pending);
	struct notifier_answers *answers = answer->all;
	bool last;

	(void)pthread_mutex_lock(&answers->lock);
	answer->result = result;
	answers->due--;
	if (answers->due == 0 && answers->woken != NULL)
		(void)uv_async_send(answers->woken);
	last = answers->due == 0 && answers->abandoned;
	(void)pthread_mutex_unlock(&answers->lock);
	if (last)
		free_all(answers);
}

struct cci_pending *notifier_answers_expect(struct notifier_answers *answers, size_t tag)
{
	struct answer *answer = &answers->at[answers->count];

	*answer = (struct answer){.pending = {.answer = take_answer}, .all = answers, .tag = tag, .result = CCI_FAILED};
	(void)pthread_mutex_lock(&answers->lock);
	answers->count++;
	answers->due++;
	(void)pthread_mutex_unlock(&answers->lock);
	return &answer->pending;
}

bool notifier_answers_due(struct notifier_answers *answers)
{
	bool due;

	(void)pthread_mutex_lock(&answers->lock);
	due = answers->due > 0;
	(void)pthread_mutex_unlock(&answers->lock);
	return due;
}

static void free_handle(uv_handle_t *handle)
{
	free(handle);
}

/* Nobody sends to it from now on. */
static void stop_waiting(struct notifier_answers *answers)
{
	uv_async_t *woken;

	(void)pthread_mutex_lock(&answers->lock);
	woken = answers->woken;
	answers->woken = NULL;
	(void)pthread_mutex_unlock(&answers->lock);
	if (woken != NULL)
		uv_close((uv_handle_t *)woken, free_handle);
}

static void on_woken(uv_async_t *woken)
{
	struct notifier_answers *answers = woken->data;

	if (uv_is_closing((uv_handle_t *)woken) || notifier_answers_due(answers))
		return;
	stop_waiting(answers);
	answers->done(answers->owner, answers);
}

int notifier_answers_wait(struct notifier_answers *answers, uv_loop_t *loop, notifier_answered *done, void *owner)
{
	uv_async_t *woken = malloc(sizeof(*woken));

	if (woken == NULL || uv_async_init(loop, woken, on_woken) != 0) {
		free(woken);
		return -1;
	}
	woken->data = answers;
	answers->done = done;
	answers->owner = owner;
	(void)pthread_mutex_lock(&answers->lock);
	answers->woken = woken;
	if (answers->due == 0)
		(void)uv_async_send(woken);
	(void)pthread_mutex_unlock(&answers->lock);
	return 0;
}

bool notifier_answers_at(struct notifier_answers *answers, size_t i, size_t *tag, int *result)
{
	if (i >= answers->count)
		return false;
	(void)pthread_mutex_lock(&answers->lock);
	*tag = answers->at[i].tag;
	*result = answers->at[i].result;
	(void)pthread_mutex_unlock(&answers->lock);
	return true;
}

void notifier_answers_free(struct notifier_answers *answers)
{
	bool last;

	if (answers == NULL)
		return;
	stop_waiting(answers);
	(void)pthread_mutex_lock(&answers->lock);
	answers->abandoned = true;
	last = answers->due == 0;
	(void)pthread_mutex_unlock(&answers->lock);
	if (last)
		free_all(answers);
}
