# SPDX-License-Identifier: MIT
# Images of domains: the library that writes, reads and checks them, and their page tables' rewriting. It knows libpal's errors,
# no hypervisor.
#   $(IMAGE_LIB)        the library, for programs that are linked with $(IMAGE_LIBS)
#   save-header-check   each header compiles alone
# Packages: zlib1g-dev liblz4-dev

IMAGE_FLAGS   := -Isave-restore/include -Isave-restore
IMAGE_SOURCES := $(sort $(wildcard save-restore/image/*.c))
IMAGE_HEADERS := $(wildcard save-restore/include/image/*.h save-restore/image/*.h)
IMAGE_LIB     := $(TOOLS)/libimage.a
IMAGE_LIBS    := -llz4 -lz -pthread

$(TOOLS)/save-restore/image/%.c.o: TOOLS_MORE := $(IMAGE_FLAGS)
$(TOOLS)/save-restore/image/checksum.c.o: TOOLS_MORE := $(IMAGE_FLAGS) -funroll-loops
$(IMAGE_LIB): $(IMAGE_SOURCES:%=$(TOOLS)/%.o)
	$(call Q,AR,$@)rm -f $@ && ar rcsD $@ $^
tools $(TOOLS)/pal: $(IMAGE_LIB)

.PHONY: save-header-check
header-check: save-header-check
save-header-check:
	@for h in $(IMAGE_HEADERS); do \
	    $(CC) -std=gnu11 -D_GNU_SOURCE $(IMAGE_FLAGS) -Itools -Wall -Wextra -Werror -fsyntax-only -include ./$$h -x c /dev/null || exit 1; done

-include $(IMAGE_SOURCES:%=$(TOOLS)/%.d)
-include tests/host/save/rules.mk
