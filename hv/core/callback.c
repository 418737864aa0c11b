/* SPDX-License-Identifier: MIT */
/* Where a guest kernel wants to be called: trap table, callbacks, kernel stack; and its segments. */
#include "core/hypercall.h"
#include "mm/env.h"
#include "mm/mm.h"
#include "x86/entry.h"
#include "x86/guest.h"
#include "x86/insn.h"
#include <xen/callback.h>
#include <xen/nmi.h>

/* An address that may be jumped to: canonical, in guest space. 0 means none. */
static bool code_address_ok(uint64_t address)
{
    return guest_range_ok(address, 1);
}

long do_set_trap_table(struct vcpu *v, uint64_t table, uint64_t a2, uint64_t a3, uint64_t a4,
                       uint64_t a5)
{
    struct trap_info t;
    (void)a2, (void)a3, (void)a4, (void)a5;

    if (!table) {
        for (unsigned i = 0; i < 256; i++)
            v->traps[i] = (struct guest_trap){0};
        return 0;
    }
    /* Ends at the first entry without an address; a table cannot have more entries than vectors. */
    for (unsigned i = 0; i < 256; i++, table += sizeof(t)) {
        if (copy_from_guest(&t, table, sizeof(t)))
            return -XEN_EFAULT;
        if (!t.address)
            return 0;
        if (!code_address_ok(t.address))
            return -XEN_EINVAL;
        v->traps[t.vector] = (struct guest_trap){t.address, t.cs, t.flags};
    }
    return 0;
}

static int set_callback(struct vcpu *v, unsigned type, uint64_t address, bool mask_events)
{
    struct guest_callback cb = {address, mask_events};

    if (!code_address_ok(address))
        return -XEN_EINVAL;
    switch (type) {
    case CALLBACKTYPE_event:
        v->event_cb = cb;
        break;
    case CALLBACKTYPE_failsafe:
        v->failsafe_cb = cb;
        break;
    case CALLBACKTYPE_syscall:
        v->syscall_cb = cb;
        guest_update_syscall_frame(v);
        break;
    case CALLBACKTYPE_syscall32:
        v->syscall32_cb = cb;
        break;
    case CALLBACKTYPE_sysenter:
        v->sysenter_cb = cb;
        break;
    case CALLBACKTYPE_nmi:
        v->nmi_address = address;
        break;
    default:
        return -XEN_ENOSYS;
    }
    return 0;
}

long do_set_callbacks(struct vcpu *v, uint64_t event, uint64_t failsafe, uint64_t syscall,
                      uint64_t a4, uint64_t a5)
{
    (void)a4, (void)a5;
    if (!code_address_ok(event) || !code_address_ok(failsafe) || !code_address_ok(syscall))
        return -XEN_EINVAL;
    v->event_cb.address = event;
    v->failsafe_cb.address = failsafe;
    v->syscall_cb.address = syscall;
    guest_update_syscall_frame(v);
    return 0;
}

static long callback_register(struct vcpu *v, uint64_t arg)
{
    struct callback_register r;
    if (copy_from_guest(&r, arg, sizeof(r)))
        return -XEN_EFAULT;
    return set_callback(v, r.type, r.address, r.flags & CALLBACKF_mask_events);
}

static long callback_unregister(struct vcpu *v, uint64_t arg)
{
    struct callback_unregister u;
    if (copy_from_guest(&u, arg, sizeof(u)))
        return -XEN_EFAULT;
    /* A guest cannot live without the other three. */
    if (u.type == CALLBACKTYPE_event || u.type == CALLBACKTYPE_failsafe ||
        u.type == CALLBACKTYPE_syscall)
        return -XEN_EINVAL;
    return set_callback(v, u.type, 0, false);
}

long do_callback_op(struct vcpu *v, uint64_t cmd, uint64_t arg, uint64_t a3, uint64_t a4,
                    uint64_t a5)
{
    (void)a3, (void)a4, (void)a5;
    switch (cmd) {
    case CALLBACKOP_register:
        return callback_register(v, arg);
    case CALLBACKOP_unregister:
        return callback_unregister(v, arg);
    default:
        return -XEN_ENOSYS;
    }
}

long do_stack_switch(struct vcpu *v, uint64_t ss, uint64_t sp, uint64_t a3, uint64_t a4,
                     uint64_t a5)
{
    (void)a3, (void)a4, (void)a5;
    v->kernel_ss = (uint16_t)(ss | 3);
    v->kernel_sp = sp;
    guest_update_syscall_frame(v);
    return 0;
}

long do_set_segment_base(struct vcpu *v, uint64_t which, uint64_t base, uint64_t a3, uint64_t a4,
                         uint64_t a5)
{
    uint16_t selector;

    (void)v, (void)a3, (void)a4, (void)a5;
    if (which != SEGBASE_GS_USER_SEL && !is_canonical(base))
        return -XEN_EINVAL;
    switch (which) {
    case SEGBASE_FS:
        wrmsr(MSR_FS_BASE, base);
        return 0;
    case SEGBASE_GS_KERNEL:
        wrmsr(MSR_GS_BASE, base);
        return 0;
    case SEGBASE_GS_USER:
        wrmsr(MSR_KERNEL_GS_BASE, base);
        return 0;
    case SEGBASE_GS_USER_SEL:
        /* Load the selector as user mode would: its base becomes the user's. A null selector stays as it
         * is: kernels read it back and take only 0 for "the base alone counts". */
        selector = (uint16_t)base;
        __asm__ volatile("swapgs" : : : "memory");
        load_gs(selector > 3 ? selector | 3 : selector);
        __asm__ volatile("swapgs" : : : "memory");
        return 0;
    default:
        return -XEN_EINVAL;
    }
}

long do_set_gdt(struct vcpu *v, uint64_t frames, uint64_t entries, uint64_t a3, uint64_t a4,
                uint64_t a5)
{
    uint64_t mfns[MM_GDT_FRAMES];
    (void)a3, (void)a4, (void)a5;

    if (entries > MM_GDT_FRAMES * 512)
        return -XEN_EINVAL;
    unsigned pages = (unsigned)DIV_ROUND_UP(entries, 512);
    if (copy_from_guest(mfns, frames, pages * sizeof(mfns[0])))
        return -XEN_EFAULT;
    int error = mm_set_gdt(&v->mm, mfns, (unsigned)entries);
    if (!error) {
        window_load(v);
        tlb_flush_local();
    }
    return error;
}

long do_update_descriptor(struct vcpu *v, uint64_t address, uint64_t desc, uint64_t a3, uint64_t a4,
                          uint64_t a5)
{
    (void)a3, (void)a4, (void)a5;
    return mm_update_descriptor(&v->domain->mm, address, desc);
}
