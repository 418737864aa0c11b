/* SPDX-License-Identifier: MIT */
/*
 * The control interface from domain 0's user space, as plain calls, and the smallest domain there is: one page of code,
 * one of data, one of stack, its tables. Calls return 0 or more, or a negative errno.
 */
#ifndef PAL_CONTROL_H
#define PAL_CONTROL_H

#define __XEN_TOOLS__ 1
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <xen/xen.h>
#include <xen/domctl.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/sysctl.h>

#include "abi/pal.h"

struct privcmd_call {
    uint64_t op, arg[5];
};
struct privcmd_batch {
    unsigned int num;
    domid_t dom;
    uint64_t addr;
    const uint64_t *frames;
    int *errors;
};
#define PRIVCMD_CALL  _IOC(_IOC_NONE, 'P', 0, sizeof(struct privcmd_call))
#define PRIVCMD_BATCH _IOC(_IOC_NONE, 'P', 4, sizeof(struct privcmd_batch))

static int privcmd = -1;

static void control_open(void)
{
    if (system("modprobe -q xen_privcmd; modprobe -q xen_evtchn") < 0)
        exit(1);
    for (int i = 0; i < 100 && privcmd < 0; i++) {
        privcmd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
        if (privcmd < 0)
            usleep(20000);
    }
    if (privcmd < 0 || mlockall(MCL_CURRENT | MCL_FUTURE)) {
        check("open", 0, "/dev/xen/privcmd: %s", strerror(errno));
        exit(1);
    }
}

static long hypercall(unsigned op, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4)
{
    struct privcmd_call c = {op, {a1, a2, a3, a4}};
    long result = ioctl(privcmd, PRIVCMD_CALL, &c);

    return result < 0 ? -errno : result;
}

static inline long pal(unsigned cmd, void *arg)
{
    return hypercall(__HYPERVISOR_pal_op, cmd, (uint64_t)arg, 0, 0);
}

static inline void pause_ms(unsigned ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000L};

    nanosleep(&t, NULL);
}

/* ---- operations on domains ---- */

static inline void domctl_prepare(struct xen_domctl *op, uint32_t cmd, unsigned id)
{
    memset(op, 0, sizeof(*op));
    op->cmd = cmd;
    op->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    op->domain = (domid_t)id;
}

static inline long domctl(struct xen_domctl *op)
{
    return hypercall(__HYPERVISOR_domctl, (uint64_t)op, 0, 0, 0);
}

static inline long domctl_simple(unsigned id, uint32_t cmd)
{
    struct xen_domctl op;

    domctl_prepare(&op, cmd, id);
    return domctl(&op);
}

static inline long domain_destroy(unsigned id)
{
    return domctl_simple(id, XEN_DOMCTL_destroydomain);
}
static inline long domain_pause(unsigned id)
{
    return domctl_simple(id, XEN_DOMCTL_pausedomain);
}
static inline long domain_unpause(unsigned id)
{
    return domctl_simple(id, XEN_DOMCTL_unpausedomain);
}

static inline long domain_info(unsigned id, struct xen_domctl_getdomaininfo *info)
{
    struct xen_domctl op;
    long result;

    domctl_prepare(&op, XEN_DOMCTL_getdomaininfo, id);
    result = domctl(&op);
    *info = op.u.getdomaininfo;
    return result;
}

static inline long vcpu_context(unsigned id, uint32_t cmd, struct vcpu_guest_context *c)
{
    struct xen_domctl op;

    domctl_prepare(&op, cmd, id);
    set_xen_guest_handle(op.u.vcpucontext.ctxt, c);
    return domctl(&op);
}

static inline long domain_share(unsigned id, unsigned weight, unsigned cap)
{
    struct xen_domctl op;

    domctl_prepare(&op, XEN_DOMCTL_scheduler_op, id);
    op.u.scheduler_op.sched_id = XEN_SCHEDULER_CREDIT2;
    op.u.scheduler_op.cmd = XEN_DOMCTL_SCHEDOP_putinfo;
    op.u.scheduler_op.u.credit2.weight = (uint16_t)weight;
    op.u.scheduler_op.u.credit2.cap = (uint16_t)cap;
    return domctl(&op);
}

/* vCPU 0 may run on the CPUs of this mask only. */
static inline long domain_pin(unsigned id, uint64_t mask)
{
    struct xen_domctl op;

    domctl_prepare(&op, XEN_DOMCTL_setvcpuaffinity, id);
    op.u.vcpuaffinity.flags = XEN_VCPUAFFINITY_HARD;
    op.u.vcpuaffinity.cpumap_hard.nr_bits = 64;
    set_xen_guest_handle(op.u.vcpuaffinity.cpumap_hard.bitmap, (uint8_t *)&mask);
    return domctl(&op);
}

#define EVTCHN_BIND_VIRQ _IOC(_IOC_NONE, 'E', 0, sizeof(uint32_t))

/* A file that reads the port number each time that the global virtual interrupt comes; -1. */
static inline int bind_virq(uint32_t virq)
{
    int fd = open("/dev/xen/evtchn", O_RDWR | O_CLOEXEC);

    if (fd >= 0 && ioctl(fd, EVTCHN_BIND_VIRQ, &virq) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* ---- others' memory ---- */

static inline void *foreign_map(unsigned id, const uint64_t *frames, unsigned n)
{
    int errors[n];
    void *at = mmap(NULL, n * 4096ul, PROT_READ | PROT_WRITE, MAP_SHARED, privcmd, 0);
    struct privcmd_batch b = {n, (domid_t)id, (uint64_t)at, frames, errors};

    if (at == MAP_FAILED)
        return NULL;
    memset(errors, 0, sizeof(errors));
    if (ioctl(privcmd, PRIVCMD_BATCH, &b)) {
        munmap(at, n * 4096ul);
        return NULL;
    }
    return at;
}

static inline void foreign_unmap(void *at, unsigned n)
{
    munmap(at, n * 4096ul);
}

/* ---- the smallest domain ---- */

enum tiny_page { TINY_CODE, TINY_DATA, TINY_STACK, TINY_L1, TINY_L2, TINY_L3, TINY_L4, TINY_PAGES };
#define TINY_BASE 0xffffffff80000000ul

/* What it does, in the first word of its data page. */
enum tiny_kind {
    TINY_SHUTDOWN, /* with the reason in the second word */
    TINY_SPIN,     /* count in the third word */
    TINY_CRASH,
    TINY_BLOCK,   /* for ever */
    TINY_SUSPEND, /* then shut down with the call's result as the reason */
    TINY_YIELD,   /* for ever */
    TINY_KINDS,
    TINY_CALL =
        TINY_KINDS /* the hypercall of the second word with the third as argument; result in the fourth */
};

extern const char tiny_code[], tiny_code_end[];
__asm__(".pushsection .rodata\n"
        ".globl tiny_code, tiny_code_end\n"
        "tiny_code:\n"
        "    lea tiny_code + 0x1000(%rip), %rbx\n"
        "    mov (%rbx), %eax\n"
        "    cmp $1, %eax\n"
        "    je 1f\n"
        "    cmp $2, %eax\n"
        "    je 2f\n"
        "    cmp $3, %eax\n"
        "    je 3f\n"
        "    cmp $4, %eax\n"
        "    je 4f\n"
        "    cmp $5, %eax\n"
        "    je 5f\n"
        "    cmp $6, %eax\n"
        "    je 6f\n"
        "0:  mov $29, %eax\n" /* sched_op: shutdown */
        "    mov $2, %edi\n"
        "    lea 8(%rbx), %rsi\n"
        "    syscall\n"
        "    jmp 0b\n"
        "1:  incq 16(%rbx)\n"
        "    jmp 1b\n"
        "2:  ud2\n"
        "3:  mov $29, %eax\n" /* block */
        "    mov $1, %edi\n"
        "    syscall\n"
        "    jmp 3b\n"
        "4:  mov $29, %eax\n"
        "    mov $2, %edi\n"
        "    movl $2, 24(%rbx)\n" /* SHUTDOWN_suspend */
        "    lea 24(%rbx), %rsi\n"
        "    syscall\n"
        "    mov %eax, 8(%rbx)\n"
        "    jmp 0b\n"
        "5:  mov $29, %eax\n" /* yield */
        "    xor %edi, %edi\n"
        "    syscall\n"
        "    jmp 5b\n"
        "6:  mov 8(%rbx), %rax\n" /* the call's number, then its first argument */
        "    mov 16(%rbx), %rdi\n"
        "    lea 64(%rbx), %rsi\n"
        "    lea 64(%rbx), %rdx\n"
        "    syscall\n"
        "    mov %rax, 24(%rbx)\n"
        "    movq $0, 8(%rbx)\n" /* SHUTDOWN_poweroff */
        "    jmp 0b\n"
        "tiny_code_end:\n"
        ".popsection\n");

struct tiny {
    unsigned id;
    uint64_t mfn[TINY_PAGES];
};

static const struct xen_domctl_createdomain tiny_config = {
    .max_vcpus = 1,
    .max_evtchn_port = 127,
    .max_grant_frames = 1,
    .max_maptrack_frames = 1,
    .grant_opts = 1,
};

static long tiny_populate(struct tiny *t)
{
    struct xen_memory_reservation r = {.nr_extents = TINY_PAGES, .domid = (domid_t)t->id};

    for (unsigned i = 0; i < TINY_PAGES; i++)
        t->mfn[i] = i;
    set_xen_guest_handle(r.extent_start, t->mfn);
    long done = hypercall(__HYPERVISOR_memory_op, XENMEM_populate_physmap, (uint64_t)&r, 0, 0);
    return done == TINY_PAGES ? 0 : done < 0 ? done : -ENOMEM;
}

static long tiny_fill(const struct tiny *t, unsigned kind, uint64_t argument)
{
    uint8_t *p = foreign_map(t->id, t->mfn, TINY_PAGES);

    if (!p)
        return -EFAULT;
    memset(p, 0, TINY_PAGES * 4096);
    memcpy(p, tiny_code, (size_t)(tiny_code_end - tiny_code));
    uint64_t *data = (uint64_t *)(p + TINY_DATA * 4096), *l1 = (uint64_t *)(p + TINY_L1 * 4096);
    data[0] = kind;
    data[1] = argument;
    for (unsigned i = 0; i < TINY_PAGES; i++)
        l1[i] = t->mfn[i] << 12 | (i < TINY_L1 ? 7 : 5); /* tables are read-only */
    *(uint64_t *)(p + TINY_L2 * 4096) = t->mfn[TINY_L1] << 12 | 7;
    ((uint64_t *)(p + TINY_L3 * 4096))[510] = t->mfn[TINY_L2] << 12 | 7;
    ((uint64_t *)(p + TINY_L4 * 4096))[511] = t->mfn[TINY_L3] << 12 | 7;
    foreign_unmap(p, TINY_PAGES);
    return 0;
}

static long tiny_pin(const struct tiny *t)
{
    struct mmuext_op pin = {.cmd = MMUEXT_PIN_L4_TABLE, .arg1.mfn = t->mfn[TINY_L4]};

    return hypercall(__HYPERVISOR_mmuext_op, (uint64_t)&pin, 1, 0, t->id);
}

static long tiny_start(const struct tiny *t)
{
    static struct vcpu_guest_context c;

    memset(&c, 0, sizeof(c));
    c.flags = VGCF_in_kernel | VGCF_online;
    c.user_regs.rip = TINY_BASE;
    c.user_regs.rsp = c.kernel_sp = TINY_BASE + TINY_L1 * 4096;
    c.user_regs.rflags = 0x200;
    c.user_regs.cs = FLAT_KERNEL_CS;
    c.user_regs.ss = c.kernel_ss = FLAT_KERNEL_SS;
    c.ctrlreg[3] = t->mfn[TINY_L4] << 12;
    return vcpu_context(t->id, XEN_DOMCTL_setvcpucontext, &c);
}

/* Make one, paused. 0, or -1 with errno and nothing left. */
static int tiny_make(struct tiny *t, unsigned kind, uint64_t argument)
{
    struct xen_domctl op;
    long error;

    domctl_prepare(&op, XEN_DOMCTL_createdomain, 0);
    op.u.createdomain = tiny_config;
    error = domctl(&op);
    if (error < 0) {
        errno = (int)-error;
        return -1;
    }
    t->id = op.domain;
    domctl_prepare(&op, XEN_DOMCTL_max_mem, t->id);
    op.u.max_mem.max_memkb = TINY_PAGES * 4;
    error = domctl(&op);
    if (!error)
        error = tiny_populate(t);
    if (!error)
        error = tiny_fill(t, kind, argument);
    if (!error)
        error = tiny_pin(t);
    if (!error)
        error = tiny_start(t);
    if (error) {
        domain_destroy(t->id);
        errno = (int)-error;
        return -1;
    }
    return 0;
}

#endif
