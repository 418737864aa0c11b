/* SPDX-License-Identifier: MIT */
/*
 * Anything as a kernel file. What passes must keep the promises of elf_image.h; what is reached
 * through the decoders is limited to 1 MiB, so that the fuzzer stays quick. The first byte chooses:
 * the whole way, or the ELF parser alone.
 */
#include <stdlib.h>
#include <string.h>

#include "read_image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define UNPACKED_MOST (1u << 20)

static void require(bool c)
{
    if (!c)
        abort();
}

static void check_promises(const struct elf_image *e)
{
    uint64_t sum = 0;

    require(e->segments > 0 && e->segments <= ELF_IMAGE_SEGMENTS_MAX);
    for (unsigned i = 0; i < e->segments; i++) {
        const struct elf_segment *s = &e->segment[i];

        require(s->mem_size > 0 && s->file_size <= s->mem_size);
        require(s->file_offset <= e->size && s->file_size <= e->size - s->file_offset);
        require(s->paddr >= e->paddr_start && s->paddr + s->mem_size <= e->paddr_end);
        for (uint64_t k = 0; k < s->file_size; k += 512)
            sum += e->file[s->file_offset + k];
    }
    require(e->paddr_end <= ELF_IMAGE_SPAN_MAX);
    require(e->entry >= e->virt_base && e->entry < e->virt_base + e->paddr_end);
    require(memchr(e->guest_os, 0, sizeof(e->guest_os)) != NULL);
    require(memchr(e->guest_version, 0, sizeof(e->guest_version)) != NULL);
    __asm__ volatile("" ::"r"(sum));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct read_image r;
    const char *why = NULL;

    if (size == 0)
        return 0;
    if (data[0] & 1) {
        if (elf_image_parse(&r.elf, data + 1, size - 1, &why) == ELF_IMAGE_GOOD)
            check_promises(&r.elf);
        else
            require(why != NULL);
        return 0;
    }
    if (read_image(&r, data + 1, size - 1, UNPACKED_MOST) == READ_GOOD)
        check_promises(&r.elf);
    read_image_free(&r);
    return 0;
}
