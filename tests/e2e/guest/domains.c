/* SPDX-License-Identifier: MIT */
/*
 * Domains made, run and ended through the control interface itself, with no library between: each is one
 * page of code that does what its data page says. Judged by what the hypervisor says of them, by the audit,
 * and by free memory before and after.
 */
#include "check.h"
#include "control.h"

#include <poll.h>
#include <stdbool.h>

#define CYCLES 100

static struct pal_stats stats(void)
{
    struct pal_stats s = {0};

    pal(PALOP_stats, &s);
    return s;
}

static long audit(void)
{
    struct pal_audit a;

    return pal(PALOP_audit, &a);
}

/* Nothing is left of the domains that were. */
static void check_balance(const char *part, const struct pal_stats *before)
{
    struct pal_stats now = stats();

    for (int i = 0; i < 1000 && now.domains != before->domains; i++) {
        pause_ms(20);
        now = stats();
    }
    long bad = audit();

    check(part,
          now.free_frames == before->free_frames && now.heap_bytes == before->heap_bytes &&
              now.domains == before->domains && bad == 0,
          "frames %ld, heap bytes %ld, domains %ld more than before; audit %ld",
          (long)before->free_frames - (long)now.free_frames,
          (long)now.heap_bytes - (long)before->heap_bytes,
          (long)now.domains - (long)before->domains, bad);
}

static int wait_for(unsigned id, uint32_t flag, struct xen_domctl_getdomaininfo *info)
{
    for (int i = 0; i < 2000; i++) {
        if (domain_info(id, info) == 0 && (info->flags & flag))
            return 1;
        pause_ms(10);
    }
    return 0;
}

/* It is freed a little after its end: another CPU may have it in hand. Returns what is said of it last. */
static long wait_gone(unsigned id)
{
    struct xen_domctl_getdomaininfo info = {0};

    for (int i = 0; i < 1000 && domain_info(id, &info) == 0; i++)
        pause_ms(10);
    return domain_info(id, &info);
}

static unsigned reason_of(const struct xen_domctl_getdomaininfo *info)
{
    return info->flags >> XEN_DOMINF_shutdownshift & XEN_DOMINF_shutdownmask;
}

/* ---- a whole life ---- */

static void check_life(void)
{
    struct xen_domctl_getdomaininfo info = {0};
    struct tiny t;

    if (!check("life.make", tiny_make(&t, TINY_SHUTDOWN, SHUTDOWN_reboot) == 0, "%s",
               strerror(errno)))
        return;
    domain_info(t.id, &info);
    check("life.paused", (info.flags & XEN_DOMINF_paused) && info.tot_pages == TINY_PAGES,
          "flags %x, %lu pages", info.flags, (unsigned long)info.tot_pages);
    domain_unpause(t.id);
    check("life.shutdown",
          wait_for(t.id, XEN_DOMINF_shutdown, &info) && reason_of(&info) == SHUTDOWN_reboot,
          "flags %x", info.flags);
    check("life.unpause-again", domain_unpause(t.id) == -EINVAL, "refused");
    long result = domain_destroy(t.id);
    check("life.destroy", result == 0, "%ld", result);
    result = wait_gone(t.id);
    check("life.gone", result == -ESRCH, "%ld", result);
    result = domain_destroy(t.id);
    check("life.destroy-again", result == -ESRCH, "%ld", result);
}

/* Domain 0 hears of ends. */
static int ends_heard(int events)
{
    uint32_t port;
    struct pollfd p = {.fd = events, .events = POLLIN};

    if (poll(&p, 1, 60000) != 1 || read(events, &port, sizeof(port)) != sizeof(port))
        return 0;
    return write(events, &port, sizeof(port)) == sizeof(port); /* open it again */
}

static void check_crash(void)
{
    struct xen_domctl_getdomaininfo info = {0};
    struct tiny t;
    int events = bind_virq(VIRQ_DOM_EXC);

    check("ends.bound", events >= 0, "/dev/xen/evtchn");
    tiny_make(&t, TINY_CRASH, 0);
    domain_unpause(t.id);
    check("ends.heard", ends_heard(events), "its crash");
    check("crash", wait_for(t.id, XEN_DOMINF_shutdown, &info) && reason_of(&info) == SHUTDOWN_crash,
          "flags %x", info.flags);
    domain_destroy(t.id);
    check("ends.heard-of-death", ends_heard(events), "its death");
    close(events);
}

/* Wait until it has had that much of a CPU's time; 20 s at most. Returns whether it had. */
static bool has_run(unsigned id, uint64_t ns)
{
    struct xen_domctl_getdomaininfo info = {0};

    for (int i = 0; i < 2000; i++) {
        if (domain_info(id, &info) == 0 && info.cpu_time > ns)
            return true;
        pause_ms(10);
    }
    return false;
}

/* Time runs only while it is not paused; destroyed while it runs. */
static void check_pause(void)
{
    struct xen_domctl_getdomaininfo before = {0}, after = {0};
    struct tiny t;

    tiny_make(&t, TINY_SPIN, 0);
    domain_unpause(t.id);
    check("pause.runs", has_run(t.id, 20000000), "20 ms of a CPU's time");
    domain_pause(t.id);
    domain_info(t.id, &before);
    pause_ms(100);
    domain_info(t.id, &after);
    check("pause.stops", after.cpu_time == before.cpu_time && (after.flags & XEN_DOMINF_paused),
          "%lu ns more, flags %x", (unsigned long)(after.cpu_time - before.cpu_time), after.flags);
    domain_unpause(t.id);
    has_run(t.id, after.cpu_time + 1000000);
    check("pause.destroy-running", domain_destroy(t.id) == 0, "done");
}

/* Suspended, given another result of the call, resumed. */
static void check_resume(void)
{
    static struct vcpu_guest_context c;
    struct xen_domctl_getdomaininfo info = {0};
    struct tiny t;

    tiny_make(&t, TINY_SUSPEND, SHUTDOWN_reboot);
    domain_unpause(t.id);
    check("resume.suspended",
          wait_for(t.id, XEN_DOMINF_shutdown, &info) && reason_of(&info) == SHUTDOWN_suspend,
          "flags %x", info.flags);
    long got = vcpu_context(t.id, XEN_DOMCTL_getvcpucontext, &c);
    check("resume.context",
          got == 0 && c.ctrlreg[3] >> 12 == t.mfn[TINY_L4] && (c.flags & VGCF_in_kernel),
          "%ld, root %lx, flags %lx", got, c.ctrlreg[3] >> 12, c.flags);
    c.user_regs.rax = SHUTDOWN_watchdog;
    long set = vcpu_context(t.id, XEN_DOMCTL_setvcpucontext, &c);
    long resumed = domctl_simple(t.id, XEN_DOMCTL_resumedomain);
    check("resume.done", set == 0 && resumed == 0, "%ld, %ld", set, resumed);
    for (int i = 0; i < 2000 && reason_of(&info) != SHUTDOWN_watchdog; i++) {
        pause_ms(10);
        domain_info(t.id, &info);
    }
    check("resume.went-on", reason_of(&info) == SHUTDOWN_watchdog, "flags %x", info.flags);
    domain_destroy(t.id);
}

/* A frame that we map keeps it as a zombie until we do not. */
static void check_zombie(void)
{
    struct xen_domctl_getdomaininfo info = {0};
    struct tiny t;
    uint64_t frame;

    tiny_make(&t, TINY_SPIN, 0);
    frame = t.mfn[TINY_DATA];
    volatile uint64_t *data = foreign_map(t.id, &frame, 1);
    domain_unpause(t.id);
    for (int i = 0; i < 2000 && data[2] == 0; i++)
        pause_ms(10);
    uint64_t seen = data[2];
    check("zombie.mapped", seen != 0, "counted to %lu", (unsigned long)seen);
    domain_destroy(t.id);
    long found = domain_info(t.id, &info);
    check("zombie.dying", found == 0 && (info.flags & XEN_DOMINF_dying) && info.tot_pages == 1,
          "%ld, flags %x, %lu pages", found, info.flags, (unsigned long)info.tot_pages);
    seen = data[2];
    pause_ms(50);
    check("zombie.still", data[2] == seen, "it does not run");
    check("zombie.destroy-again", domain_destroy(t.id) == 0, "done");
    foreign_unmap((void *)data, 1);
    found = wait_gone(t.id);
    check("zombie.gone", found == -ESRCH, "%ld", found);
}

/* ---- refusals ---- */

static void expect(const char *part, long got, long wanted)
{
    check(part, got == wanted, "%ld", got);
}

static void check_refusals(void)
{
    struct xen_domctl op;
    struct tiny t;

    tiny_make(&t, TINY_SPIN, 0);
    domctl_prepare(&op, XEN_DOMCTL_createdomain, t.id);
    op.u.createdomain = tiny_config;
    expect("refuse.same-id", domctl(&op), -EEXIST);
    domctl_prepare(&op, XEN_DOMCTL_createdomain, 0);
    op.u.createdomain = tiny_config;
    op.u.createdomain.flags = XEN_DOMCTL_CDF_hvm;
    expect("refuse.hvm", domctl(&op), -EINVAL);
    op.u.createdomain = tiny_config;
    op.u.createdomain.max_vcpus = 100000;
    expect("refuse.vcpus", domctl(&op), -EINVAL);
    domctl_prepare(&op, XEN_DOMCTL_getdomaininfo, t.id);
    op.interface_version--;
    expect("refuse.version", domctl(&op), -EACCES);
    domctl_prepare(&op, XEN_DOMCTL_getdomaininfo, t.id);
    op.cmd = 999;
    expect("refuse.command", domctl(&op), -ENOSYS);
    expect("refuse.own-end", domain_destroy(0), -EINVAL);
    expect("refuse.own-pause", domain_pause(0), -EINVAL);
    domctl_prepare(&op, XEN_DOMCTL_ioport_permission, t.id);
    op.u.ioport_permission.nr_ports = 1;
    op.u.ioport_permission.allow_access = 1;
    expect("refuse.ports", domctl(&op), -EPERM);
    domain_destroy(t.id);
}

/* What an unprivileged domain gets for a hypercall. */
static long called_by_guest(unsigned number, uint64_t argument)
{
    struct xen_domctl_getdomaininfo info = {0};
    struct tiny t;
    long result = 1;

    if (tiny_make(&t, TINY_CALL, number))
        return 1;
    long *data = foreign_map(t.id, &t.mfn[TINY_DATA], 1);
    if (data) {
        data[2] = (long)argument;
        data[3] = 1;
        domain_unpause(t.id);
        wait_for(t.id, XEN_DOMINF_shutdown, &info);
        result = data[3];
        foreign_unmap(data, 1);
    }
    domain_destroy(t.id);
    return result;
}

static void check_authority(void)
{
    expect("authority.domctl", called_by_guest(__HYPERVISOR_domctl, 0), -EPERM);
    expect("authority.sysctl", called_by_guest(__HYPERVISOR_sysctl, ~0ul), -EPERM);
    expect("authority.platform", called_by_guest(__HYPERVISOR_platform_op, 0), -EPERM);
    expect("authority.pal", called_by_guest(__HYPERVISOR_pal_op, PALOP_audit), -EPERM);
    expect("authority.console", called_by_guest(__HYPERVISOR_console_io, CONSOLEIO_write), -EPERM);
    expect("authority.map", called_by_guest(__HYPERVISOR_memory_op, XENMEM_set_memory_map), -EPERM);
    expect("authority.machine-map",
           called_by_guest(__HYPERVISOR_memory_op, XENMEM_machine_memory_map), -EPERM);
    expect("authority.remote-shutdown",
           called_by_guest(__HYPERVISOR_sched_op, SCHEDOP_remote_shutdown), -EPERM);
}

/* ---- many ---- */

/* Ended at any moment: before it runs, at its first instructions, in the middle, after its end. */
static void check_cycles(void)
{
    struct pal_stats before = stats();
    unsigned failed = 0;

    srand(7);
    for (int i = 0; i < CYCLES; i++) {
        struct tiny t;

        if (tiny_make(&t, rand() % TINY_KINDS, SHUTDOWN_poweroff)) {
            failed++;
            continue;
        }
        if (rand() % 8)
            domain_unpause(t.id);
        if (rand() % 4 == 0)
            pause_ms(rand() % 5);
        failed += domain_destroy(t.id) != 0;
    }
    check("cycles.done", failed == 0, "%u of %d failed", failed, CYCLES);
    check_balance("cycles.balance", &before);
}

#define CROWD 24

static void check_crowd(void)
{
    struct pal_stats before = stats();
    struct tiny t[CROWD];
    unsigned ran = 0;

    for (int i = 0; i < CROWD; i++) {
        tiny_make(&t[i], TINY_SPIN, 0);
        domain_unpause(t[i].id);
    }
    struct pal_stats with = stats();
    for (int i = 0; i < CROWD; i++)
        ran += has_run(t[i].id, 1000000);
    check("crowd.all-run", ran == CROWD, "%u of %d", ran, CROWD);
    for (int i = 0; i < CROWD; i++)
        domain_destroy(t[i].id);
    check_balance("crowd.balance", &before);
    check("crowd.cost", with.free_frames < before.free_frames,
          "%ld KiB of the hypervisor's a domain",
          ((long)(before.free_frames - with.free_frames) / CROWD - TINY_PAGES) * 4);
}

/* Stacks of vCPUs, once made, are kept for the next ones: make as many as there will be. */
static void warm_up(void)
{
    struct tiny t[CROWD];
    int made = 0;

    for (int i = 0; i < CROWD; i++)
        made += tiny_make(&t[i], TINY_SHUTDOWN, 0) == 0;
    check("warm-up", made == CROWD, "%d domains", made);
    for (int i = 0; i < CROWD; i++)
        domain_destroy(t[i].id);
}

int main(void)
{
    struct pal_stats before;

    control_open();
    warm_up();
    before = stats();
    check_life();
    check_crash();
    check_pause();
    check_resume();
    check_zombie();
    check_refusals();
    check_authority();
    check_balance("balance", &before);
    check_cycles();
    check_crowd();
    return check_failures != 0;
}
