# Fuzzers: tests/fuzz/fuzz_NAME.c each, linked with libFuzzer; docs/fuzzing.md. clang alone has it, whatever CC is.
FUZZ_CC ?= $(if $(findstring ccache,$(CC)),ccache )clang
FUZZ_SECONDS ?= 600
FUZZ ?= $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))

# All of common/ counts in the report, linked or not.
FUZZ_LIBRARY = $(if $(COVERAGE),-Wl$(comma)--whole-archive $(FUZZ_BUILD)/libcommon.a -Wl$(comma)--no-whole-archive,$(FUZZ_BUILD)/libcommon.a)

# `make fuzzers` builds into build/fuzz; with COVERAGE=1 into build/fuzz-coverage, for the report on lines.
FUZZ_BUILD := build/fuzz$(if $(COVERAGE),-coverage)
FUZZ_O := $(FUZZ_BUILD)/obj
FUZZ_SANITIZERS := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
FUZZ_CFLAGS = -std=c11 -D_GNU_SOURCE -pthread -Iinclude $(filter-out -Wcast-qual,$(WARNINGS)) -O1 -g $(FUZZ_SANITIZERS) \
              $(if $(COVERAGE),-fprofile-instr-generate -fcoverage-mapping)
FUZZ_INCLUDES := -Itests/fuzz
FUZZ_PROGRAMS := $(FUZZ:%=$(FUZZ_BUILD)/fuzz_%)
FUZZ_COMMON := $(COMMON:%=$(FUZZ_O)/common/%.o)

.PHONY: fuzz fuzzers
fuzzers: $(FUZZ_PROGRAMS)

fuzz:
	@tests/fuzz/run check $(FUZZ_SECONDS) $(FUZZ)
	@tests/tools/deps test
	@$(MAKE) --no-print-directory fuzzers FUZZ="$(FUZZ)"
	@tests/fuzz/run $(FUZZ_SECONDS) $(FUZZ)
	@tests/fuzz/coverage $(FUZZ)
	@[ -z '$(filter session,$(FUZZ))' ] || tests/fuzz/planted

$(FUZZ_BUILD)/libcommon.a: $(FUZZ_COMMON)
	@echo "  AR    $@"
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(FUZZ_BUILD)/flags: FORCE
	$(Q)mkdir -p $(@D); echo '$(FUZZ_CC) $(FUZZ_CFLAGS)' | cmp -s - $@ || echo '$(FUZZ_CC) $(FUZZ_CFLAGS)' >$@

$(FUZZ_O)/%.o: %.c $(FUZZ_BUILD)/flags
	@echo "  FUZZ  $<"
	$(Q)mkdir -p $(@D)
	$(Q)$(FUZZ_CC) $(FUZZ_CFLAGS) -fsanitize=fuzzer-no-link $(FUZZ_EXTRA) -MMD -MP -c -o $@ $<

# The page is in the program.
$(FUZZ_O)/common/http_page.o: $(wildcard common/page/page.*)
$(FUZZ_O)/tests/fuzz/%.o: FUZZ_EXTRA := $(FUZZ_INCLUDES)

$(FUZZ_BUILD)/fuzz_%: $(FUZZ_O)/tests/fuzz/fuzz_%.o $(FUZZ_BUILD)/libcommon.a
	@echo "  LD    $@"
	$(Q)$(FUZZ_CC) $(FUZZ_CFLAGS) -fsanitize=fuzzer $(FUZZ_LDFLAGS) -o $@ $(filter %.o,$^) $(FUZZ_LIBRARY) $(LIBS)

$(FUZZ_BUILD)/fuzz_smf: $(FUZZ_O)/tests/fuzz/events.o $(FUZZ_O)/tests/fuzz/smf_read.o

STARTER_CALLS := poll close bind getsockopt listen getsockname fork waitpid waitid kill nanosleep privileges_follow sidecar_receive sidecar_send
$(FUZZ_BUILD)/fuzz_starter: FUZZ_LDFLAGS := $(STARTER_CALLS:%=-Wl$(comma)--wrap=%)

# A control socket over a gateway that is not there.
CONTROL_CALLS := $(addprefix inspect_,status rules peers certificates notifiers reach find end) \
                 $(addprefix connection_walk_,new free next) $(addprefix ratchet_walk_,new free next) ratchet_keeper_lift daemon_reload \
                 daemon_drain notifiers_reopen log_set_level $(addprefix control_peers_,connect disconnect recycle ping) uv_queue_work
$(FUZZ_BUILD)/fuzz_control: FUZZ_LDFLAGS := $(CONTROL_CALLS:%=-Wl$(comma)--wrap=%)
$(FUZZ_BUILD)/fuzz_control: $(FUZZ_O)/tests/fuzz/control_world.o $(FUZZ_O)/tests/fuzz/jsonmake.o
$(FUZZ_BUILD)/fuzz_json: $(FUZZ_O)/tests/fuzz/events.o $(FUZZ_O)/tests/fuzz/linesof.o
$(FUZZ_BUILD)/fuzz_ctl: $(FUZZ_O)/tests/fuzz/jsonmake.o
$(FUZZ_BUILD)/fuzz_ctl: FUZZ_LDFLAGS := -Wl$(comma)--wrap=socket -Wl$(comma)--wrap=connect

# A whole session, with the kernel's calls, the clock and some of the gateway's own calls in the fuzzer's hands.
SESSION_CALLS := recv send shutdown socket connect close setsockopt getsockopt getsockname getpeername ioctl poll pipe2 splice \
                 fcntl epoll_ctl epoll_wait write RAND_bytes record_write leg_attach session_connect_onward \
                 resolver_start resolver_cancel
$(FUZZ_BUILD)/fuzz_session: FUZZ_LDFLAGS := $(SESSION_CALLS:%=-Wl$(comma)--wrap=%)
$(FUZZ_BUILD)/fuzz_session: $(patsubst %,$(FUZZ_O)/tests/fuzz/%.o,world world_pipe world_time names operate letter certs side crossed offers gate held watch play site)

-include $(shell find $(FUZZ_O) -name '*.d' 2>/dev/null)
