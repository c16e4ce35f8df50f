/* Files watched: what the kernel tells, what only a look shows, and files that are half written. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "filewatch.h"
#include "suite.h"

#define NEVER_MS (3600u * 1000)

static char folder[64];

static const char *path_of(const char *name)
{
	static char paths[4][96];
	static int next;
	char *path = paths[next++ % 4];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

static void make_folder(void)
{
	(void)strcpy(folder, "/tmp/test-filewatch-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void)
{
	static const char *const names[] = {"a", "b", "part", "link", "deep/a", "moved/a"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		(void)unlink(path_of(names[i]));
	(void)rmdir(path_of("deep"));
	(void)rmdir(path_of("moved"));
	ck_assert_int_eq(rmdir(folder), 0);
}

static void append(const char *name, const char *text)
{
	FILE *stream = fopen(path_of(name), "a");

	ck_assert_ptr_nonnull(stream);
	(void)fputs(text, stream);
	ck_assert_int_eq(fclose(stream), 0);
}

struct scene {
	uv_loop_t loop;
	struct filewatch *watch;
	int reports;
};

static void on_changed(void *context)
{
	((struct scene *)context)->reports++;
}

static void open_scene(struct scene *scene, const char *const *paths, size_t count, uint64_t poll_ms)
{
	struct error error;

	scene->reports = 0;
	ck_assert_int_eq(uv_loop_init(&scene->loop), 0);
	scene->watch = filewatch_new(on_changed, scene);
	ck_assert_ptr_nonnull(scene->watch);
	ck_assert_int_eq(filewatch_set(scene->watch, paths, count, poll_ms, &error), 0);
}

static void close_scene(struct scene *scene)
{
	filewatch_close(scene->watch);
	(void)uv_run(&scene->loop, UV_RUN_DEFAULT);
	ck_assert_int_eq(uv_loop_close(&scene->loop), 0);
}

/* Until so many reports, at most five seconds. */
static void run_until(struct scene *scene, int reports)
{
	uint64_t until_ns = uv_hrtime() + UINT64_C(5000000000);

	while (scene->reports < reports && uv_hrtime() < until_ns) {
		(void)uv_run(&scene->loop, UV_RUN_NOWAIT);
		usleep(1000);
	}
	ck_assert_int_eq(scene->reports, reports);
}

static void run_for(struct scene *scene, unsigned time_ms)
{
	uint64_t until_ns = uv_hrtime() + time_ms * UINT64_C(1000000);

	while (uv_hrtime() < until_ns) {
		(void)uv_run(&scene->loop, UV_RUN_NOWAIT);
		usleep(1000);
	}
}

/* The ways in which a file becomes another. */
static void change(int way)
{
	switch (way) {
	case 0:
		append("a", "more");
		break;
	case 1:
		append("part", "other");
		ck_assert_int_eq(rename(path_of("part"), path_of("a")), 0);
		break;
	case 2:
		ck_assert_int_eq(unlink(path_of("a")), 0);
		break;
	case 3:
		ck_assert_int_eq(chmod(path_of("a"), 0400), 0);
		break;
	default:
		append("b", "appears");
		break;
	}
}

START_TEST(the_kernel_tells)
{
	struct scene scene;
	const char *const paths[] = {path_of("a"), path_of("b")};

	append("a", "text");
	open_scene(&scene, paths, 2, NEVER_MS);
	filewatch_start(scene.watch, &scene.loop);
	run_for(&scene, 20);
	ck_assert_int_eq(scene.reports, 0);
	change(_i);
	run_until(&scene, 1);
	run_for(&scene, 500);
	ck_assert_int_eq(scene.reports, 1);
	close_scene(&scene);
}
END_TEST

/* A link into a folder that is not watched. */
START_TEST(a_look_shows_what_the_kernel_does_not_tell)
{
	struct scene scene;
	const char *const paths[] = {path_of("link")};

	ck_assert_int_eq(mkdir(path_of("deep"), 0700), 0);
	append("deep/a", "text");
	ck_assert_int_eq(symlink("deep/a", path_of("link")), 0);
	open_scene(&scene, paths, 1, 50);
	filewatch_start(scene.watch, &scene.loop);
	run_for(&scene, 120);
	ck_assert_int_eq(scene.reports, 0);
	append("deep/a", "more");
	run_until(&scene, 1);
	/* The folder goes, and comes back with another file. */
	ck_assert_int_eq(rename(path_of("deep"), path_of("moved")), 0);
	run_until(&scene, 2);
	close_scene(&scene);
}
END_TEST

START_TEST(what_changed_before_the_start_is_reported)
{
	struct scene scene;
	const char *const paths[] = {path_of("a")};

	append("a", "text");
	open_scene(&scene, paths, 1, 50);
	append("a", "more");
	filewatch_start(scene.watch, &scene.loop);
	run_until(&scene, 1);
	close_scene(&scene);
}
END_TEST

START_TEST(a_file_that_is_being_written_is_waited_for)
{
	struct scene scene;
	const char *const paths[] = {path_of("a")};
	bool stalled = false; /* a machine under load is no writer at work */

	append("a", "text");
	open_scene(&scene, paths, 1, NEVER_MS);
	filewatch_start(scene.watch, &scene.loop);
	for (int i = 0; i < 10; i++) {
		uint64_t began_ns = uv_hrtime();

		append("a", "more");
		run_for(&scene, 60);
		stalled = stalled || uv_hrtime() - began_ns > UINT64_C(150000000);
		ck_assert(stalled || scene.reports == 0);
	}
	if (!stalled)
		run_until(&scene, 1);
	close_scene(&scene);
}
END_TEST

START_TEST(others_in_the_folder_do_not_matter)
{
	struct scene scene;
	const char *const paths[] = {path_of("a")};

	append("a", "text");
	open_scene(&scene, paths, 1, NEVER_MS);
	filewatch_start(scene.watch, &scene.loop);
	append("b", "text");
	run_for(&scene, 700);
	ck_assert_int_eq(scene.reports, 0);
	close_scene(&scene);
}
END_TEST

START_TEST(other_files_can_be_set_and_none_watched)
{
	struct scene scene;
	struct error error;
	const char *const paths[] = {path_of("a")}, *const others[] = {path_of("b")};

	open_scene(&scene, paths, 1, NEVER_MS);
	filewatch_start(scene.watch, &scene.loop);
	append("a", "text");
	run_for(&scene, 20);
	/* What was about to be reported is not any more. */
	ck_assert_int_eq(filewatch_set(scene.watch, others, 1, NEVER_MS, &error), 0);
	run_for(&scene, 600);
	ck_assert_int_eq(scene.reports, 0);
	append("b", "text");
	run_until(&scene, 1);
	ck_assert_int_eq(filewatch_set(scene.watch, others, 1, 0, &error), 0);
	append("b", "more");
	run_for(&scene, 600);
	ck_assert_int_eq(scene.reports, 1);
	close_scene(&scene);
}
END_TEST

START_TEST(it_may_end_at_any_time)
{
	struct scene scene;
	const char *const paths[] = {path_of("a"), "/nowhere/at/all", "relative"};

	filewatch_close(NULL);
	open_scene(&scene, paths, 3, NEVER_MS);
	if (_i > 0)
		filewatch_start(scene.watch, &scene.loop);
	if (_i > 1) {
		append("a", "text");
		run_for(&scene, 50);
	}
	close_scene(&scene);
	ck_assert_int_eq(scene.reports, 0);
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("filewatch");
	TCase *tests = tcase_create("filewatch");

	tcase_set_timeout(tests, 30);
	tcase_add_checked_fixture(tests, make_folder, remove_folder);
	tcase_add_loop_test(tests, the_kernel_tells, 0, 5);
	tcase_add_test(tests, a_look_shows_what_the_kernel_does_not_tell);
	tcase_add_test(tests, what_changed_before_the_start_is_reported);
	tcase_add_test(tests, a_file_that_is_being_written_is_waited_for);
	tcase_add_test(tests, others_in_the_folder_do_not_matter);
	tcase_add_test(tests, other_files_can_be_set_and_none_watched);
	tcase_add_loop_test(tests, it_may_end_at_any_time, 0, 3);
	suite_add_tcase(suite, tests);
	return suite;
}
