/* SPDX-License-Identifier: MIT */
/*
 * Not an attack but a new owner that looks: is there a word in the memory it was given that somebody left there, a page of an image or
 * another guest's? It fills all of it, so that its own next owner has something to find, and then gives pieces back and takes
 * others, `rounds` times, looking at what comes. It maps and unmaps them without asking for a flush.
 *
 * run: none
 */
#include <bare/test.h>

#define PIECE 256u
#define MARK  0x5ca95ca900000000ul

static uint64_t pfns[MM_DIRECT_MAX];
static uint64_t count, bad;

static uint64_t *words_of(uint64_t pfn)
{
    return mm_va(pfn);
}

/* Nothing may be there; what is there is told, of the first few frames. */
static void look_at(uint64_t pfn)
{
    const volatile uint64_t *words = words_of(pfn);
    uint64_t all = 0;

    for (unsigned int i = 0; i < MM_PAGE / 8; i += 4)
        all |= words[i] | words[i + 1] | words[i + 2] | words[i + 3];
    if (all && bad++ < 4)
        for (unsigned int i = 0; i < 4; i++)
            console_printf("SCAN bad: frame %lx: %lx\n", mm_mfn(pfn), words[i * 128]);
}

static void mark(uint64_t pfn)
{
    uint64_t *words = words_of(pfn);

    for (unsigned int i = 0; i < MM_PAGE / 8; i++)
        words[i] = MARK | pfn;
}

static void rest(uint64_t ns)
{
    struct sched_poll poll = {.timeout = event_now() + ns};

    hc_sched(SCHEDOP_poll, &poll);
}

static long reserve(unsigned int op, xen_pfn_t *list, unsigned int n)
{
    struct xen_memory_reservation r = {.nr_extents = n, .domid = DOMID_SELF};

    set_xen_guest_handle(r.extent_start, list);
    return hc_memory(op, &r);
}

static void give(const uint64_t *piece)
{
    xen_pfn_t list[PIECE];

    for (unsigned int i = 0; i < PIECE; i++) {
        list[i] = mm_mfn(piece[i]);
        hc_update_va(HC_ADDR(words_of(piece[i])), 0, UVMF_NONE);
    }
    if (reserve(XENMEM_decrease_reservation, list, PIECE) != PIECE)
        console_panic("a frame was not taken back");
}

/* There may be nothing to have for a while. */
static void take(const uint64_t *piece)
{
    xen_pfn_t list[PIECE];

    for (unsigned int done = 0; done < PIECE;) {
        unsigned int n = PIECE - done;
        long got;

        for (unsigned int i = 0; i < n; i++)
            list[i] = piece[done + i];
        got = reserve(XENMEM_populate_physmap, list, n);
        if (got < 0)
            console_panic("populate: %ld", got);
        for (long i = 0; i < got; i++, done++) {
            mm_set_p2m(piece[done], list[i]);
            hc_update_va(HC_ADDR(words_of(piece[done])), list[i] * MM_PAGE | PTE_RW, UVMF_NONE);
            look_at(piece[done]);
            mark(piece[done]);
        }
        if (done < PIECE)
            rest(20000000);
    }
}

int main(void)
{
    uint64_t rounds = start_option_number("rounds", 0);

    while (mm_free_frames() > 64)
        pfns[count++] = mm_alloc_raw();
    for (uint64_t i = 0; i < count; i++) {
        look_at(pfns[i]);
        mark(pfns[i]);
    }
    console_printf("SCAN %s, %lu frames\n", bad ? "found words of others" : "ok", count);
    for (uint64_t i = 0; i < rounds && count >= PIECE; i++) {
        const uint64_t *piece = pfns + test_random() % (count - PIECE + 1);

        give(piece);
        rest(5000000);
        take(piece);
    }
    console_printf("SCAN %s, %lu rounds\n", bad ? "found words of others" : "ok", rounds);
    for (;;)
        rest(1000000000);
}
