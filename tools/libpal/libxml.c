/* SPDX-License-Identifier: MIT */
#include "libpal/libxml.h"

#include <dlfcn.h>
#include <string.h>

struct libxml libxml;

static const struct {
    const char *name;
    size_t offset;
} symbols[] = {
#define LIBXML_SYMBOL(name) {#name, offsetof(struct libxml, name)},
    LIBXML_SYMBOLS(LIBXML_SYMBOL)
#undef LIBXML_SYMBOL
};

int libxml_load(struct pal_error *e)
{
    static bool is_loaded;
    void *library;

    if (is_loaded)
        return 0;
    library = dlopen(LIBXML_SONAME, RTLD_NOW | RTLD_LOCAL);
    for (size_t i = 0; library && i < sizeof(symbols) / sizeof(symbols[0]); i++) {
        void *at = dlsym(library, symbols[i].name);

        if (!at)
            library = NULL;
        memcpy((char *)&libxml + symbols[i].offset, &at, sizeof(at));
    }
    if (!library) {
        pal_fail(e, PAL_SYS_FAILED, "libxml2 cannot be loaded: %s", dlerror());
        return pal_remedy(e, "install it: `apt install libxml2`");
    }
    is_loaded = true;
    return 0;
}
