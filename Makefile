# SPDX-License-Identifier: MIT
#
# make help tells the targets. Objects live in build/ (and build/asan, build/tsan for the same
# sources with sanitizers), results of tests in build/results/.

PREFIX  ?= /usr/local
DESTDIR ?=
# A user's own prefix has its own; the daemon reads it if told so (--config).
SYSCONFDIR ?= $(if $(filter /usr /usr/local,$(PREFIX)),/etc,$(PREFIX)/etc)
SBINDIR  = $(PREFIX)/sbin
BINDIR   = $(PREFIX)/bin
# Where the preload object lives: the same path on every architecture.
LIBDIR   = $(PREFIX)/lib/cuse-gntdev
UNITDIR  = $(PREFIX)/lib/systemd/system
UDEVDIR  = $(PREFIX)/lib/udev/rules.d
CONFDIR  = $(PREFIX)/lib
MANDIR   = $(PREFIX)/share/man
DOCDIR   = $(PREFIX)/share/doc/cuse-gntdev
BASHDIR  = $(PREFIX)/share/bash-completion/completions
ZSHDIR   = $(PREFIX)/share/zsh/site-functions
FISHDIR  = $(PREFIX)/share/fish/vendor_completions.d
TORTURE_SECONDS ?= 8
FUZZ_SECONDS ?= 600
SOAK_SECONDS ?= 1800

CFLAGS   ?= -O2 -g
WARNINGS  = -Wall -Wextra -Wshadow
# -iquote: <xen/xen.h> is Xen's, "xen/xen.h" ours.
CPPFLAGS += -D_GNU_SOURCE -iquote .
COMPILE   = -std=gnu11 $(CFLAGS) $(WARNINGS) $(CPPFLAGS) -MMD -MP
HARDEN    = -fPIE -fstack-protector-strong -D_FORTIFY_SOURCE=2
HARDEN_LD = -pie -Wl,-z,relro,-z,now
# Unit tests die at steps, too (base/step.h).
ASAN      = -fPIE -DKILL_STEPS -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
# Fences are unknown to it, which gcc says again for each of them: what goes by them is not under test there.
TSAN      = -fPIE -fsanitize=thread $(if $(findstring clang,$(CC)),,-Wno-tsan)
# What the fuzzer is to see of the sources; clang's.
FUZZED    = $(ASAN) -fsanitize=fuzzer-no-link

# Asked once, and only when something is compiled: the packages may come by this very run of make.
memo = $(eval $1 := $$(shell $2))$($1)
PKGS = fuse3 liburcu-memb liburcu-cds xengnttab liburing libsystemd jansson libconfuse
PKG_CFLAGS = $(call memo,PKG_CFLAGS,pkg-config --cflags $(PKGS))
PKG_LIBS   = $(call memo,PKG_LIBS,pkg-config --libs $(PKGS))
CTL_LIBS   = $(call memo,CTL_LIBS,pkg-config --libs jansson libconfuse ncursesw)
KEEPER_LIBS = $(call memo,KEEPER_LIBS,pkg-config --libs liburcu-memb libsystemd)
CHECK_LIBS = $(call memo,CHECK_LIBS,pkg-config --libs check)

# The rooms, each a directory; docs/developer.md tells what is where. The daemon is the root and these;
# gntdevctl has a room of its own, and takes of the daemon's modules those that have no other threads.
ROOMS    := base state client policy report window device xen keeper sim machine evtchn control
CTL      := $(wildcard gntdevctl/*.c)
MODULES  := $(filter-out cuse_gntdev.c keeper/main.c,$(wildcard *.c $(ROOMS:%=%/*.c)))
EXAMPLES := $(patsubst %.c,%,$(wildcard examples/*.c))
UNIT     := $(patsubst %.c,%,$(wildcard tests/unit/test_*.c tests/unit/*/test_*.c))
SUPPORT  := $(filter-out tests/unit/main.c $(UNIT:%=%.c) tests/unit/torture_%.c,$(wildcard tests/unit/*.c tests/unit/*/*.c))
TORTURE  := $(patsubst %.c,%,$(wildcard tests/unit/torture_*.c))
FUZZ     := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
CLIENTS  := $(patsubst %.c,%,$(wildcard tests/uml/*.c tests/deb/*.c))
# Doubles of modules, for daemons that are measured: bench/NAME_gntdev has those that BENCH_NAME names.
BENCH_DOUBLES := untraced plain on_fuse
BENCH_DAEMONS := untraced plain fuse fuse_plain
BENCH_untraced   = untraced
BENCH_plain      = plain
BENCH_fuse       = on_fuse
BENCH_fuse_plain = on_fuse plain
BENCH    := $(filter-out $(BENCH_DOUBLES:%=bench/%),$(patsubst %.c,%,$(wildcard bench/*.c)))
# Each source with a main() is a client, the others are what clients share.
XEN_CLIENTS := $(patsubst tests/xen/%.c,%,$(shell grep -ls '^int main\>' tests/xen/*.c))
XEN_SUPPORT := $(filter-out $(XEN_CLIENTS),$(patsubst tests/xen/%.c,%,$(wildcard tests/xen/*.c)))
XEN_TOOLS   := $(patsubst tests/xen/guest/%.c,build/xen/tools/%,$(wildcard tests/xen/guest/*.c))
# The others need daemons or a CUSE device: bench/survive.sh and bench/qemu.sh start them.
BENCH_NATIVE := $(filter bench/bench_%,$(BENCH))

PROGRAMS  = build/cuse_gntdev build/cuse_gntdev-keeper build/gntdevctl build/libgntdev-mmap.so build/gntdev-run $(EXAMPLES:%=build/%)
UNIT_BIN  = $(UNIT:%=build/asan/%)
TORTURE_BIN = $(TORTURE:%=build/asan/%) $(TORTURE:%=build/tsan/%)
REPLAY_BIN = $(FUZZ:%=build/asan/tests/fuzz/replay_%)
CUSE_BIN  = $(PROGRAMS) $(CLIENTS:%=build/%) build/steps/cuse_gntdev
BENCH_BIN = $(PROGRAMS) $(BENCH:%=build/%) $(BENCH_DAEMONS:%=build/bench/%_gntdev)
MAN      := $(patsubst man/%.scd,build/man/%,$(wildcard man/*.scd))

.PHONY: all man help deps deps-check demo check bench bench-xen fuzz soak lint format install uninstall dist deb reproducible clean
.PHONY: check-unit check-cuse check-deb check-xen
.PHONY: run-lint run-unit run-cuse run-deb run-xen run-soak-torture run-soak-fuzz run-soak-attacks run-soak-mutants run-soak-xen \
	run-soak-survive
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
%: %.o
.SECONDARY:

all: $(PROGRAMS) man
	@echo "built: $(PROGRAMS)"

man: $(MAN)

help:
	@echo "make all            the daemon, the preload object, the examples, the man pages, in build/"
	@echo "make demo           show unchanged clients at work (in User-Mode Linux if need be)"
	@echo "make check          all tests; the parts are check-unit, check-cuse, check-deb, check-xen"
	@echo "     ONE=name       only this case of check-cuse, this release of check-deb (debian12, debian13),"
	@echo "                    or this one of check-xen: debian12-pv, debian12-pvh, debian13-pv,"
	@echo "                    debian13-pvh (CASES=\"name ...\": only these cases)"
	@echo "make bench          measure: lines of name, value, unit"
	@echo "make bench-xen      instructions on a real Xen, next to the kernel's driver's (ONE=debian12-pvh: only there;"
	@echo "                    CLOCK=wall: time; BASE=COMMIT or BASE=FILE, an earlier output: and what has changed since)"
	@echo "make fuzz           look for input that breaks a parser, each for FUZZ_SECONDS=$(FUZZ_SECONDS) (ONE=name: only this one)"
	@echo "make soak           the long forms of tests, each for SOAK_SECONDS=$(SOAK_SECONDS) (ONE=name: $(SOAK))"
	@echo "make lint           style, warnings of two compilers, static analysis"
	@echo "make format         format all sources in place"
	@echo "make install        to DESTDIR=$(DESTDIR) PREFIX=$(PREFIX)"
	@echo "make uninstall      remove what make install with the same DESTDIR and PREFIX has installed, but the policy"
	@echo "make dist           the sources as build/cuse-gntdev-VERSION.tar.xz"
	@echo "make reproducible   build the Debian package twice, and compare"
	@echo "make deb            the Debian package for this machine's release, in build/deb/"
	@echo "make deps           install all packages of packages.list (as root)"
	@echo "make clean          remove build/ (downloads stay in .cache/)"

# --- packages -----------------------------------------------------------------------------------

# What only builds takes the system as it is, and says what is missing; what runs tests, root's demo and the
# like install it.
AT_WORK := $(filter demo deb bench% fuzz soak lint format check% run-% soak-%,$(MAKECMDGOALS))

# packages PURPOSES: to be there before; one question for all of them. A build is asked for first: most is.
empty :=
PACKAGES = build/packages/$(subst $(empty) $(empty),+,$(strip $1))

build/packages/build: packages.list
	@./packages.sh $(if $(AT_WORK),,-n) build && mkdir -p $(@D) && touch $@
build/packages/%: packages.list build/packages/build
	@./packages.sh $(if $(AT_WORK),,-n) $(subst +, ,$*) && mkdir -p $(@D) && touch $@

deps:
	@./packages.sh $(sort $(shell sed -n 's/^\([a-z]*\)\t.*/\1/p' packages.list))
	@echo "deps: all packages are there"

# What apt does not know is the failure of the stage that needs it.
deps-check:
	@./packages.sh build man unit cuse deb install xen lint || [ $$? -eq 3 ]

# --- building -----------------------------------------------------------------------------------

# What makes a file has a directory to make it in. make V=1 shows the commands.
ifneq ($(V),1)
Q = @mkdir -p $(@D); printf '  %-3s %s\n' $1 $@;
else
Q = mkdir -p $(@D);
endif

# Doubles before what they stand for.
in_order = $(filter-out %.a,$1) $(filter %/support.a,$1) $(filter %/modules.a,$1)

# variant DIRECTORY, COMPILER FLAGS, LINKER FLAGS: programs in it, objects in o/
define variant
$1/o/%.o: %.c Makefile | $$(call PACKAGES,build)
	$$(call Q,CC)$$(CC) $$(COMPILE) $2 $$(PKG_CFLAGS) -c -o $$@ $$<

# A page for browsers is part of it.
$1/o/gntdevctl/page.o: gntdevctl/page.html

$(UNIT:%=$1/o/%.main.o): tests/unit/main.c Makefile | $$(call PACKAGES,unit)
	$$(call Q,CC)$$(CC) $$(COMPILE) $2 -DSUITE=$$(patsubst test_%.main.o,%,$$(@F))_suite \
		-DSUITE_NAME='"$$(patsubst $1/o/tests/unit/%.main.o,%,$$@)"' -c -o $$@ $$<

$(UNIT:%=$1/o/%.o) $(SUPPORT:%.c=$1/o/%.o): | $$(call PACKAGES,unit)

# One program for each suite: a test may bring a double of a whole module, which then stays in the
# archive. So may what suites share: whoever uses it gets it before the modules it stands for. Members of one
# name (sim/event.o, xen/event.o) stand side by side: hence q.
$1/modules.a: $(MODULES:%.c=$1/o/%.o)
$1/tests/unit/support.a: $(SUPPORT:%.c=$1/o/%.o)
$1/ctl.a: $(patsubst %.c,$1/o/%.o,$(filter-out gntdevctl/gntdevctl.c,$(CTL)))
$1/modules.a $1/ctl.a $1/tests/unit/support.a:
	@rm -f $$@
	$$(call Q,AR)$$(AR) qcs $$@ $$^

$(UNIT:%=$1/%): $1/%: $1/o/%.o $1/o/%.main.o \
		$1/ctl.a $1/modules.a $1/tests/unit/support.a
	$$(call Q,LD)$$(CC) $2 $3 $$(LDFLAGS) -o $$@ $$^ $1/modules.a $$(PKG_LIBS) $$(CTL_LIBS) \
		$$(CHECK_LIBS) -pthread

$1/cuse_gntdev $(TORTURE:%=$1/%) $(BENCH:%=$1/%): $1/%: $1/o/%.o $1/modules.a
	$$(call Q,LD)$$(CC) $2 $3 $$(LDFLAGS) -o $$@ $$^ $$(PKG_LIBS) -lxengnttab -lm -pthread

$1/cuse_gntdev-keeper: $1/o/keeper/main.o $1/modules.a
	$$(call Q,LD)$$(CC) $2 $3 $$(LDFLAGS) -o $$@ $$^ $$(KEEPER_LIBS) -pthread

$1/gntdevctl: $1/o/gntdevctl/gntdevctl.o $1/ctl.a $1/modules.a
	$$(call Q,LD)$$(CC) $2 $3 $$(LDFLAGS) -o $$@ $$^ $$(CTL_LIBS) -pthread

# The daemon finds it beside itself.
$1/cuse_gntdev: | $1/cuse_gntdev-keeper
$(BENCH_DAEMONS:%=$1/bench/%_gntdev): | $1/bench/cuse_gntdev-keeper
$1/bench/cuse_gntdev-keeper: $1/cuse_gntdev-keeper
	$$(call Q,CP)cp $$< $$@

$(BENCH_DAEMONS:%=$1/bench/%_gntdev): $1/o/cuse_gntdev.o $1/modules.a
	$$(call Q,LD)$$(CC) $2 $3 $$(LDFLAGS) -o $$@ $$(call in_order,$$^) $$(PKG_LIBS) -lxengnttab -pthread

$(EXAMPLES:%=$1/%) $(CLIENTS:%=$1/%): $1/%: $1/o/%.o
	$$(call Q,LD)$$(CC) $2 $3 $$(LDFLAGS) -o $$@ $$^ -lxengnttab -lxenevtchn -pthread

$(FUZZ:%=$1/tests/fuzz/replay_%): $1/tests/fuzz/replay_%: $1/o/tests/fuzz/fuzz_%.o $1/o/tests/fuzz/replay.o \
		$1/modules.a
	$$(call Q,LD)$$(CC) $2 $3 $$(LDFLAGS) -o $$@ $$(call in_order,$$^) $$(PKG_LIBS) $$(CHECK_LIBS) -pthread

# It calls a whole device as the tests do; what the others call is not to be hidden by doubles.
$1/tests/fuzz/replay_ioctl $1/fuzz_ioctl: $1/tests/unit/support.a
endef

$(eval $(call variant,build,$(HARDEN),$(HARDEN_LD)))
$(eval $(call variant,build/asan,$(ASAN),-pie))
$(eval $(call variant,build/tsan,$(TSAN),-pie))
$(eval $(call variant,build/fuzz,$(FUZZED),-pie))
# The daemon that tests kill at each step: base/step.h.
$(eval $(call variant,build/steps,$(HARDEN) -DKILL_STEPS,$(HARDEN_LD)))

$(foreach d,$(BENCH_DAEMONS),$(eval build/bench/$d_gntdev: $(BENCH_$d:%=build/o/bench/%.o)))

build/fuzz/%: CC = clang
$(FUZZ:%=build/fuzz/fuzz_%): build/fuzz/fuzz_%: build/fuzz/o/tests/fuzz/fuzz_%.o build/fuzz/modules.a \
		| $(call PACKAGES,fuzz)
	$(call Q,LD)$(CC) $(ASAN) -fsanitize=fuzzer -pie $(LDFLAGS) -o $@ $(call in_order,$^) $(PKG_LIBS) $(CHECK_LIBS) -pthread

PRELOAD := $(wildcard preload/*.c)

$(PRELOAD:%.c=build/pic/%.o): build/pic/%.o: %.c Makefile | $(call PACKAGES,build)
	$(call Q,CC)$(CC) $(COMPILE) $(HARDEN:-fPIE=-fPIC) -fvisibility=hidden -c -o $@ $<

build/libgntdev-mmap.so: $(PRELOAD:%.c=build/pic/%.o)
	$(call Q,LD)$(CC) $(CFLAGS) $(HARDEN:-fPIE=-fPIC) -shared -Wl,-z,relro,-z,now,-z,defs $(LDFLAGS) -o $@ \
		$(filter %.o,$^)

# For User-Mode Linux on the host, see there.
build/uml-xstate.so: tests/uml/host/xstate.c Makefile | $(call PACKAGES,build)
	$(call Q,LD)$(CC) $(COMPILE) -shared -fPIC $(LDFLAGS) -o $@ $< -ldl

build/gntdev-run: preload/gntdev-run
	@mkdir -p $(@D)
	@cp $< $@

build/man/%: man/%.scd Makefile | $(call PACKAGES,man)
	$(call Q,MAN)scdoc <$< >$@

# Clients that run on a real Xen: with that Xen's headers (its management interface is another in
# each release) and this machine's libraries (whose interface is stable).
XEN_LIBS = -lxencall -lxenforeignmemory -lxengnttab -lxenevtchn -lxentoolcore

# xen_target RELEASE
define xen_target
.cache/xen/$1/stamp: tests/xen/fetch.sh | $$(call PACKAGES,xen)
	@tests/xen/fetch.sh $1 && touch $$@

build/xen/$1/%.o: tests/xen/%.c Makefile .cache/xen/$1/stamp | $$(call PACKAGES,build)
	$$(call Q,CC)$$(CC) $$(COMPILE) -isystem .cache/xen/$1/root/usr/include -c -o $$@ $$<

build/xen/$1/support.a: $(XEN_SUPPORT:%=build/xen/$1/%.o)
	@rm -f $$@
	$$(call Q,AR)$$(AR) rcs $$@ $$^

$(XEN_CLIENTS:%=build/xen/$1/%): build/xen/$1/%: build/xen/$1/%.o build/xen/$1/support.a
	$$(call Q,LD)$$(CC) $$(LDFLAGS) -o $$@ $$^ $$(XEN_LIBS) -pthread
endef

$(foreach t,debian12 debian13,$(eval $(call xen_target,$t)))

# In dom0 next to Xen's tools, where other libraries are; in the guest. (A static libxenstore.a has no
# thread for watches, and loses replies.)
build/xen/tools/port: XEN_TOOL = -static
build/xen/tools/guest: XEN_TOOL = -lxenstore -lxengnttab -lxenevtchn
build/xen/tools/%: tests/xen/guest/%.c Makefile | $(call PACKAGES,build)
	$(call Q,LD)$(CC) $(COMPILE) $(LDFLAGS) -o $@ $< $(XEN_TOOL)

-include $(wildcard build/xen/*/*.d build/pic/*/*.d)
-include $(wildcard build/*.d) $(foreach v,build build/asan build/tsan build/fuzz build/steps,\
	$(wildcard $v/o/*.d $v/o/*/*.d $v/o/*/*/*.d $v/o/*/*/*/*.d))

# --- tests --------------------------------------------------------------------------------------
#
# run-STAGE prints TAP lines; tests/stage.sh counts them into build/results/STAGE, so that a stage
# that does not even build is a failure like any other.

# Without a -j of the user's, each stage builds on all processors.
JOBS  = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))
STAGES = lint unit cuse deb xen

check: deps-check
	@rm -rf build/results
	@export CHECK_END=$$(tests/pace.sh end); for stage in $(STAGES); do \
		tests/stage.sh run $$stage $(MAKE) $(JOBS) --no-print-directory run-$$stage || true; \
	done
	@tests/stage.sh sum $(STAGES)

check-unit check-cuse check-deb check-xen: check-%:
	@tests/stage.sh run $* $(MAKE) $(JOBS) --no-print-directory run-$* || true
	@tests/stage.sh sum $*

run-lint: $(call PACKAGES,man unit lint)
	@tests/lint.sh quick

lint: $(call PACKAGES,man unit lint)
	@tests/stage.sh run lint tests/lint.sh all || true
	@tests/stage.sh sum lint

format: $(call PACKAGES,lint)
	@tests/lint.sh format

UNIT_SCRIPTS = tests/unit/preload/programs.sh tests/unit/contrib.sh tests/unit/install.sh

run-unit: $(UNIT_BIN) $(TORTURE_BIN) $(REPLAY_BIN) $(UNIT_SCRIPTS) $(PROGRAMS) $(MAN)
	@tests/unit/run.sh $(TORTURE_SECONDS) $(UNIT_BIN) $(TORTURE_BIN) $(REPLAY_BIN) $(UNIT_SCRIPTS)

run-cuse: $(CUSE_BIN) build/uml-xstate.so $(call PACKAGES,cuse)
	@tests/uml/run.sh -t 600 -n cases tests/uml/cases.sh $(ONE)

RELEASES = debian12 debian13

run-deb: build/uml-xstate.so $(call PACKAGES,cuse deb install)
	@tests/deb/run.sh $(or $(ONE),$(RELEASES))

XEN_COMBOS = debian12-pv debian12-pvh debian13-pv debian13-pvh
XEN_RUN    = $(if $(filter run-xen check-xen,$(MAKECMDGOALS)),$(or $(ONE),$(XEN_COMBOS)),$(XEN_COMBOS))
XEN_NEEDS  = $(sort $(foreach c,$(XEN_RUN),$(firstword $(subst -, ,$c))))

run-xen: $(CUSE_BIN) build/asan/cuse_gntdev build/asan/tests/uml/cycles $(XEN_TOOLS) $(call PACKAGES,xen) \
		$(foreach t,$(XEN_NEEDS),.cache/xen/$t/stamp $(XEN_CLIENTS:%=build/xen/$t/%))
	@tests/xen/check.sh "$(XEN_RUN)" $(CASES)

fuzz: $(patsubst %,build/fuzz/fuzz_%,$(or $(ONE),$(FUZZ)))
	@tests/fuzz/run.sh $(FUZZ_SECONDS) $^

# What make check does for seconds, or not at all, for as long as it is let: for each stage a target run-soak-STAGE
# that prints TAP. This list is the place to add one.
SOAK = torture fuzz attacks mutants survive xen

soak: $(call PACKAGES,unit fuzz)
	@export CHECK_END=999999999; for stage in $(or $(ONE),$(SOAK)); do \
		tests/stage.sh run soak-$$stage $(MAKE) $(JOBS) --no-print-directory run-soak-$$stage || true; \
	done
	@tests/stage.sh sum $(patsubst %,soak-%,$(or $(ONE),$(SOAK)))

run-soak-torture: $(TORTURE_BIN)
	@tests/unit/run.sh $(SOAK_SECONDS) $^

run-soak-fuzz: $(FUZZ:%=build/fuzz/fuzz_%)
	@tests/fuzz/run.sh $(SOAK_SECONDS) $^

# A part of that for each attack: tests/uml/attacks.sh has the table. Figures are comments of the TAP.
ATTACK_SECONDS = $(shell expr $(SOAK_SECONDS) / 18 + 1)

run-soak-attacks: $(CUSE_BIN) build/uml-xstate.so $(call PACKAGES,cuse)
	@tests/uml/run.sh -t $$((2 * $(SOAK_SECONDS) + 900)) -n attacks env ATTACK_SECONDS=$(ATTACK_SECONDS) ATTACK_ENDS=20000 \
		CASE_SECONDS=$$((2 * $(SOAK_SECONDS) + 800)) bash tests/uml/cases.sh attacks

# Those that a test was written for, and each day another sample: a mutant takes half a minute.
MUTANTS = $(shell expr $(SOAK_SECONDS) / 30 + 1)

# What takes minutes on an emulated Xen: more of the same, whatever $(SOAK_SECONDS) is.
run-soak-xen: export XEN_TEST_SEEDS = 1 2 3 4 5 6 7 8 9 10
run-soak-xen: export XEN_TEST_CYCLES = 2000
run-soak-xen: export XEN_TEST_STORMS = 50
run-soak-xen: export XEN_TEST_KILLS = 100
# A guest for each of 24 daemons: xl creates the next one after each.
run-soak-xen: export XEN_TEST_REPLACED = 1
run-soak-xen: export XEN_TEST_GUESTS = $(foreach i,1 2 3 4 5 6 7 8 9 10 11 12,pv pvh)
run-soak-xen: export XEN_TEST_SECONDS = 3600
run-soak-xen: export XEN_SECONDS = 9000
run-soak-xen: run-xen

run-soak-mutants: $(UNIT_BIN)
	@tests/mutants/run.sh -l; named=$$?; \
	seed=$$(date +%j); echo "# seed $$seed"; tests/mutants/run.sh -n $(MUTANTS) -s $$seed && [ $$named -eq 0 ]

# Two kills a second, as a rule; each time other ones. More threads than check has.
KILLS = $(shell expr 2 '*' $(SOAK_SECONDS) + 160)

run-soak-survive: $(CUSE_BIN) build/uml-xstate.so $(call PACKAGES,cuse)
	@seed=$$(date +%j%H%M); echo "# seed $$seed"; \
	tests/uml/run.sh -t $$((4 * $(SOAK_SECONDS) + 900)) -n survive env SURVIVE_KILLS=$(KILLS) SURVIVE_SEED=$$seed \
		SURVIVE_THREADS=32 CASE_SECONDS=$$((4 * $(SOAK_SECONDS) + 800)) bash tests/uml/cases.sh survive

demo: $(PROGRAMS) build/uml-xstate.so $(if $(wildcard /dev/cuse),,$(call PACKAGES,cuse))
	@if [ -c /dev/cuse ] && [ "$$(id -u)" -eq 0 ]; then examples/demo.sh; \
	else echo "no /dev/cuse for us here: in User-Mode Linux"; \
		tests/uml/run.sh -t 120 -n demo examples/demo.sh; fi

bench: $(BENCH_BIN) build/uml-xstate.so $(call PACKAGES,bench cuse)
	@echo "# native: $$(nproc) processors, Linux $$(uname -r)"
	@for b in $(BENCH_NATIVE); do build/$$b || exit 1; done
	@bench/survive.sh
	@bench/qemu.sh

XEN_BENCH = $(or $(ONE),debian12-pv debian12-pvh)

bench-xen: $(PROGRAMS) $(XEN_TOOLS) $(call PACKAGES,xen) \
		$(foreach c,$(XEN_BENCH),build/xen/$(firstword $(subst -, ,$c))/bench)
	@tests/xen/speed.sh $(if $(filter wall,$(CLOCK)),-w) $(BASE:%=-b %) $(XEN_BENCH)

# --- install ------------------------------------------------------------------------------------

SUBST = sed -e 's|@SBINDIR@|$(SBINDIR)|g' -e 's|@LIBDIR@|$(LIBDIR)|g' -e 's|@DOCDIR@|$(DOCDIR)|g'

install: $(PROGRAMS) $(MAN)
	install -d $(DESTDIR)$(SBINDIR) $(DESTDIR)$(BINDIR) $(DESTDIR)$(LIBDIR) $(DESTDIR)$(UNITDIR) \
		$(DESTDIR)$(UDEVDIR) $(addprefix $(DESTDIR)$(CONFDIR)/,modprobe.d sysusers.d)
	install -m 755 build/cuse_gntdev build/cuse_gntdev-keeper $(DESTDIR)$(SBINDIR)
	install -m 755 build/gntdevctl $(DESTDIR)$(BINDIR)
	install -m 644 build/libgntdev-mmap.so $(DESTDIR)$(LIBDIR)
	$(SUBST) preload/gntdev-run > $(DESTDIR)$(BINDIR)/gntdev-run
	chmod 755 $(DESTDIR)$(BINDIR)/gntdev-run
	$(SUBST) systemd/cuse-gntdev.service > $(DESTDIR)$(UNITDIR)/cuse-gntdev.service
	chmod 644 $(DESTDIR)$(UNITDIR)/cuse-gntdev.service
	install -d $(DESTDIR)$(DOCDIR)/docs
	install -m 644 README.md $(DESTDIR)$(DOCDIR)
	install -m 644 $(wildcard docs/*) $(DESTDIR)$(DOCDIR)/docs
	install -D -m 644 -t $(DESTDIR)$(DOCDIR)/contrib/prometheus contrib/prometheus/*.yml
	install -D -m 644 -t $(DESTDIR)$(DOCDIR)/contrib/grafana contrib/grafana/*.json
	@set -e; for page in $(MAN); do \
		to=$(DESTDIR)$(MANDIR)/man$${page##*.}; \
		install -d $$to; $(SUBST) $$page > $$to/$${page##*/}; chmod 644 $$to/$${page##*/}; \
	done
	@# Somebody's rules stay.
	test -e $(DESTDIR)$(SYSCONFDIR)/cuse-gntdev.conf || \
		install -D -m 644 systemd/cuse-gntdev.conf $(DESTDIR)$(SYSCONFDIR)/cuse-gntdev.conf
	install -D -m 644 completion/gntdevctl.bash $(DESTDIR)$(BASHDIR)/gntdevctl
	ln -sf gntdevctl $(DESTDIR)$(BASHDIR)/cuse_gntdev
	ln -sf gntdevctl $(DESTDIR)$(BASHDIR)/gntdev-run
	install -D -m 644 -t $(DESTDIR)$(ZSHDIR) completion/_gntdevctl
	install -D -m 644 -t $(DESTDIR)$(FISHDIR) $(wildcard completion/*.fish)
	install -m 644 systemd/70-cuse-gntdev.rules $(DESTDIR)$(UDEVDIR)
	install -m 644 systemd/cuse-gntdev.modprobe $(DESTDIR)$(CONFDIR)/modprobe.d/cuse-gntdev.conf
	install -m 644 systemd/cuse-gntdev.sysusers $(DESTDIR)$(CONFDIR)/sysusers.d/cuse-gntdev.conf
	@echo "installed below $(DESTDIR)$(PREFIX)"

# What install would write is found out by having it do so elsewhere. Rules stay, and directories of others.
uninstall: $(PROGRAMS) $(MAN)
	@rm -rf build/installed
	@$(MAKE) -s --no-print-directory install DESTDIR=$(CURDIR)/build/installed >build/uninstall.log
	@cd build/installed && find . ! -type d ! -path '.$(SYSCONFDIR)/*' -printf '$(DESTDIR)/%P\0' | xargs -0 rm -f
	@cd build/installed && find . -depth -type d -path '*/cuse-gntdev*' -printf '$(DESTDIR)/%P\0' | \
		xargs -0 -r rmdir --ignore-fail-on-non-empty 2>/dev/null || true
	@rm -rf build/installed build/uninstall.log
	@echo "removed from $(DESTDIR)$(PREFIX); $(DESTDIR)$(SYSCONFDIR)/cuse-gntdev.conf stays"

# The same sources make the same bytes, wherever and whenever.
VERSION = $(shell sed -n 's/^\#define VERSION "\(.*\)"$$/\1/p' abi/version.h)
DIST    = cuse-gntdev-$(VERSION)
SOURCES = if git rev-parse --git-dir >/dev/null 2>&1; then git ls-files -co --exclude-standard -z; \
	else find . \( -path ./build -o -path ./.cache -o -path ./.git \) -prune -o ! -type d -printf '%P\0'; fi

dist:
	@mkdir -p build
	@{ $(SOURCES); } | xargs -0 sh -c 'for f; do [ -e "$$f" ] && printf "%s\0" "$$f"; done' sh | \
		tar -c --null -T - --sort=name --owner=0 --group=0 --numeric-owner --mode=go=rX,u+rw \
		--mtime="$$(sed -n '/^ -- /{s/^ -- .*>  //p;q}' debian/changelog)" \
		--transform='s|^|$(DIST)/|' | xz -9e >build/$(DIST).tar.xz
	@ls -l build/$(DIST).tar.xz

# The Debian package, and lintian's opinion of it.
deb: $(call PACKAGES,man deb)
	@./deb.sh build/deb

# Twice, in directories of other names, with other umasks, locales and time zones.
reproducible: $(call PACKAGES,man deb)
	@umask 022; TZ=UTC LC_ALL=C ./deb.sh build/reproducible/1 >/dev/null
	@umask 002; TZ=Asia/Kathmandu LC_ALL=C.UTF-8 ./deb.sh build/reproducible/another >/dev/null
	@for deb in build/reproducible/1/*.deb; do cmp $$deb build/reproducible/another/$${deb##*/} || exit 1; done
	@sha256sum build/reproducible/1/*.deb

clean:
	rm -rf build
	@echo "clean: .cache/ keeps the downloads"
