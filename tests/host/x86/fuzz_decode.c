/* SPDX-License-Identifier: MIT */
/*
 * Random bytes into the decoder. What must hold: an accepted instruction lies within the bytes, its
 * fields are in range, its description does not depend on the bytes behind it, and one byte fewer
 * is INSN_SHORT.
 */
#include <stdlib.h>
#include <string.h>
#include "../../../hv/x86/decode.h"

#define EXPECT(c)                                                                                  \
    do {                                                                                           \
        if (!(c))                                                                                  \
            abort();                                                                               \
    } while (0)

static bool is_register(uint8_t r, uint8_t size)
{
    return r < 16 || (size == 1 && r < 20);
}

static void check_fields(const struct insn *i)
{
    EXPECT(i->op > INSN_NONE && i->op <= INSN_CPUID);
    EXPECT(i->size == 1 || i->size == 2 || i->size == 4 || i->size == 8);
    EXPECT(i->segment <= SEG_GS);
    EXPECT(i->scale <= 3);
    EXPECT(is_register(i->reg, i->size) && is_register(i->rm, i->size));
    EXPECT(i->base < 16 || i->base == INSN_REG_NONE);
    EXPECT((i->index < 16 && i->index != 4) || i->index == INSN_REG_NONE);
    EXPECT(!i->rip_relative || (i->base == INSN_REG_NONE && i->index == INSN_REG_NONE));
    EXPECT(!i->lock || (i->mem && i->op >= INSN_FIRST_RMW && i->op <= INSN_LAST_RMW));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct insn a, b;
    uint8_t copy[INSN_MAX_BYTES];
    unsigned n = (unsigned)min(size, (size_t)INSN_MAX_BYTES);

    if (insn_decode(data, (unsigned)min(size, (size_t)1000), &a) != INSN_OK)
        return 0;
    EXPECT(a.length >= 1 && a.length <= n);
    check_fields(&a);
    memset(copy, 0xa5, sizeof(copy));
    memcpy(copy, data, a.length);
    EXPECT(insn_decode(copy, sizeof(copy), &b) == INSN_OK && !memcmp(&a, &b, sizeof(a)));
    EXPECT(insn_decode(copy, a.length - 1u, &b) == INSN_SHORT);
    return 0;
}
