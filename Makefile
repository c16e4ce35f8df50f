# ccissl and ccisslgw. `make run` shows them at work, `make test` proves them; everything made lies under build/.

SANITIZE ?=
PREFIX ?= /usr/local
DESTDIR ?=
comma := ,
COVERAGE ?=
VARIANT := $(subst $(comma),-,$(SANITIZE))$(if $(COVERAGE),$(if $(SANITIZE),-)coverage)
BUILD ?= build$(if $(VARIANT),/$(VARIANT))
O := $(BUILD)/obj
Q := $(if $(V),,@)

CFLAGS ?= -O2 -g
WERROR ?= -Werror
# OpenSSL's own macros cast const away, which clang lays at our door.
WARNINGS := -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
            -Wpointer-arith $(if $(findstring clang,$(CC)),,-Wcast-qual) -Wwrite-strings -Wundef $(WERROR)
HARDENING := -fstack-protector-strong -fPIE $(if $(SANITIZE),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
# COVERAGE=1 counts lines and branches; several threads count at once. GCOV_PREFIX says where to.
COVERING := $(if $(COVERAGE),--coverage -fprofile-update=atomic -DCCI_COVERAGE)
SANITIZERS := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer)
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -pthread -Iinclude $(WARNINGS) $(HARDENING) $(SANITIZERS) $(COVERING) $(CFLAGS)
ALL_LDFLAGS = -pie -pthread -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack $(SANITIZERS) $(COVERING) $(LDFLAGS)
LIBS := -lssl -lcrypto -luv -linih -lcap-ng -lsystemd -ljansson -lmicrohttpd -lseccomp -ldl

# By layers, the lowest first: includes point down only (tests/tools/layers).
COMMON := text clock file identity address log messages reason ebcdic rows rows_table inireader config memfile memwipe \
          config_values config_check config_check_tls config_check_unused config_dump account \
          config_check_listen complaint config_check_sight iobudget keyhash jsontext linereader appendfile \
          eventring binding unixsocket thread lookup linetable tableprint sidecar memorytrim
COMMON += keywire keyprovider keyprovider_sign chain verify metrics metrics_text history params policy route confirm tlsload tlskey keyclient keytable tlscredential tlstrust \
          tlstickets tlscontext tlsexpiry tlsserver tlscontext_load tlsverdict kerneltls ratchet quota noise \
          target_memory rate rulelimit admission ratchet_file proxyheader proxyheader_write params_text \
          trace_held trace report report_json report_names report_print report_line
COMMON += event_tls smf smf_tls smf_sessions smf_table smf_file notifier notifier_answers poller iocontext channel channel_tls bio resolver \
          connector filewatch subscriber subscribers subscribers_thread event_json outlet eventfile
COMMON += notifier_smf exchange handshake target relay linger record notifier_log proxyin notifier_mark \
          notifier_plugin notifier_socket notifier_file
COMMON += session_report record_json snapshot dial session session_stages session_target session_relay health dial_offer \
          session_limits session_proxy session_deadlines session_view session_account session_notify session_trace
COMMON += keyholder keyholder_serve keyholder_filter keyholder_paths daemon_keys verify_command report_command privileges_mark listener accept worker reload explain daemon daemon_start \
          daemon_reload daemon_renew options listener_unix listener_inherit starter starter_named starter_serve upgrade daemon_upgrade \
          ratchet_keeper subcommand ratchet_command privileges privileges_account privileges_files service inspect inspect_config \
          landlock nocore sandbox sandbox_paths sandbox_calls sandbox_table \
          daemon_service http http_page http_reply http_status http_metrics http_events control control_client \
          control_verbs control_trace control_peers control_print control_command
CCISSL := ccissl/main
CCISSLGW := ccisslgw/main ccisslgw/command ccisslgw/client ccisslgw/connect ccisslgw/ping

# One Check suite for each module: tests/unit/test_NAME.c; and scenarios with the real programs: tests/e2e/test_NAME.c.
UNIT_TESTS := base identity policy explain shared config params channel channel_tls channel_flood tlsverdict tlscontext poller \
              iocontext exchange record relay dial dial_failover resolver target_memory connector target listener \
              accept worker daemon listener_unix listener_inherit upgrade ratchet ratchet_keeper rate health \
              tlstickets tlscredential tlsexpiry filewatch proxyheader proxyin privileges service
UNIT_TESTS += event_tls smf smf_table smf_file
UNIT_TESTS += report report_print report_line jsontext record_json outlet notifier_file chain
UNIT_TESTS += notifier_mark notifier_plugin notifier_socket notifier_socket_path
UNIT_TESTS += control starter memorytrim
UNIT_TESTS += eventring trace params_text
UNIT_TESTS += eventfile verify event_json tlsverdict_reason
E2E_TESTS := exchange rules tls life faults command ratchet peers balance certificates tickets limits proxy \
             proxy_send privileges service deadlines buffers listeners upgrade
E2E_TESTS += operator trace trace_readers
E2E_TESTS += control control_close control_socket control_life
E2E_TESTS += report smf smf_file
E2E_TESTS += subscribers plugin events events_file
UNIT_TESTS += metrics history keyprovider keywire keytable wiping keyholder sandbox
E2E_TESTS += keys http http_life http_events
FAULT_TESTS := e2e_faults_memory e2e_faults_life e2e_faults_calls e2e_faults_peers e2e_faults_operations e2e_faults_disk
E2E_TESTS += $(FAULT_TESTS:e2e_%=%)
E2E_TESTS += sandbox secrets

PROGRAMS := $(BUILD)/ccissl $(BUILD)/ccisslgw
COMMON_OBJECTS := $(COMMON:%=$(O)/common/%.o)
LIBRARY := $(BUILD)/libcommon.a
UNIT_PROGRAMS := $(UNIT_TESTS:%=$(BUILD)/tests/unit_%)
E2E_PROGRAMS := $(E2E_TESTS:%=$(BUILD)/tests/e2e_%)
SOAK_PROGRAMS := $(BUILD)/tests/soak_load $(BUILD)/tests/soak_backend $(BUILD)/tests/soak_tally $(BUILD)/tests/soak_heap.so
BENCH_PROGRAMS := $(BUILD)/tests/bench_load $(BUILD)/tests/bench_backend $(BUILD)/tests/bench_floor
FAULT_LIBRARIES := $(BUILD)/tests/faults_memory.so $(BUILD)/tests/faults_calls.so
E2E_COMMON := $(O)/tests/e2e/peer.o $(O)/tests/e2e/gateway.o

.PHONY: all run test check tests faults planted attacks bench soak clean install deps format docs help FORCE
.DELETE_ON_ERROR:

all: $(PROGRAMS)

help:
	@echo "make run      build, and show the pair at work on this machine"
	@echo "make test     build, and run every test"
	@echo "make check    build, and run the quick tests"
	@echo "make fuzz     search long for inputs that break something: FUZZ=name FUZZ_SECONDS=600"
	@echo "make faults   build, and make everything fail that can, at length: SLICE=1/8"
	@echo "make attacks  build, and attack both programs from outside as you could your own gateway (docs/attacks.md)"
	@echo "make planted  can the tests fail? Plants defects into a copy, one at a time: PLANTED='name...'"
	@echo "make soak     build, and carry 20,000 idle connections and 500 new ones a second for ten minutes"
	@echo "make all install clean deps format docs bench"
	@echo "V=1 shows commands; SANITIZE=address,undefined, SANITIZE=thread and COVERAGE=1 build into folders of their own"

deps:
	@tests/tools/deps test

run:
	@tests/tools/deps run
	@$(MAKE) --no-print-directory all
	@tests/tools/walk $(BUILD)

check: deps
	@$(MAKE) --no-print-directory tests
	@tests/tools/run-tests quick

test: deps
	@tests/tools/run-tests all

tests: $(PROGRAMS) $(UNIT_PROGRAMS) $(E2E_PROGRAMS) $(FAULT_LIBRARIES) $(BUILD)/tests/messages_doc $(BUILD)/tests/man_doc \
       $(BUILD)/tests/sandbox_doc $(BUILD)/tests/decide $(BUILD)/tests/office $(SOAK_PROGRAMS) \
       $(BUILD)/tests/cci-attack $(BUILD)/tests/cci-flawed

# The whole range of injected faults, of which `make test` takes a sample; SLICE=3/8: the third of eight slices (docs/faults.md).
faults: deps
	@$(MAKE) --no-print-directory tests
	@tests/tools/able
	@certs/make-certs.sh build/test-certs --test
	@for suite in $(FAULT_TESTS); do CCI_FAULTS_FULL=1 CCI_FAULTS_SLICE=$(SLICE) $(BUILD)/tests/$$suite || exit; done

attacks: deps
	@$(MAKE) --no-print-directory $(PROGRAMS) $(BUILD)/tests/cci-attack $(BUILD)/tests/cci-flawed
	@tests/attacks/run

# One defect at a time, in a copy: do the tests notice (docs/planted.md)?
planted: deps
	@CC='$(CC)' tests/planted/run $(PLANTED)

bench:
	@tests/tools/deps bench
	@$(MAKE) --no-print-directory $(PROGRAMS) $(BENCH_PROGRAMS)
	@tests/bench/all

soak:
	@tests/tools/deps test
	@$(MAKE) --no-print-directory $(PROGRAMS) $(SOAK_PROGRAMS)
	@tests/soak/run long

docs: $(BUILD)/tests/messages_doc $(BUILD)/tests/man_doc $(BUILD)/tests/sandbox_doc
	$(BUILD)/tests/messages_doc >docs/messages.md
	$(BUILD)/tests/man_doc docs/man/ccissl.ini.5.in >docs/man/ccissl.ini.5
	$(BUILD)/tests/sandbox_doc docs/sandbox.md.in >docs/sandbox.md

clean:
	rm -rf build

# PREFIX=/usr DESTDIR=/tmp/package, for a package. Nothing is started, and no user is made.
SHARE := $(DESTDIR)$(PREFIX)/share
install: all
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/include/cci $(SHARE)/doc/ccissl/plugin $(SHARE)/doc/ccissl/wireshark $(SHARE)/man/man3 \
	    $(SHARE)/man/man5 $(SHARE)/man/man8 $(SHARE)/bash-completion/completions \
	    $(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)$(PREFIX)/lib/sysusers.d
	install -m 755 $(PROGRAMS) $(DESTDIR)$(PREFIX)/sbin
	install -m 644 include/cci/notifier.h $(DESTDIR)$(PREFIX)/include/cci
	for unit in ccissl.service ccisslgw.service ccissl.socket; do \
	    sed 's|/usr/local/sbin|$(PREFIX)/sbin|' etc/systemd/$$unit >$(DESTDIR)$(PREFIX)/lib/systemd/system/$$unit || exit; \
	    chmod 644 $(DESTDIR)$(PREFIX)/lib/systemd/system/$$unit || exit; done
	install -m 644 etc/systemd/ccissl.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/ccissl.conf
	for page in docs/man/*.[1-9]; do install -m 644 $$page $(SHARE)/man/man$${page##*.} || exit; done
	install -m 644 etc/completion/ccissl.bash $(SHARE)/bash-completion/completions/ccissl
	ln -sf ccissl $(SHARE)/bash-completion/completions/ccisslgw
	install -m 644 README.md LICENSE docs/*.md docs/*.svg docs/page.png etc/ccissl.ini etc/ccisslgw.ini etc/prometheus/ccissl.rules.yml docs/events.schema.json \
	    $(SHARE)/doc/ccissl
	install -m 644 etc/plugin/* $(SHARE)/doc/ccissl/plugin
	install -m 644 etc/wireshark/cci.lua $(SHARE)/doc/ccissl/wireshark
	install -m 644 etc/logrotate/ccissl $(SHARE)/doc/ccissl/ccissl.logrotate
	install -m 755 etc/smf-dump $(SHARE)/doc/ccissl

format:
	clang-format -i $$(git ls-files '*.c' '*.h')

$(BUILD)/ccissl: $(CCISSL:%=$(O)/%.o) $(LIBRARY)
$(BUILD)/ccisslgw: $(CCISSLGW:%=$(O)/%.o) $(LIBRARY)
$(PROGRAMS):
	@echo "  LD    $@"
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(LIBRARY): $(COMMON_OBJECTS)
	@echo "  AR    $@"
	$(Q)rm -f $@ && $(AR) rcs $@ $^

# Objects follow the compiler and its flags: another CC or CFLAGS builds anew.
$(BUILD)/flags: FORCE
	$(Q)mkdir -p $(@D); echo '$(CC) $(filter-out -Werror,$(ALL_CFLAGS))' | cmp -s - $@ || \
	    echo '$(CC) $(filter-out -Werror,$(ALL_CFLAGS))' >$@

$(O)/%.o: %.c $(BUILD)/flags
	@echo "  CC    $<"
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(EXTRA) -MMD -MP -c -o $@ $<

# The page is in the program.
$(O)/common/http_page.o: $(wildcard common/page/page.*)

# Check's own headers use GNU extensions.
TEST_CFLAGS := -Wno-pedantic $(if $(findstring clang,$(CC)),-Wno-gnu-zero-variadic-macro-arguments)
$(O)/tests/%.o: EXTRA := $(TEST_CFLAGS)

$(BUILD)/tests/unit_%: $(O)/tests/unit/test_%.o $(O)/tests/unit/suite_main.o $(LIBRARY)
	@echo "  LD    $@"
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) $(UNIT_WRAPS:%=-Wl$(comma)--wrap=%) -o $@ $^ -lcheck -lsubunit -lrt -lm $(LIBS)

# Calls that fail when a suite says so.
$(BUILD)/tests/unit_tlscontext: UNIT_WRAPS := SSL_CTX_set_ex_data SSL_set_ex_data SSL_dup_CA_list
$(BUILD)/tests/unit_resolver: UNIT_WRAPS := getaddrinfo pthread_create

# Tests of the connecting side meet an accepting side in a thread.
$(BUILD)/tests/unit_dial $(BUILD)/tests/unit_dial_failover $(BUILD)/tests/unit_health: $(O)/tests/unit/acceptor.o $(O)/tests/e2e/peer.o
$(BUILD)/tests/unit_target $(BUILD)/tests/unit_connector: $(O)/tests/e2e/peer.o

$(BUILD)/tests/unit_metrics: $(O)/tests/unit/promtext.o

# What is freed is looked at.
$(BUILD)/tests/unit_wiping: UNIT_WRAPS := free
$(BUILD)/tests/unit_sandbox: UNIT_WRAPS := seccomp_rule_add_array seccomp_rule_add seccomp_attr_set seccomp_load

# Certificates and handshakes in memory.
$(BUILD)/tests/unit_channel_tls $(BUILD)/tests/unit_channel_flood $(BUILD)/tests/unit_event_tls $(BUILD)/tests/unit_tlsverdict $(BUILD)/tests/unit_tlscontext $(BUILD)/tests/unit_tlscredential $(BUILD)/tests/unit_keyprovider $(BUILD)/tests/unit_wiping $(BUILD)/tests/unit_keyholder: $(O)/tests/unit/tlspair.o

# Scenarios share no code with the programs.
$(BUILD)/tests/e2e_events $(BUILD)/tests/e2e_events_file: $(O)/tests/e2e/eventlines.o
$(BUILD)/tests/e2e_smf $(BUILD)/tests/e2e_smf_file: $(O)/tests/e2e/smfdump.o
$(BUILD)/tests/e2e_certificates $(BUILD)/tests/e2e_tickets $(BUILD)/tests/e2e_keys: $(O)/tests/e2e/certfiles.o
$(BUILD)/tests/e2e_keys: $(O)/tests/e2e/memory.o
$(BUILD)/tests/e2e_http $(BUILD)/tests/e2e_http_life $(BUILD)/tests/e2e_http_events: $(O)/tests/e2e/web.o $(O)/tests/unit/promtext.o
$(BUILD)/tests/e2e_control $(BUILD)/tests/e2e_control_close $(BUILD)/tests/e2e_control_socket \
	$(BUILD)/tests/e2e_control_life $(BUILD)/tests/e2e_operator \
	$(BUILD)/tests/e2e_trace $(BUILD)/tests/e2e_trace_readers: $(O)/tests/e2e/controlling.o
$(BUILD)/tests/e2e_trace $(BUILD)/tests/e2e_trace_readers $(BUILD)/tests/e2e_operator: $(O)/tests/e2e/following.o
$(BUILD)/tests/e2e_operator: $(O)/tests/e2e/web.o
$(FAULT_TESTS:%=$(BUILD)/tests/%): $(O)/tests/e2e/faulting.o
$(BUILD)/tests/e2e_faults_peers: $(O)/tests/e2e/cutter.o
$(BUILD)/tests/e2e_faults_operations: $(O)/tests/e2e/certfiles.o $(O)/tests/e2e/controlling.o
$(BUILD)/tests/e2e_faults_disk: $(O)/tests/e2e/eventlines.o $(O)/tests/e2e/smfdump.o
$(BUILD)/tests/e2e_faults_life: $(O)/tests/e2e/controlling.o $(O)/tests/e2e/web.o
$(BUILD)/tests/e2e_%: $(O)/tests/e2e/test_%.o $(E2E_COMMON) $(O)/tests/unit/suite_main.o
	@echo "  LD    $@"
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ -lcheck -lsubunit -lrt -lm -lssl -lcrypto -ljansson

# Preloaded by the scenarios of faults: no sanitizer in them, and nothing of the programs.
$(O)/tests/faults/%.pic: tests/faults/%.c tests/faults/board.h
	@echo "  CC    $<"
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -std=c11 -D_GNU_SOURCE -pthread $(WARNINGS) -Wno-pedantic $(CFLAGS) -fPIC -ftls-model=initial-exec -c -o $@ $<
$(BUILD)/tests/faults_%.so: $(O)/tests/faults/%.pic $(O)/tests/faults/board.pic
	@echo "  LD    $@"
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -shared -pthread $(LDFLAGS) -o $@ $^ -ldl

# An office for tests/tools/walkthrough.
$(BUILD)/tests/office: $(O)/tests/tools/office.o $(O)/tests/e2e/peer.o
	@echo "  LD    $@"
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ -lssl -lcrypto

# What the gateway's functions decide, for tests/properties.
$(BUILD)/tests/decide: $(O)/tests/properties/decide.o $(LIBRARY)
	@echo "  LD    $@"
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

# The benchmarks' load and back end.
$(O)/tests/bench/%.o: EXTRA := -Itests/e2e
$(BUILD)/tests/bench_%: $(O)/tests/bench/%.o $(O)/tests/bench/bench.o $(O)/tests/e2e/peer.o
	@echo "  LD    $@"
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ -lssl -lcrypto

# Attacks on any gateway of the protocol, and a gateway with flaws that they have to find. With nothing of common/.
ATTACKS := $(O)/tests/attacks/link.o $(O)/tests/attacks/link_tls.o $(O)/tests/attacks/message.o $(O)/tests/attacks/seen.o
$(BUILD)/tests/cci-attack: $(patsubst %.c,$(O)/%.o,$(filter-out $(ATTACKS:$(O)/%.o=%.c),$(wildcard tests/attacks/*.c))) $(ATTACKS)
$(BUILD)/tests/cci-flawed: $(patsubst %.c,$(O)/%.o,$(wildcard tests/attacks/flawed/*.c)) $(ATTACKS)
$(BUILD)/tests/cci-%:
	@echo "  LD    $@"
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ -lssl -lcrypto

# The load, the back end and the book-keeper of the soak test.
$(O)/tests/soak/%.o: EXTRA := -Itests/e2e
$(BUILD)/tests/soak_load: $(O)/tests/soak/soak.o $(O)/tests/soak/lane.o $(O)/tests/soak/link.o $(O)/tests/soak/link_io.o \
                          $(O)/tests/soak/frame.o $(O)/tests/soak/histogram.o $(O)/tests/e2e/peer.o
$(BUILD)/tests/soak_backend: $(O)/tests/soak/backend.o $(O)/tests/soak/frame.o
$(BUILD)/tests/soak_tally: $(O)/tests/soak/tally.o
# Preloaded, as the libraries of the faults are.
$(BUILD)/tests/soak_heap.so: tests/soak/heap.c
	@echo "  LD    $@"
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -std=c11 -D_GNU_SOURCE -pthread $(WARNINGS) -Wno-pedantic $(CFLAGS) -fPIC -shared $(LDFLAGS) -o $@ $<
$(BUILD)/tests/soak_%:
	@echo "  LD    $@"
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ -lssl -lcrypto -lm

$(BUILD)/tests/messages_doc $(BUILD)/tests/man_doc $(BUILD)/tests/sandbox_doc: $(BUILD)/tests/%: $(O)/tests/tools/%.o $(LIBRARY)
	@echo "  LD    $@"
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

include tests/fuzz/fuzz.mk

-include $(shell find $(O) -name '*.d' 2>/dev/null)
.SECONDARY:
