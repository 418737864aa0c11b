/* SPDX-License-Identifier: MIT */
/* What the hypervisor is and can: xen_version, vm_assist. */
#include "base/format.h"
#include "base/string.h"
#include "core/hypercall.h"
#include "version.h" /* made by the build: PAL_VERSION */
#include <xen/features.h>
#include <xen/version.h>

/* The interface is that of 4.17: Debian's tools choose their directory by these two numbers. */
#define INTERFACE_MAJOR 4
#define INTERFACE_MINOR 17
#define EXTRA_VERSION   "-pal"

static long put(uint64_t arg, const void *src, size_t n)
{
    return copy_to_guest(arg, src, n) ? -XEN_EFAULT : 0;
}

static long get_features(struct vcpu *v, uint64_t arg)
{
    struct xen_feature_info f;

    if (copy_from_guest(&f, arg, sizeof(f)))
        return -XEN_EFAULT;
    f.submap = 0;
    if (f.submap_idx == 0) {
        f.submap = (1u << XENFEAT_mmu_pt_update_preserve_ad) | (1u << XENFEAT_pae_pgdir_above_4gb) |
                   (1u << XENFEAT_gnttab_map_avail_bits);
        if (v->mm.d->privileged)
            f.submap |= 1u << XENFEAT_dom0;
    } else if (f.submap_idx >= XENFEAT_NR_SUBMAPS) {
        return -XEN_EINVAL;
    }
    return put(arg, &f, sizeof(f));
}

static long get_compile_info(uint64_t arg)
{
    struct xen_compile_info c;
    memset(&c, 0, sizeof(c));
    format(c.compiler, sizeof(c.compiler), "%s", __VERSION__);
    format(c.compile_by, sizeof(c.compile_by), "palimpsest");
    return put(arg, &c, sizeof(c));
}

static long get_string(uint64_t arg, const char *text, size_t size)
{
    char buf[1024] = {0};
    format(buf, size, "%s", text);
    return put(arg, buf, size);
}

long do_xen_version(struct vcpu *v, uint64_t cmd, uint64_t arg, uint64_t a3, uint64_t a4,
                    uint64_t a5)
{
    (void)a3, (void)a4, (void)a5;
    switch (cmd) {
    case XENVER_version:
        return (INTERFACE_MAJOR << 16) | INTERFACE_MINOR;
    case XENVER_extraversion:
        return get_string(arg, EXTRA_VERSION, sizeof(xen_extraversion_t));
    case XENVER_compile_info:
        return get_compile_info(arg);
    case XENVER_capabilities:
        return get_string(arg, "xen-3.0-x86_64", sizeof(xen_capabilities_info_t));
    case XENVER_changeset:
        return get_string(arg, PAL_VERSION, sizeof(xen_changeset_info_t));
    case XENVER_platform_parameters: {
        struct xen_platform_parameters p = {.virt_start = HV_START};
        return put(arg, &p, sizeof(p));
    }
    case XENVER_get_features:
        return get_features(v, arg);
    case XENVER_pagesize:
        return PAGE_SIZE;
    case XENVER_guest_handle:
        return put(arg, v->domain->handle, sizeof(xen_domain_handle_t));
    case XENVER_commandline:
        return get_string(arg, "", sizeof(xen_commandline_t));
    default:
        return -XEN_ENOSYS;
    }
}

long do_vm_assist(struct vcpu *v, uint64_t cmd, uint64_t type, uint64_t a3, uint64_t a4,
                  uint64_t a5)
{
    (void)a3, (void)a4, (void)a5;

    if (type >= 64 || !(VM_ASSIST_KNOWN >> type & 1))
        return -XEN_EINVAL;
    if (cmd == VMASST_CMD_enable)
        fetch_or(&v->domain->vm_assist, BIT(type));
    else if (cmd == VMASST_CMD_disable)
        fetch_and(&v->domain->vm_assist, ~(BIT(type)));
    else
        return -XEN_ENOSYS;
    return 0;
}
