/* Plug-ins, built when the test runs: those that are taken, and why each other one is not. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "notifier.h"
#include "notifier_plugin.h"
#include "suite.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static char folder[64], object[96], words[512];

/* What a plug-in of this test is made of; each variant defines some of it otherwise. */
static const char source[] =
    "#include <cci/notifier.h>\n#include <stdio.h>\n#include <signal.h>\n#include <stdlib.h>\n#include <string.h>\n"
    "#ifndef SIZE\n#define SIZE sizeof(struct cci_notifier_kind)\n#endif\n"
    "#ifndef VERSION\n#define VERSION CCI_NOTIFIER_VERSION\n#endif\n"
    "#ifndef NAME\n#define NAME cci_notifier_plugin\n#endif\n"
    "#ifndef OPEN\n#define OPEN open_it\n#endif\n"
    "#ifndef CLOSE\n#define CLOSE close_it\n#endif\n"
    "static FILE *trace;\n"
    "int open_it(const struct cci_notifier_options *o, void **s, char *e, size_t n) {\n"
    "	if (o->argument == NULL) return -1;\n"
    "	if (o->argument[0] != '/') { memset(e, 'x', n); return -1; }\n"
    "	sigset_t m; sigprocmask(SIG_SETMASK, NULL, &m);\n"
    "	*s = trace = fopen(o->argument, \"a\"); if (!sigismember(&m, SIGTERM)) fprintf(trace, \"signals \"); "
    "fprintf(trace, \"open %s %u\\n\", o->name, (unsigned)o->interval_ms); "
    "return 0; }\n"
    "int notify_it(void *s, const struct cci_event *v) { fprintf(s, \"event %d\\n\", v->type); return v->type == "
    "CCI_REFUSED ? 4 : 0; }\n"
    "void close_it(void *s) { fprintf(s, \"close\\n\"); fclose(s); }\n"
    "void reopen_it(void *s) { fprintf(s, \"reopen\\n\"); }\n"
    "void status_it(void *s, struct cci_notifier_status *t) { (void)s; t->written = 7; memset(t->error, 'e', "
    "sizeof(t->error)); }\n"
    "uint32_t wants_it(void *s) { (void)s; return CCI_WANTS(CCI_RECORD) | CCI_WANTS(CCI_UNSECURED); }\n"
    "struct bigger { struct cci_notifier_kind kind; void (*later)(void); };\n"
    "#ifdef BIGGER\n#define WHOLE const struct bigger NAME = {\n#define END , 0};\n"
    "#else\n#define WHOLE const struct cci_notifier_kind NAME =\n#define END ;\n#endif\n"
    "WHOLE { .size = SIZE, .version = VERSION, .kind = \"test\", .open = OPEN, .notify = notify_it, .close = CLOSE,\n"
    "	.reopen = reopen_it, .status = status_it,\n"
    "#ifdef WANTS\n	.wants = WANTS,\n#endif\n"
    "#ifdef INSTANCE\n	.instance_wants = wants_it,\n#endif\n"
    "} END\n";

static void run(const char *format, ...)
{
	char command[1024];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(command, sizeof(command), format, arguments);
	va_end(arguments);
	ck_assert_int_eq(system(command), 0);
}

static void build(const char *defines)
{
	char file[128];
	FILE *stream;

	(void)snprintf(folder, sizeof(folder), "/tmp/cci-plugin-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(file, sizeof(file), "%s/p.c", folder);
	stream = fopen(file, "w");
	ck_assert_ptr_nonnull(stream);
	(void)fputs(source, stream);
	ck_assert_int_eq(fclose(stream), 0);
	(void)snprintf(object, sizeof(object), "%s/p.so", folder);
	(void)umask(022);
	run("${CC:-cc} -std=c11 -D_GNU_SOURCE -Iinclude -shared -fPIC %s -o %s %s", defines, object, file);
}

static void clean(void)
{
	run("rm -rf %s", folder);
}

/* As a section of the file would have it; and what notifiers_new says. */
static struct notifiers *open_with(const char *argument, const struct notifiers *before)
{
	static const struct cci_notifier_kind *const kinds[] = {&notifier_plugin_kind, NULL};
	struct config_notifier section = {.place = {(char *)(uintptr_t) "n", 3},
	                                  .kind = (char *)(uintptr_t) "plugin",
	                                  .path = object,
	                                  .argument = (char *)(uintptr_t)argument,
	                                  .interval_ms = 17};
	struct config config = {.file = (char *)(uintptr_t) "f", .notifiers = &section, .notifier_count = 1};
	struct error error = {.text = ""};
	struct notifiers *notifiers =
	    notifiers_new(&config, &(const struct notifier_source){.kinds = kinds, .before = before}, &error);

	(void)snprintf(words, sizeof(words), "%s", error.text);
	return notifiers;
}

static void expect(const char *text)
{
	ck_assert_msg(strstr(words, text) != NULL, "%s is not in: %s", text, words);
}

struct refused {
	const char *defines;
	const char *command; /* done to the object; NULL: nothing */
	const char *says[3];
};

static const struct refused refuseds[] = {
    {"-DVERSION=1",
     NULL,
     {"was built against version 1 of cci/notifier.h, and this gateway has version 2: build it anew"}},
    {"-DVERSION=1 -DSIZE=48", NULL, {"was built against version 1 of"}},
    {"-DVERSION=3",
     NULL,
     {"against version 3 of cci/notifier.h, and this gateway has version 2", "or upgrade the gateway"}},
    {"-DSIZE=7", NULL, {"size in cci_notifier_plugin is 7: set it to sizeof(struct cci_notifier_kind)"}},
    {"-DSIZE=47", NULL, {"size in cci_notifier_plugin is 47, and version 2 has at least 48 bytes"}},
    {"-DNAME=other", NULL, {"p.so does not export cci_notifier_plugin: it has to define"}},
    {"-DOPEN=NULL", NULL, {"p.so: open in cci_notifier_plugin is NULL"}},
    {"-DCLOSE=NULL", NULL, {"p.so: close in cci_notifier_plugin is NULL"}},
    {"", "chmod g+w", {"p.so has mode 0775: others than its owner", "(chmod go-w)"}},
    {"", "chmod o+w", {"p.so has mode 0757"}},
    {"", "sh -c 'chmod o+w $(dirname $0)'", {"everybody may write in its folder /tmp/cci-plugin-"}},
    {"", "truncate -s 100", {"p.so cannot be loaded: ", "build it as a shared object for this machine"}},
    {"", "rm", {"p.so: No such file or directory: build the plug-in, or correct path"}},
    {"", "sh -c 'rm $0 && mkdir $0'", {"p.so is not a regular file: name the shared object itself"}},
    {"", "sh -c 'rm $0 && mkfifo $0'", {"p.so is not a regular file"}},
};

START_TEST(what_is_not_taken)
{
	const struct refused *refused = &refuseds[_i];

	build(refused->defines);
	if (refused->command != NULL)
		run("%s %s", refused->command, object);
	ck_assert_ptr_null(open_with("/dev/null", NULL));
	expect("f:3: [notifier n] cannot be opened: /tmp/cci-plugin-");
	for (size_t i = 0; i < COUNT(refused->says) && refused->says[i] != NULL; i++)
		expect(refused->says[i]);
	clean();
}
END_TEST

START_TEST(what_others_own_is_not_taken)
{
	build("");
	if (getuid() == 0) {
		ck_assert_int_eq(chown(object, 4711, 0), 0);
		ck_assert_ptr_null(open_with("/dev/null", NULL));
		expect("p.so belongs to user 4711, who could change what runs in this process: give it to root");
		ck_assert_int_eq(chown(object, 0, 0), 0);
		ck_assert_int_eq(chown(folder, 4711, 0), 0);
		ck_assert_ptr_null(open_with("/dev/null", NULL));
		expect("belongs to user 4711, who could put another file there");
	}
	clean();
}
END_TEST

START_TEST(one_that_does_not_open_says_why)
{
	build("");
	ck_assert_ptr_null(open_with("short", NULL));
	expect("cannot be opened: xxxxxxxx");
	ck_assert_ptr_null(open_with(NULL, NULL));
	expect("p.so does not open, and does not say why");
	clean();
}
END_TEST

static int tell(struct notifiers *notifiers, int type)
{
	struct cci_event event = {.size = sizeof(event), .version = CCI_NOTIFIER_VERSION, .type = type, .fd = -1};

	return notifiers_tell(notifiers, &event, NULL) == REASON_NONE ? 0 : -1;
}

static void expect_trace(const char *file, const char *text)
{
	FILE *stream = fopen(file, "r");
	char got[512];

	ck_assert_ptr_nonnull(stream);
	got[fread(got, 1, sizeof(got) - 1, stream)] = '\0';
	(void)fclose(stream);
	ck_assert_str_eq(got, text);
}

struct taken {
	const char *defines;
	uint64_t written; /* as its status says */
	bool reopens;
	const char *events;
};

static const struct taken takens[] = {
    {"", 7, true, "event 2\nevent 5\n"},
    {"-DBIGGER -DSIZE=\"sizeof(struct bigger)\"", 7, true, "event 2\nevent 5\n"},
    {"-DSIZE=48", 0, false, "event 2\nevent 5\n"},
    {"-DWANTS=\"CCI_WANTS(CCI_HANDSHAKE_DONE)\"", 7, true, "event 2\n"},
    {"-DWANTS=CCI_WANTS_ALL", 7, true, "event 2\nevent 7\nevent 5\n"},
    {"-DINSTANCE -DWANTS=\"CCI_WANTS(CCI_HANDSHAKE_DONE)\"", 7, true, "event 7\n"},
};

START_TEST(what_is_taken_is_called_for_what_it_wants)
{
	const struct taken *taken = &takens[_i];
	struct notifier_state state;
	struct notifiers *notifiers, *next;
	char trace[96], expected[256];
	sigset_t mask;

	build(taken->defines);
	(void)snprintf(trace, sizeof(trace), "%s/trace", folder);
	notifiers = open_with(trace, NULL);
	ck_assert_msg(notifiers != NULL, "%s", words);
	(void)sigprocmask(SIG_SETMASK, NULL, &mask);
	ck_assert_int_eq(sigismember(&mask, SIGTERM), 0);
	ck_assert_int_eq(notifiers_want(notifiers, CCI_RECORD), strstr(taken->events, "event 7") != NULL);
	ck_assert_int_eq(tell(notifiers, CCI_HANDSHAKE_DONE), 0);
	ck_assert_int_eq(tell(notifiers, CCI_RECORD), 0);
	/* The instance outlives its snapshot where nothing was changed. */
	next = open_with(trace, notifiers);
	ck_assert_ptr_nonnull(next);
	notifiers_free(notifiers);
	notifiers_reap();
	ck_assert_int_eq(tell(next, CCI_REFUSED), 0);
	notifiers_reopen(next);
	notifiers_state(next, 0, &state);
	ck_assert_uint_eq(state.status.written, taken->written);
	ck_assert_uint_eq(state.failed, strstr(taken->events, "event 5") != NULL);
	ck_assert_uint_lt(strnlen(state.status.error, sizeof(state.status.error)), sizeof(state.status.error));
	notifiers_free(next);
	notifiers_reap();
	(void)snprintf(expected, sizeof(expected), "open n 17\n%s%sclose\n", taken->events,
	               taken->reopens ? "reopen\n" : "");
	expect_trace(trace, expected);
	clean();
}
END_TEST

static void note_finding(void *context, bool is_error, const char *file, unsigned line, const char *text)
{
	(void)context;
	ck_assert(is_error);
	(void)snprintf(words, sizeof(words), "%s:%u: %s", file, line, text);
}

START_TEST(the_check_finds_it_before)
{
	struct config_notifier section = {
	    .place = {(char *)(uintptr_t) "n", 3}, .kind = (char *)(uintptr_t) "plugin", .path = object};
	struct config config = {.file = (char *)(uintptr_t) "f", .notifiers = &section, .notifier_count = 1};

	build("");
	ck_assert_int_eq(notifier_plugin_check(&config, note_finding, NULL), 0);
	run("chmod g+w %s", object);
	ck_assert_int_eq(notifier_plugin_check(&config, note_finding, NULL), -1);
	expect("f:0: [notifier n] path: /tmp/cci-plugin-");
	expect("has mode 0775");
	clean();
}
END_TEST

Suite *module_suite(void)
{
	Suite *suite = suite_create("notifier_plugin");
	TCase *tests = tcase_create("notifier_plugin");

	tcase_set_timeout(tests, 30);
	tcase_add_loop_test(tests, what_is_not_taken, 0, COUNT(refuseds));
	tcase_add_test(tests, what_others_own_is_not_taken);
	tcase_add_test(tests, one_that_does_not_open_says_why);
	tcase_add_loop_test(tests, what_is_taken_is_called_for_what_it_wants, 0, COUNT(takens));
	tcase_add_test(tests, the_check_finds_it_before);
	suite_add_tcase(suite, tests);
	return suite;
}
