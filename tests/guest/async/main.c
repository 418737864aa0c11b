/* SPDX-License-Identifier: MIT */
/*
 * Invariant 41: asynchronous entries are safe at every instruction boundary.
 *
 * One vCPU goes in and out by every way there is, timer events every millisecond, a storm
 * of inter-processor interrupts from the other, and in the second boot non-maskable
 * interrupts from outside.
 *
 * run: smp=2 deadline=120
 * also nmi: nmi=15
 */
#include <bare/test.h>

static volatile int stop;
static volatile unsigned int received, nmis;
static long ipi[2];

static void on_ipi(unsigned int port)
{
    (void)port;
    received++;
}

static bool on_nmi(struct trap_frame *f)
{
    (void)f;
    nmis++;
    return true;
}

static void storm(void *arg)
{
    unsigned int sent = 0;

    while (!stop) {
        event_send((unsigned int)ipi[0]);
        sent++;
        if (sent % 64 == 0) {
            struct mmuext_op op = {.cmd = MMUEXT_TLB_FLUSH_ALL};

            hc_mmuext(&op, 1, NULL, DOMID_SELF);
        }
    }
    *(unsigned int *)arg = sent;
}

static void ud2(void *arg)
{
    (void)arg;
    __asm__ volatile("ud2");
}

static uint64_t gs_cell = 0x6565;

static uint64_t read_gs(void)
{
    uint64_t v;

    __asm__ volatile("mov %%gs:0, %0" : "=r"(v));
    return v;
}

/* All ways in and out; everything must be as it was. */
static int rounds(struct user *u)
{
    int odd = 0;

    for (unsigned int i = 0; test_race_until(i, 4000, received && vcpu_self()->beats); i++) {
        struct trap_frame start = {.rax = (uint64_t)i, .rbx = 0x1234, .r15 = 0x5678}, out;
        struct trap_fault f;
        uint64_t here = mm_root(), address, flags;

        user_run(u, &start, &out, &address);
        odd += out.vector != TRAP_SYSCALL || out.rbx != 0x1234 || out.r15 != 0x5678 ||
               out.rax != (uint64_t)i;
        odd += !trap_run(ud2, NULL, &f) || f.vector != TRAP_UD;
        odd += trap_read(0x10, NULL) != TRAP_PF;
        odd += hc_version(XENVER_version, NULL) != 0x40011;
        odd += read_gs() != 0x6565;
        odd += here != mm_root();
        __asm__ volatile("pushfq; pop %0" : "=r"(flags));
        odd += (flags & 0x3200) != 0x200;
    }
    return odd;
}

int main(void)
{
    static const unsigned char code[] = {0x0f, 0x05};
    struct user u;
    unsigned int sent = 0;

    test_begin("async");
    trap_set_hook(TRAP_NMI, on_nmi);
    hypercall(__HYPERVISOR_set_segment_base, SEGBASE_GS_KERNEL, HC_ADDR(&gs_cell), 0, 0, 0);
    user_make(&u, code, sizeof(code));
    ipi[0] = event_bind_ipi(0);
    test_true("41a", "a port", ipi[0] > 0);
    event_set_handler((unsigned int)ipi[0], on_ipi);
    event_heartbeat(1000000);
    vcpu_run(1, storm, &sent);
    test_eq("41a", "disturbed by interrupts", rounds(&u), 0);
    stop = 1;
    vcpu_join(1);
    event_heartbeat(0);
    test_true("41a", "interrupts came", received > 0 && vcpu_self()->beats > 0);
    test_note("%u sent, %u received, %lu timer events, %u non-maskable", sent, received,
              (unsigned long)vcpu_self()->beats, nmis);
    user_free(&u);
    test_end();
}
