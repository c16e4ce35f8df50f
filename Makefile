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

COMMON := text address log messages reason ebcdic rows inireader config config_check config_dump \
          params policy confirm tlscontext tlscontext_load tlsverdict ratchet limits noise notifier \
          iocontext channel bio resolver \
          exchange handshake target relay relay_flow record notifier_log \
          snapshot dial session session_stages listener worker daemon
UNIT_TESTS :=
