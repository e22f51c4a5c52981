# Ringfence: one non-recursive makefile. `make help` lists the targets.
#
# Objects go to $(BUILD)/obj; MODE=release (default), asan or debug picks the
# flags and, but for release, a build folder of its own.
MODE  ?= release
CC    := $(if $(filter default,$(origin CC)),gcc,$(CC))
BUILD ?= build$(if $(filter-out release,$(MODE)),/$(MODE))
PREFIX ?= /usr/local

STD      := -std=gnu11 -D_GNU_SOURCE -Isrc -I$(BUILD)
WARN     := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
            -Wpointer-arith -Wvla -Wno-missing-field-initializers
CFLAGS_release := -O2 -g -fno-strict-aliasing -fno-plt
# Without tail calls the interpreter returns to a trampoline between handlers.
CFLAGS_debug   := -Og -g3 -fno-strict-aliasing -DRINGFENCE_TRAMPOLINE
# Alignment: a guest access is a host access of the same address.
CFLAGS_asan    := -O1 -g -fno-strict-aliasing -fno-omit-frame-pointer \
                  -fsanitize=address -fsanitize=undefined \
                  -fno-sanitize=alignment -fno-sanitize-recover=undefined -DRINGFENCE_TRAMPOLINE
CFLAGS  ?= $(CFLAGS_$(MODE))
ALL_CFLAGS = $(STD) $(WARN) $(CFLAGS) -pthread
SAN_asan := -fsanitize=address -fsanitize=undefined
LDFLAGS += $(SAN_$(MODE)) -pthread
LIBS    := -lZydis -lZycore -lzstd -lz -llzma -llz4 -ljson-c -lslirp -luring -lm

SRC := $(sort $(wildcard src/*/*.c src/*/*/*.c))
ASM := $(sort $(wildcard src/*/*/*.S))
OBJ := $(filter-out $(BUILD)/obj/cmd/oci_only.o,$(SRC:src/%.c=$(BUILD)/obj/%.o)) \
    $(ASM:src/%.S=$(BUILD)/obj/%.o)
# Everything but main(), for tests to link with.
LIB_OBJ := $(filter-out $(BUILD)/obj/cmd/main.o,$(OBJ))
# The containers' commands alone, in a program of their own.
OCI_ONLY := $(BUILD)/obj/cmd/oci_only.o
OCI_OBJ := $(OCI_ONLY) $(filter $(BUILD)/obj/base/% $(BUILD)/obj/fence/% \
    $(BUILD)/obj/oci/% $(BUILD)/obj/cmd/oci% $(BUILD)/obj/cmd/options.o,$(OBJ))
OCI_STATIC := $(if $(SAN_$(MODE)),,-static)
# With musl's libc, if it is there: glibc's asks the CPU so much at its start
# that in a virtual machine, where each question is an exit, it takes 0.3 ms.
MUSL := $(if $(SAN_$(MODE)),,$(shell command -v musl-gcc))
ARCH := $(shell $(CC) -print-multiarch)
MUSL_FLAGS := -idirafter /usr/include -idirafter /usr/include/$(ARCH)
MUSL_OBJ := $(OCI_OBJ:$(BUILD)/obj/%=$(BUILD)/musl/%)
TEST_SRC := $(sort $(wildcard tests/unit/*.c))
TESTS := $(TEST_SRC:tests/unit/%.c=$(BUILD)/tests/%)
FUZZ_LIB := fuzz world tree message json_mix
FUZZERS := $(filter-out $(FUZZ_LIB:%=$(BUILD)/fuzz/%), \
    $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/*.c)))

all: $(BUILD)/ringfence $(BUILD)/ringfence-oci

help:
	@echo 'make              the program: $(BUILD)/ringfence'
	@echo 'make run          boot Debian to a shell (SUITE=bookworm|trixie)'
	@echo 'make check        the fast tests'
	@echo 'make test         all tests'
	@echo 'make test-distro  real distributions; makes a Debian first, as root'
	@echo 'make check-style  layers, headers, format'
	@echo 'make bench        compare with QEMU, Bochs and the host'
	@echo 'make bench-vm     what disks, snapshots, forks and boots of a guest cost'
	@echo 'make install      to $$(DESTDIR)$$(PREFIX), PREFIX=$(PREFIX)'
	@echo 'MODE=asan, MODE=debug: build folders of their own'

$(BUILD)/ringfence: $(OBJ)
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

# Unused parts of fence/ and base/ are left out: it is loaded for each step.
ifneq ($(MUSL),)
$(BUILD)/ringfence-oci: $(MUSL_OBJ)
	$(MUSL) -static -Wl,--gc-sections -o $@ $^
else
$(BUILD)/ringfence-oci: $(OCI_OBJ)
	$(CC) $(LDFLAGS) $(OCI_STATIC) -Wl,--gc-sections -o $@ $^ -lm
endif

$(BUILD)/musl/%.o: src/%.c
	@mkdir -p $(@D)
	$(MUSL) $(ALL_CFLAGS) $(MUSL_FLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/obj/%.o: src/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/obj/%.o: src/%.S
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# The DSDT: ACPI source to bytecode to a C array.
$(BUILD)/gen/dsdt.aml: src/boot/dsdt.asl
	@mkdir -p $(@D)
	iasl -vs -p $(@:.aml=) $< >$@.log || { cat $@.log; exit 1; }

$(BUILD)/gen/dsdt_aml.h: $(BUILD)/gen/dsdt.aml
	{ echo 'static const uint8_t dsdt_aml[] = {'; \
	  od -An -v -tx1 $< | sed 's/ \(..\)/0x\1,/g'; echo '};'; } >$@.tmp
	mv $@.tmp $@

$(BUILD)/obj/boot/acpi.o: $(BUILD)/gen/dsdt_aml.h

# The names of system calls, by their numbers.
$(BUILD)/gen/call_names.inc:
	@mkdir -p $(@D)
	echo '#include <asm/unistd_64.h>' | $(CC) -E -dM - | \
	    sed -n 's/^#define __NR_\([a-z0-9_]*\) \([0-9]*\)$$/[\2] = "\1",/p' >$@.tmp
	mv $@.tmp $@

# The numbers of system calls, by their names.
$(BUILD)/gen/call_table.inc: scripts/call-table
	@mkdir -p $(@D)
	scripts/call-table $(CC) >$@.tmp
	mv $@.tmp $@

$(BUILD)/obj/fence/calls.o $(BUILD)/musl/fence/calls.o: $(BUILD)/gen/call_names.inc
$(BUILD)/obj/fence/numbers.o $(BUILD)/musl/fence/numbers.o: \
    $(BUILD)/gen/call_table.inc

$(BUILD)/tests/%: tests/unit/%.c $(LIB_OBJ)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Itests/unit $(LDFLAGS) -MMD -MP -o $@ $< $(LIB_OBJ) \
	    $(LIBS)

# libseccomp, to be compared with, if it is there.
SECCOMP := $(if $(wildcard /usr/include/seccomp.h),-lseccomp)
$(BUILD)/tests/fence_seccomp $(BUILD)/bench/seccomp: LIBS += $(SECCOMP)

$(BUILD)/tests/oracle: $(wildcard tests/diff/*.c tests/diff/*.h) $(LIB_OBJ)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Itests/diff $(LDFLAGS) -o $@ \
	    $(filter %.c %.o,$^) $(LIBS)

$(BUILD)/bench/%: tests/bench/%.c $(LIB_OBJ)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $< $(LIB_OBJ) $(LIBS)

# The program with a fault put into its fast handlers, for tests/compare.
$(BUILD)/planted/%: tests/compare/plant-%.sed $(OBJ)
	@mkdir -p $@.src/engine/interp
	cp src/engine/interp/fast* $@.src/engine/interp
	sed -i -f $< $@.src/engine/interp/fast*
	$(CC) -I$@.src $(ALL_CFLAGS) -c -o $@.o $@.src/engine/interp/fast64.c
	$(CC) $(LDFLAGS) -o $@ $@.o $(filter-out %/fast64.o,$(OBJ)) $(LIBS)

# The same for tests/direct; the script's first line says which file is meant.
$(BUILD)/planted/direct-%: tests/direct/plant-%.sed $(OBJ)
	@mkdir -p $(@D)
	file=$$(sed -n 's/^# In \(.*\):.*/\1/p' $<) && \
	    sed -f $< $$file >$@.c && ! cmp -s $@.c $$file && \
	    $(CC) $(ALL_CFLAGS) -c -o $@.o $@.c && obj=$${file#src/} && \
	    $(CC) $(LDFLAGS) -o $@ $@.o \
	        $$(echo $(OBJ) | tr ' ' '\n' | grep -v "/$${obj%.c}.o$$") $(LIBS)

unit-tests: $(TESTS)

$(BUILD)/fuzz/%.o: tests/fuzz/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Itests/fuzz -MMD -MP -c -o $@ $<

$(FUZZERS): %: %.o $(FUZZ_LIB:%=$(BUILD)/fuzz/%.o) $(LIB_OBJ)
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

fuzzers: $(FUZZERS)

run:
	@scripts/setup build run
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@scripts/run $(ARGS)

check: all
	tests/run fast

test:
	@scripts/setup build run test
	@$(MAKE) --no-print-directory -j$$(nproc) all
	tests/run all

test-distro: all
	tests/distro/run
	tests/oci/run lab
	tests/direct/run long
	tests/firmware/run long

bench:
	@scripts/setup build run bench
	@$(MAKE) --no-print-directory -j$$(nproc) all \
	    $(BUILD)/bench/stops $(BUILD)/bench/signals $(BUILD)/bench/seccomp
	scripts/bench
	$(BUILD)/bench/stops
	$(BUILD)/bench/signals
	$(BUILD)/bench/seccomp
	tests/bench/events
	tests/bench/engines
	tests/bench/programs
	tests/bench/overhead
	tests/bench/kvm
	tests/bench/containers
	tests/cgroup/run bench

# What disks, snapshots, forks and boots cost; some minutes.
bench-vm: all
	tests/bench/disks
	tests/bench/copies
	tests/bench/boot

check-style: $(BUILD)/gen/dsdt_aml.h
	scripts/check-style

install: all
	install -D -m 755 $(BUILD)/ringfence $(DESTDIR)$(PREFIX)/bin/ringfence
	install -D -m 755 $(BUILD)/ringfence-oci $(DESTDIR)$(PREFIX)/bin/ringfence-oci
	install -d $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 doc/ringfence.1 doc/ringfence-boot.1 doc/ringfence-compare.1 doc/ringfence-ctl.1 doc/ringfence-top.1 \
	    doc/ringfence-surface.1 doc/ringfence-oci.1 \
	    $(DESTDIR)$(PREFIX)/share/man/man1

clean:
	rm -rf build

-include $(OBJ:.o=.d) $(OCI_ONLY:.o=.d) $(MUSL_OBJ:.o=.d) $(TESTS:=.d) $(wildcard $(BUILD)/fuzz/*.d)

.PHONY: all help unit-tests fuzzers run check test test-distro bench bench-vm check-style install clean
.DELETE_ON_ERROR:
