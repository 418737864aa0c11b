/* SPDX-License-Identifier: MIT */
/* The table of function names that the second link puts into the image (hv/x86/symbols.awk). */
#ifndef X86_SYMBOLS_H
#define X86_SYMBOLS_H

#include "base/types.h"

struct symbol {
    uint32_t offset; /* from IMAGE_BASE; ascending */
    uint32_t name;   /* from symbol_names */
};
extern const struct symbol symbol_table[];
extern const uint64_t symbol_count;
extern const char symbol_names[];

#endif
