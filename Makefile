# ccissl and ccisslgw. `make run` shows them at work, `make test` proves them; everything made lies under build/.

SANITIZE ?=
comma := ,
BUILD ?= build$(if $(SANITIZE),/$(subst $(comma),-,$(SANITIZE)))
Q := $(if $(V),,@)

CFLAGS ?= -O2 -g
WARNINGS := -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
            -Wpointer-arith -Wcast-qual -Wwrite-strings -Wundef -Werror
HARDENING := -fstack-protector-strong -fPIE $(if $(SANITIZE),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
SANITIZERS := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer)
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -pthread -Iinclude $(WARNINGS) $(HARDENING) $(SANITIZERS) $(CFLAGS)
ALL_LDFLAGS = -pie -pthread -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack $(SANITIZERS) $(LDFLAGS)
LIBS := -lssl -lcrypto -luv -linih

COMMON := text address log messages reason ebcdic rows inireader config config_values config_check config_dump \
          params policy confirm tlscontext tlscontext_load tlsverdict ratchet quota noise notifier \
          iocontext channel bio resolver \
          exchange handshake target relay linger record notifier_log \
          snapshot dial session session_stages listener worker daemon options
# One Check suite for each module: tests/unit/test_NAME.c.
UNIT_TESTS :=

# While the tree is being filled: only what is there.
COMMON := $(foreach m,$(COMMON),$(if $(wildcard common/$(m).c),$(m)))

PROGRAMS := $(BUILD)/ccissl $(BUILD)/ccisslgw
CCISSL := ccissl/main
CCISSLGW := ccisslgw/main ccisslgw/command ccisslgw/connect ccisslgw/ping

COMMON_OBJECTS := $(COMMON:%=$(BUILD)/common/%.o)
LIBRARY := $(BUILD)/libcommon.a
UNIT_PROGRAMS := $(UNIT_TESTS:%=$(BUILD)/tests/test_%)

.PHONY: all run test check bench clean install deps format
.DELETE_ON_ERROR:

all: $(PROGRAMS)

$(BUILD)/ccissl: $(CCISSL:%=$(BUILD)/%.o) $(LIBRARY)
$(BUILD)/ccisslgw: $(CCISSLGW:%=$(BUILD)/%.o) $(LIBRARY)
$(PROGRAMS):
	@echo "  LD    $@"
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(LIBRARY): $(COMMON_OBJECTS)
	@echo "  AR    $@"
	$(Q)rm -f $@ && $(AR) rcs $@ $^

# Objects follow the compiler and its flags: another CC or CFLAGS builds anew.
$(BUILD)/flags: FORCE
	$(Q)mkdir -p $(@D); echo '$(CC) $(ALL_CFLAGS)' | cmp -s - $@ || echo '$(CC) $(ALL_CFLAGS)' >$@
.PHONY: FORCE
FORCE:

$(BUILD)/%.o: %.c $(BUILD)/flags
	@echo "  CC    $<"
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# Check's own headers use GNU extensions.
$(BUILD)/tests/%.o: ALL_CFLAGS += -Itests -Wno-pedantic -Wno-gnu-zero-variadic-macro-arguments

$(BUILD)/tests/test_%: $(BUILD)/tests/unit/test_%.o $(BUILD)/tests/unit/suite_main.o $(LIBRARY)
	@echo "  LD    $@"
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ -lcheck -lsubunit -lrt -lm $(LIBS)

DEPENDENCIES := $(shell find $(BUILD) -name '*.d' 2>/dev/null)
-include $(DEPENDENCIES)
