/* SPDX-License-Identifier: MIT */
/*
 * Invariants 10, 4, 6, 42 and 64 from an unprivileged domain: every management call is refused, with the same answer whether what it
 * names exists or not, before anything it points to is looked at; and what a new domain is given holds nothing
 * of those before it.
 *
 * run: smp=2 guests=self deadline=120
 * also one: smp=1
 */
#include <abi/pal.h>
#include <bare/pair.h>
#include <xen/physdev.h>

#define BAD_POINTER 0xffff830000000000ul

static unsigned int ids[6];

static void choose_ids(void)
{
    ids[0] = (unsigned int)pair_facts()->other;
    ids[1] = (unsigned int)pair_facts()->dead;
    ids[2] = 0;
    ids[3] = DOMID_SELF;
    ids[4] = 0x7ef0;
    ids[5] = DOMID_XEN;
}

/* One command of a call of the privileged, with a good, a bad and a garbled argument. */
static void refused_whatever(unsigned int nr, uint64_t cmd, uint64_t version)
{
    static uint64_t words[64];

    for (unsigned int i = 0; i < 6; i++) {
        long ret;

        memset(words, 0, sizeof(words));
        words[0] = version << 32 | cmd;
        words[1] = ids[i];
        ret = hypercall(nr, HC_ADDR(words), 0, 0, 0, 0);
        if (ret != -XEN_EPERM)
            test_eq("10a", "a command of the privileged", ret, -XEN_EPERM);
        for (unsigned int w = 2; w < 64; w++)
            if (words[w])
                test_true("10a", "nothing is told", false);
    }
    if (hypercall(nr, BAD_POINTER, 0, 0, 0, 0) != -XEN_EPERM)
        test_true("10a", "refused before its argument is read", false);
}

static int64_t management(uint64_t arg)
{
    (void)arg;
    choose_ids();
    for (uint64_t cmd = 0; cmd < 100; cmd++) {
        refused_whatever(__HYPERVISOR_domctl, cmd, 0x15);
        refused_whatever(__HYPERVISOR_sysctl, cmd, 0x15);
        refused_whatever(__HYPERVISOR_platform_op, cmd, 0x03000001);
        refused_whatever(__HYPERVISOR_arch_0, cmd, 0x03000001);
    }
    for (uint64_t cmd = 0; cmd < 32; cmd++) {
        /* Regions are for guests, too. */
        bool region = cmd >= PALOP_region_create && cmd < PALOP_region_quota;

        test_eq("10a", "our own call", hypercall(__HYPERVISOR_pal_op, cmd, BAD_POINTER, 0, 0, 0),
                region ? -XEN_EFAULT : -XEN_EPERM);
    }
    for (uint64_t cmd = 0; cmd < 8; cmd++) {
        test_refused("10a", "kexec", hypercall(__HYPERVISOR_kexec_op, cmd, BAD_POINTER, 0, 0, 0));
        test_refused("10a", "security policy",
                     hypercall(__HYPERVISOR_xsm_op, BAD_POINTER, cmd, 0, 0, 0));
    }
    test_true("10a", "commands were tried", true);
    return 0;
}

/* The console belongs to domain 0. Lengths of all kinds; nothing reaches the log: pair_check looks. */
static int64_t console(uint64_t arg)
{
    static char text[4096];
    static const uint64_t lengths[] = {0, 1, 4096, 1ul << 31, 0xffffffff, 1ul << 32, ~0ul};

    (void)arg;
    memset(text, 'A', sizeof(text));
    for (unsigned int i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
        for (uint64_t cmd = 0; cmd < 3; cmd++)
            test_refused("64a", "console",
                         hypercall(__HYPERVISOR_console_io, cmd, lengths[i], HC_ADDR(text), 0, 0));
    return 0;
}

static int64_t ports_of_others(uint64_t arg)
{
    (void)arg;
    choose_ids();
    for (unsigned int i = 0; i < 6; i++) {
        struct evtchn_alloc_unbound a = {.dom = (domid_t)ids[i], .remote_dom = DOMID_SELF};
        struct evtchn_status s = {.dom = (domid_t)ids[i], .port = 1};
        struct evtchn_reset r = {.dom = (domid_t)ids[i]};

        if (ids[i] == DOMID_SELF)
            continue;
        test_eq("10d", "a port of another", hc_event(EVTCHNOP_alloc_unbound, &a), -XEN_EPERM);
        test_eq("10d", "ask for a port of another", hc_event(EVTCHNOP_status, &s), -XEN_EPERM);
        test_eq("10d", "reset another", hc_event(EVTCHNOP_reset, &r), -XEN_EPERM);
    }
    return 0;
}

static int64_t other_calls(uint64_t arg)
{
    static uint64_t words[64];

    (void)arg;
    choose_ids();
    for (unsigned int i = 0; i < 6; i++) {
        struct sched_remote_shutdown stop = {.domain_id = (domid_t)ids[i],
                                             .reason = SHUTDOWN_crash};
        struct xen_foreign_memory_map map = {.domid = (domid_t)ids[i]};

        test_eq("10d", "shut another down", hc_sched(SCHEDOP_remote_shutdown, &stop), -XEN_EPERM);
        test_refused("10d", "its memory map", hc_memory(XENMEM_set_memory_map, &map));
    }
    test_eq("10e", "the machine's memory map",
            hc_memory(XENMEM_machine_memory_map, (void *)BAD_POINTER), -XEN_EPERM);
    /* Devices: mappings of interrupts, functions, ports; a virtual privilege level is everybody's. */
    for (uint64_t cmd = 0; cmd < 40; cmd++) {
        long good, bad;

        if (cmd == PHYSDEVOP_set_iopl || cmd == PHYSDEVOP_set_iobitmap ||
            cmd == PHYSDEVOP_irq_status_query || cmd == PHYSDEVOP_eoi)
            continue;
        memset(words, 0, sizeof(words));
        good = hypercall(__HYPERVISOR_physdev_op, cmd, HC_ADDR(words), 0, 0, 0);
        bad = hypercall(__HYPERVISOR_physdev_op, cmd, BAD_POINTER, 0, 0, 0);
        if (!test_true("10f", "devices", good < 0 && bad < 0))
            test_note("command %lu: %ld and %ld", cmd, good, bad);
    }
    test_refused("10f", "where a vCPU runs", hc_vcpu(VCPUOP_get_physid, 0, words));
    for (unsigned int virq = 0; virq < 32; virq++) {
        bool own = virq == VIRQ_TIMER || virq == VIRQ_DEBUG || virq == VIRQ_XENOPROF || virq == 13;
        long port = event_bind_virq(virq, 0);

        if (port > 0)
            test_eq("53a", "close", event_close((unsigned int)port), 0);
        if (!own)
            test_eq("53a", "an interrupt of the whole machine", port,
                    virq < NR_VIRQS ? -XEN_EPERM : -XEN_EINVAL);
    }
    for (unsigned int irq = 0; irq < 64; irq += 7) {
        struct evtchn_bind_pirq b = {.pirq = irq};

        test_eq("53a", "an interrupt of a device", hc_event(EVTCHNOP_bind_pirq, &b), -XEN_EPERM);
    }
    return 0;
}

static uint8_t read_byte;

static void in_byte(void *port)
{
    __asm__ volatile("inb %w1, %0" : "=a"(read_byte) : "d"(HC_ADDR(port)));
}

static void out_byte(void *port)
{
    __asm__ volatile("outb %b0, %w1" : : "a"(read_byte), "d"(HC_ADDR(port)));
}

/* Without a virtual privilege level a fault; with it, a bus where nobody answers. */
static int64_t ports_of_the_machine(uint64_t arg)
{
    static const uint16_t ports[] = {0x20,  0x40, 0x61,  0x64,  0x70,  0x80,  0x92,
                                     0x3f8, 0xb2, 0xcf8, 0xcf9, 0xcfc, 0x604, 0xb004};

    (void)arg;
    for (unsigned int level = 0; level < 4; level += 3) {
        struct physdev_set_iopl l = {.iopl = level};

        test_eq("57a", "level",
                hypercall(__HYPERVISOR_physdev_op, PHYSDEVOP_set_iopl, HC_ADDR(&l), 0, 0, 0), 0);
        for (unsigned int i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
            void *port = (void *)(uint64_t)ports[i];
            bool in, out;

            read_byte = 0x5a;
            in = trap_run(in_byte, port, NULL);
            if (level == 3)
                test_eq("57a", "nobody answers", read_byte, 0xff);
            read_byte = 0xfe;
            out = trap_run(out_byte, port, NULL);
            test_true("57a", "a fault without the right",
                      in == (level == 0) && out == (level == 0));
        }
    }
    return 0;
}

/* ---- nothing of others in what is new ---- */

/* Fill what the CPU and the hypervisor have of ours with a mark: registers, memory, hypercall arguments. */
#define MARK 0xd1d2d3d4d5d6d7d8ul

static int64_t make_noise(uint64_t arg)
{
    static uint64_t mark[2] = {MARK, MARK};
    struct mmu_update reqs[64];

    (void)arg;
    while (mm_free_frames() > 40) {
        uint64_t *page = mm_alloc_page();

        for (unsigned int i = 0; i < 512; i++)
            page[i] = MARK;
    }
    for (unsigned int i = 0; i < 64; i++)
        reqs[i] = (struct mmu_update){MARK & ~7ul, MARK};
    for (unsigned int i = 0; i < 100; i++) {
        hc_mmu_update(reqs, 64, NULL, DOMID_SELF);
        hypercall(__HYPERVISOR_update_va_mapping, MARK, MARK, MARK, MARK, MARK);
    }
    __asm__ volatile(".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n\t"
                     "movdqu (%0), %%xmm\\n\n\t.endr\n\t"
                     "fldpi; fldpi; fldpi; fldpi"
                     :
                     : "r"(mark)
                     : "memory");
    return 0;
}

struct fpu_image {
    uint16_t control, status;
    uint8_t tags, zero;
    uint16_t opcode;
    uint64_t ip, dp;
    uint32_t mxcsr, mask;
    uint64_t st[16], xmm[32], rest[12];
};

static int64_t fresh_state(uint64_t arg)
{
    static struct fpu_image f __attribute__((aligned(16)));
    bool zero = true;

    (void)arg;
    memset(&f, 0, sizeof(f)); /* the emulator leaves the opcode out */
    __asm__ volatile("fxsave64 %0" : "=m"(f));
    for (unsigned int i = 0; i < 32; i++)
        zero &= f.xmm[i] == 0;
    test_true("42a", "vector registers of a new domain are zero", zero);
    test_eq("42a", "control word", f.control, 0x37f);
    test_eq("42a", "status word", f.status, 0);
    test_eq("42a", "no register in use", f.tags, 0);
    test_eq("42a", "last instruction", (int64_t)(f.ip | f.dp | f.opcode), 0);
    test_eq("42a", "MXCSR", f.mxcsr, 0x1f80);
    for (unsigned int n = 0; n < 8; n++) {
        uint64_t v = hypercall(__HYPERVISOR_get_debugreg, n, 0, 0, 0, 0);

        if (n < 4)
            test_eq("36a", "no breakpoint", (int64_t)v, 0);
    }
    return 0;
}

static int64_t fresh_memory(uint64_t arg)
{
    uint64_t seen = 0, bad = 0;
    const char *shared = (const char *)&start_shared;

    (void)arg;
    while (mm_free_frames() > 60) {
        /* mm_alloc clears a frame before we see it: look at those it has not handed out yet. */
        uint64_t pfn = mm_alloc_raw();

        bad += !string_all(mm_va(pfn), 0, MM_PAGE);
        seen++;
    }
    test_true("23b", "frames seen", seen > 400);
    test_eq("23b", "of them not zero", (int64_t)bad, 0);
    test_true(
        "6b", "nothing in the shared page's tail",
        string_all(shared + sizeof(struct shared_info), 0, MM_PAGE - sizeof(struct shared_info)));
    grant_init();
    for (unsigned int i = 8; i < GRANT_PER; i++)
        bad += grant_table[i].flags || grant_table[i].domid || grant_table[i].frame;
    test_eq("6b", "grant entries not zero", (int64_t)bad, 0);
    return 0;
}

static void nothing_left_behind(void)
{
    for (unsigned int i = 0; i < 4; i++) {
        pair_new_attacker(1);
        pair_run(pair_attacker, make_noise, 0);
        pair_end_attacker("6c");
        pair_new_attacker(1);
        pair_attack("42a", fresh_state, 0);
        pair_attack("23b", fresh_memory, 0);
        pair_end_attacker("6c");
    }
}

static void story(void)
{
    pair_begin(1);
    pair_new_attacker(2);
    pair_facts_of(pair_attacker)->dead = 0x7e00;
    pair_attack("10a", management, 0);
    pair_attack("64a", console, 0);
    pair_attack("10d", ports_of_others, 0);
    pair_attack("10d", other_calls, 0);
    pair_attack("57a", ports_of_the_machine, 0);
    pair_end_attacker("10g");
    nothing_left_behind();
}

int main(void)
{
    return pair_main("pair-authority", story);
}
