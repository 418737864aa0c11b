# SPDX-License-Identifier: MIT
# Images of domains: the library that writes, reads and checks them, and their page tables' rewriting. It knows libpal's errors,
# no hypervisor.
#   save-header-check   each header compiles alone
# Packages: zlib1g-dev liblz4-dev

SAVE_FLAGS := -std=gnu11 -D_GNU_SOURCE -Isave-restore/include -Itools
SAVE_HEADERS := $(wildcard save-restore/include/*/*.h save-restore/image/*.h)

.PHONY: save-header-check
header-check: save-header-check
save-header-check:
	@for h in $(SAVE_HEADERS); do \
	    $(CC) $(SAVE_FLAGS) -Isave-restore -Wall -Wextra -Werror -fsyntax-only -include ./$$h -x c /dev/null || exit 1; done
