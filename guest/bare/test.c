/* SPDX-License-Identifier: MIT */
#include <abi/pal.h>
#include <bare/test.h>

static unsigned int passed, failed;

bool test_peer(void)
{
    const char *p = start_option("peer");

    return p && !strncmp(p, "xen", 3);
}

unsigned int test_case(void)
{
    return (unsigned int)start_option_number("case", 0);
}

void test_begin(const char *name)
{
    console_printf("\nTEST %s\n", name);
}

void test_note(const char *format, ...)
{
    char text[300];
    va_list args;

    va_start(args, format);
    console_format(text, sizeof(text), format, args);
    va_end(args);
    console_printf("note %s\n", text);
}

static bool verdict(const char *id, const char *text, bool holds, bool ours, int64_t got,
                    const char *want)
{
    if (holds) {
        passed++;
        console_printf("ok %s %s\n", id, text);
    } else {
        bool diff = ours && test_peer();

        failed += !diff;
        console_printf("%s %s %s got %ld (0x%lx) want %s\n", diff ? "DIFF" : "FAIL", id, text,
                       (long)got, (unsigned long)got, want);
    }
    return holds;
}

static const char *number(char buf[64], const char *format, ...)
{
    va_list args;

    va_start(args, format);
    console_format(buf, 64, format, args);
    va_end(args);
    return buf;
}

static bool equal(const char *id, const char *text, int64_t got, int64_t want, bool ours)
{
    char buf[64];

    return verdict(id, text, got == want, ours, got,
                   number(buf, "%ld (0x%lx)", (long)want, (unsigned long)want));
}

bool test_eq(const char *id, const char *text, int64_t got, int64_t want)
{
    return equal(id, text, got, want, false);
}

bool test_eq_ours(const char *id, const char *text, int64_t got, int64_t want)
{
    return equal(id, text, got, want, true);
}

bool test_true(const char *id, const char *text, bool holds)
{
    return verdict(id, text, holds, false, holds, "true");
}

bool test_true_ours(const char *id, const char *text, bool holds)
{
    return verdict(id, text, holds, true, holds, "true");
}

static bool refused(int64_t got)
{
    return got < 0 && got > -4096;
}

bool test_refused(const char *id, const char *text, int64_t got)
{
    return verdict(id, text, refused(got), false, got, "refused");
}

bool test_refused_ours(const char *id, const char *text, int64_t got)
{
    return verdict(id, text, refused(got), true, got, "refused");
}

bool test_either(const char *id, const char *text, int64_t got, int64_t a, int64_t b)
{
    char buf[64];

    return verdict(id, text, got == a || got == b, false, got,
                   number(buf, "%ld or %ld", (long)a, (long)b));
}

void test_add(unsigned int ok, unsigned int bad)
{
    passed += ok;
    failed += bad;
}

void test_audit(const char *id)
{
    struct pal_audit a = {0};
    long ret = hypercall(__HYPERVISOR_pal_op, PALOP_audit, HC_ADDR(&a), 0, 0, 0);

    if (ret == -XEN_ENOSYS && test_peer())
        return;
    test_eq(id, "audit: disagreements", ret, 0);
    if (ret > 0)
        test_note("audit: first bad frame %lx of %lu looked at", (unsigned long)a.first_bad_mfn,
                  (unsigned long)a.frames);
}

static void report_stats(void)
{
    struct pal_stats s = {0};

    if (hypercall(__HYPERVISOR_pal_op, PALOP_stats, HC_ADDR(&s), 0, 0, 0))
        return;
    test_note("longest interrupts-off %lu ns, heap %lu bytes, free %lu frames",
              (unsigned long)s.longest_off_ns, (unsigned long)s.heap_bytes,
              (unsigned long)s.free_frames);
}

_Noreturn void test_survived(const char *id)
{
    verdict(id, "the domain should have been killed", false, false, 0, "killed");
    console_printf("DONE %u ok, %u failed\n", passed, failed);
    console_poweroff(SHUTDOWN_reboot);
}

_Noreturn void test_end(void)
{
    test_audit("end");
    test_eq("end", "version answers", hc_version(XENVER_version, NULL), 0x40011);
    report_stats();
    console_printf("DONE %u ok, %u failed\n", passed, failed);
    console_poweroff(SHUTDOWN_reboot);
}

uint64_t test_random(void)
{
    static uint64_t state;

    if (!state)
        state = start_option_number("seed", 1) * 0x9e3779b97f4a7c15ul | 1;
    /* xorshift64* */
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1dul;
}

uint64_t test_hypervisor_frame(void)
{
    const uint64_t *root = mm_va(mm_root());

    for (unsigned int i = 256; i < 272; i++)
        if (root[i] & PTE_P)
            return (root[i] & PTE_ADDR) / MM_PAGE;
    console_panic("no hypervisor slot in the root");
}

void test_foreign_frames(struct test_frame out[TEST_FOREIGN_FRAMES])
{
    out[0] = (struct test_frame){"a frame of the hypervisor", test_hypervisor_frame()};
    out[1] = (struct test_frame){"the local APIC", 0xfee00};
    out[2] = (struct test_frame){"a frame above the physical width", 1ul << 36};
    out[3] = (struct test_frame){"2^40-1", (1ul << 40) - 1};
    out[4] = (struct test_frame){"the highest frame of an entry", PTE_ADDR / MM_PAGE};
}

long test_pin(int level, uint64_t pfn)
{
    return hc_mmuext_mfn(MMUEXT_PIN_L1_TABLE + (unsigned int)level - 1, mm_mfn(pfn));
}

long test_unpin(uint64_t pfn)
{
    return hc_mmuext_mfn(MMUEXT_UNPIN_TABLE, mm_mfn(pfn));
}

bool test_same_entry(uint64_t a, uint64_t b)
{
    uint64_t loose = PTE_A | PTE_D | (test_peer() ? PTE_G : 0);

    return (a & ~loose) == (b & ~loose);
}

bool test_own_frame(uint64_t mfn)
{
    uint64_t pfn;

    if (mfn >= MACH2PHYS_NR_ENTRIES || trap_read(MACH2PHYS_VIRT_START + 8 * mfn, &pfn) >= 0)
        return false;
    return pfn < start_info->nr_pages && mm_mfn(pfn) == mfn;
}

static uint64_t race_started[VCPU_MAX];

static uint64_t race_age(void)
{
    return event_now() - race_started[vcpu_self()->id];
}

bool test_race(unsigned int i, unsigned int rounds)
{
    if (i == 0)
        race_started[vcpu_self()->id] = event_now();
    return i < rounds && (i < 20 || race_age() < 3000000000);
}

bool test_race_until(unsigned int i, unsigned int rounds, bool enough)
{
    return test_race(i, rounds) || (!enough && race_age() < 60000000000);
}
