/* SPDX-License-Identifier: MIT */
#define __XEN_TOOLS__ 1
#include <bare/console.h>
#include <bare/control.h>
#include <bare/mm.h>
#include <bare/string.h>
#include <xen/domctl.h>
#include <xen/sysctl.h>

#define WINDOWS 0xffff8a8000000000ul

long control_domctl(unsigned int cmd, unsigned int id, void *u, size_t size)
{
    struct xen_domctl op = {
        .cmd = cmd, .interface_version = XEN_DOMCTL_INTERFACE_VERSION, .domain = (domid_t)id};
    long ret;

    if (size)
        memcpy(&op.u, u, size);
    ret = hypercall(__HYPERVISOR_domctl, HC_ADDR(&op), 0, 0, 0, 0);
    if (size)
        memcpy(u, &op.u, size);
    return ret < 0 ? ret : cmd == XEN_DOMCTL_createdomain ? (long)op.domain : ret;
}

long control_create(unsigned int id, unsigned int vcpus)
{
    struct xen_domctl_createdomain c = {
        .max_vcpus = vcpus,
        .max_evtchn_port = 4095,
        .max_grant_frames = 4,
        .max_maptrack_frames = 4,
        .grant_opts = 1,
    };
    struct xen_domctl_max_mem m = {.max_memkb = CONTROL_PAGES_MAX * 4};
    long made = control_domctl(XEN_DOMCTL_createdomain, id, &c, sizeof(c)), ret;

    if (made < 0)
        return made;
    ret = control_domctl(XEN_DOMCTL_max_mem, (unsigned int)made, &m, sizeof(m));
    return ret ? ret : made;
}

long control_populate(unsigned int id, uint64_t pages, uint64_t *mfns)
{
    struct xen_memory_reservation r = {.nr_extents = pages, .domid = (domid_t)id};

    for (uint64_t i = 0; i < pages; i++)
        mfns[i] = i;
    set_xen_guest_handle(r.extent_start, mfns);
    return hc_memory(XENMEM_populate_physmap, &r);
}

long control_pause(unsigned int id, bool on)
{
    return control_domctl(on ? XEN_DOMCTL_pausedomain : XEN_DOMCTL_unpausedomain, id, NULL, 0);
}

long control_destroy(unsigned int id)
{
    return control_domctl(XEN_DOMCTL_destroydomain, id, NULL, 0);
}

long control_pin_vcpu(unsigned int id, unsigned int vcpu, uint64_t cpus)
{
    struct xen_domctl_vcpuaffinity a = {.vcpu = vcpu, .flags = XEN_VCPUAFFINITY_HARD};

    a.cpumap_hard.nr_bits = 64;
    set_xen_guest_handle(a.cpumap_hard.bitmap, (uint8_t *)&cpus);
    return control_domctl(XEN_DOMCTL_setvcpuaffinity, id, &a, sizeof(a));
}

static long info_of(unsigned int id, struct xen_domctl_getdomaininfo *info)
{
    memset(info, 0, sizeof(*info));
    long ret = control_domctl(XEN_DOMCTL_getdomaininfo, id, info, sizeof(*info));

    /* It answers for the next higher number where there is none of that. */
    return ret ? ret : info->domain == id ? 0 : -XEN_ESRCH;
}

long control_flags(unsigned int id)
{
    struct xen_domctl_getdomaininfo info;
    long ret = info_of(id, &info);

    return ret ? ret : (long)info.flags;
}

long control_unbound_port(unsigned int id, unsigned int peer)
{
    struct evtchn_alloc_unbound op = {.dom = (domid_t)id, .remote_dom = (domid_t)peer};
    long ret = hc_event(EVTCHNOP_alloc_unbound, &op);

    return ret ? ret : (long)op.port;
}

long control_ports(unsigned int id)
{
    long open = 0;

    for (unsigned int port = 1; port < 4096; port++) {
        struct evtchn_status s = {.dom = (domid_t)id, .port = port};
        long ret = hc_event(EVTCHNOP_status, &s);

        if (ret == -XEN_EINVAL)
            break;
        if (ret)
            return ret;
        open += s.status != EVTCHNSTAT_closed;
    }
    return open;
}

/* ---- windows ---- */

void *control_window(unsigned int window, unsigned int id, uint64_t mfn)
{
    static bool made;
    uint64_t va = WINDOWS + window * MM_PAGE;

    if (!made && mm_map(mm_root(), WINDOWS, 0))
        console_panic("windows");
    made = true;
    control_window_close(window);
    return hypercall(__HYPERVISOR_update_va_mapping_otherdomain, va, mfn * MM_PAGE | PTE_RW,
                     UVMF_INVLPG | UVMF_ALL, id, 0)
               ? NULL
               : (void *)va;
}

void control_window_close(unsigned int window)
{
    hc_update_va(WINDOWS + window * MM_PAGE, 0, UVMF_INVLPG | UVMF_ALL);
}

/* ---- log ---- */

uint32_t control_log_read(char *buf, uint32_t size, uint32_t *index)
{
    struct xen_sysctl op = {.cmd = XEN_SYSCTL_readconsole,
                            .interface_version = XEN_SYSCTL_INTERFACE_VERSION};

    op.u.readconsole.incremental = 1;
    op.u.readconsole.index = *index;
    op.u.readconsole.count = size;
    set_xen_guest_handle(op.u.readconsole.buffer, buf);
    if (hypercall(__HYPERVISOR_sysctl, HC_ADDR(&op), 0, 0, 0, 0))
        console_panic("the log cannot be read");
    *index = op.u.readconsole.index;
    return op.u.readconsole.count;
}

uint64_t control_log_growth(void)
{
    static char buf[4096];
    static uint32_t index;
    static uint64_t read, written;
    uint64_t before = read, own = console_written - written;
    uint32_t n;

    do {
        n = control_log_read(buf, sizeof(buf), &index);
        read += n;
    } while (n == sizeof(buf));
    written = console_written;
    return read - before > own ? read - before - own : 0;
}
