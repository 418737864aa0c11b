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
