# Ringfence: one non-recursive makefile. `make help` lists the targets.
#
# Objects go to $(BUILD)/obj; MODE=release (default), asan or debug picks the
# flags and, but for release, a build folder of its own.
MODE  ?= release
CC    := $(if $(filter default,$(origin CC)),gcc,$(CC))
BUILD ?= build$(if $(filter-out release,$(MODE)),/$(MODE))

STD      := -std=gnu11 -D_GNU_SOURCE -Isrc
WARN     := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
            -Wpointer-arith -Wvla -Wno-missing-field-initializers
CFLAGS_release := -O2 -g -fno-strict-aliasing -fno-plt
CFLAGS_debug   := -Og -g3 -fno-strict-aliasing
CFLAGS_asan    := -O1 -g -fno-strict-aliasing -fno-omit-frame-pointer \
                  -fsanitize=address -fsanitize=undefined \
                  -fno-sanitize-recover=undefined
CFLAGS  ?= $(CFLAGS_$(MODE))
ALL_CFLAGS = $(STD) $(WARN) $(CFLAGS) -pthread
SAN_asan := -fsanitize=address -fsanitize=undefined
LDFLAGS += $(SAN_$(MODE)) -pthread
LIBS    := -lZydis -lZycore

SRC := $(sort $(wildcard src/*/*.c src/*/*/*.c))
OBJ := $(SRC:src/%.c=$(BUILD)/obj/%.o)
# Everything but main(), for tests to link with.
LIB_OBJ := $(filter-out $(BUILD)/obj/cmd/main.o,$(OBJ))

all: $(BUILD)/ringfence

$(BUILD)/ringfence: $(OBJ)
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/obj/%.o: src/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

-include $(OBJ:.o=.d)

clean:
	rm -rf build

.PHONY: all clean
