/* SPDX-License-Identifier: MIT */
/* vCPUs: creation, and loading a whole context. */
#include "core/vcpu.h"
#include "base/string.h"
#include "core/event.h"
#include "core/hypercall.h"
#include "core/sched.h"
#include "core/time.h"
#include "core/vtimer.h"
#include "x86/entry.h"
#include "x86/guest.h"
#include "x86/insn.h"
#include "x86/machine.h"
#include "x86/segments.h"

/* With a stack on c. */
static struct vcpu *vcpu_alloc(struct cpu *c)
{
    struct vcpu *v = heap_alloc(sizeof(*v));
    if (!v)
        return NULL;
    v->stack = stack_alloc();
    if (!v->stack) {
        heap_free(v);
        return NULL;
    }
    v->stack->current = v;
    v->stack->cpu = c;
    return v;
}

/* The legacy place of a vcpu_info is the shared page, which has room for 32; beyond, a private one until the guest
 * registers its own. */
static int init_info(struct vcpu *v)
{
    if (v->mm.id < XEN_LEGACY_MAX_VCPUS) {
        v->info = &v->domain->shared->vcpu_info[v->mm.id];
        return 0;
    }
    v->info = heap_alloc(sizeof(*v->info));
    v->own_info = v->info;
    return v->info ? 0 : -XEN_ENOMEM;
}

struct vcpu *vcpu_create(struct domain *d, unsigned id)
{
    unsigned cpu = (d->mm.id + id) % cpu_count;
    struct vcpu *v = vcpu_alloc(cpus[cpu]);
    if (!v)
        return NULL;
    v->info_mfn = ~0ull;
    sched_init_vcpu(v, cpu);
    mm_vcpu_init(&v->mm, &d->mm, id);
    v->domain = d;
    v->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
    v->cr4 = CR4_PAE | CR4_DE | CR4_MCE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    if (cpu_features.xsave)
        v->cr4 |= CR4_OSXSAVE;
    v->dr[6] = 0;
    v->dr[7] = 0x400;
    v->in_kernel = true;
    if (init_info(v) || fpu_init_vcpu(v)) {
        vcpu_destroy(v);
        return NULL;
    }
    vtimer_init_vcpu(v);
    time_update_vcpu(v);
    return v;
}

void vcpu_destroy(struct vcpu *v)
{
    if (v->info_mfn != ~0ull)
        mm_release_writable(&v->domain->mm, mfn(v->info_mfn));
    heap_free(v->own_info);
    heap_free(v->xsave);
    stack_free(v->stack);
    heap_free(v);
}

static void idle_start(void)
{
    sched_switch_tail();
    idle_loop();
}

struct vcpu *vcpu_create_idle(struct cpu *c)
{
    static struct domain idle_domain;
    struct vcpu *v = vcpu_alloc(c);
    if (!v)
        return NULL;
    idle_domain.mm.id = DOMID_IDLE;
    v->domain = &idle_domain;
    v->mm.d = &idle_domain.mm;
    v->mm.id = c->id;
    v->is_idle = true;
    v->cpu = c->id;
    v->state = VCPU_RUNNABLE;
    list_init(&v->rq_entry);
    uint64_t *sp = (uint64_t *)&v->stack->regs;
    *--sp = (uint64_t)idle_start;
    for (unsigned i = 0; i < 6; i++)
        *--sp = 0;
    v->saved_rsp = (uint64_t)sp;
    c->idle = v;
    c->current = v;
    return v;
}

/* ---- a whole context ---- */

static bool address_ok(uint64_t a)
{
    return guest_range_ok(a, 1);
}

static bool context_ok(const struct vcpu_guest_context *c)
{
    if (!address_ok(c->user_regs.rip) || !address_ok(c->event_callback_eip) ||
        !address_ok(c->failsafe_callback_eip) || !address_ok(c->syscall_callback_eip))
        return false;
    if (!is_canonical(c->fs_base) || !is_canonical(c->gs_base_kernel) ||
        !is_canonical(c->gs_base_user))
        return false;
    if (!is_canonical(c->user_regs.rsp) || !is_canonical(c->kernel_sp))
        return false;
    for (unsigned i = 0; i < 256; i++)
        if (!address_ok(c->trap_ctxt[i].address))
            return false;
    /* Nobody starts in user mode without a user page table; frame 0 means none. */
    return (c->flags & VGCF_in_kernel) || c->ctrlreg[1] >> PAGE_SHIFT;
}

static void load_registers(struct vcpu *v, const struct vcpu_guest_context *c)
{
    struct regs *r = vcpu_regs(v);
    const struct cpu_user_regs *u = &c->user_regs;

    *r = (struct regs){
        .r15 = u->r15,
        .r14 = u->r14,
        .r13 = u->r13,
        .r12 = u->r12,
        .rbp = u->rbp,
        .rbx = u->rbx,
        .r11 = u->r11,
        .r10 = u->r10,
        .r9 = u->r9,
        .r8 = u->r8,
        .rax = u->rax,
        .rcx = u->rcx,
        .rdx = u->rdx,
        .rsi = u->rsi,
        .rdi = u->rdi,
        .rip = u->rip,
        .rsp = u->rsp,
        .cs = u->cs | 3u,
        .ss = u->ss | 3u,
        .rflags = (u->rflags & RFLAGS_GUEST) | RFLAGS_IF | RFLAGS_MBS,
    };
    v->ds = u->ds;
    v->es = u->es;
    v->fs = u->fs;
    v->gs = u->gs;
    v->fs_base = c->fs_base;
    v->gs_base_kernel = c->gs_base_kernel;
    v->gs_base_user = c->gs_base_user;
    v->kernel_sp = c->kernel_sp;
    v->kernel_ss = (uint16_t)(c->kernel_ss | 3);
    v->in_kernel = c->flags & VGCF_in_kernel;
    v->ts = c->ctrlreg[0] & CR0_TS;
    if (c->ctrlreg[4]) /* 0: as it was made */
        msr_init_cr4(v, c->ctrlreg[4]);
    v->iopl =
        (u->rflags & RFLAGS_IOPL) / (RFLAGS_IOPL / 3); /* virtual: what its flags would have said */
}

static void load_callbacks(struct vcpu *v, const struct vcpu_guest_context *c)
{
    v->event_cb = (struct guest_callback){c->event_callback_eip, true};
    v->failsafe_cb =
        (struct guest_callback){c->failsafe_callback_eip, c->flags & VGCF_failsafe_disables_events};
    v->syscall_cb =
        (struct guest_callback){c->syscall_callback_eip, c->flags & VGCF_syscall_disables_events};
    for (unsigned i = 0; i < 256; i++) {
        const struct trap_info *t = &c->trap_ctxt[i];
        if (t->address)
            v->traps[t->vector] = (struct guest_trap){t->address, t->cs, t->flags};
    }
    guest_update_syscall_frame(v);
}

static int load_debug(struct vcpu *v, const struct vcpu_guest_context *c)
{
    static const unsigned used[] = {0, 1, 2, 3, 6, 7};
    for (unsigned i = 0; i < ARRAY_SIZE(used); i++) {
        int error = (int)debug_set(v, used[i], c->debugreg[used[i]]);
        if (error)
            return -XEN_EINVAL;
    }
    return 0;
}

static int load_roots(struct vcpu *v, const struct vcpu_guest_context *c)
{
    int error = mm_set_root(&v->mm, mfn(c->ctrlreg[3] >> PAGE_SHIFT), false);
    if (!error)
        error = mm_set_root(&v->mm, mfn(c->ctrlreg[1] >> PAGE_SHIFT), true);
    return error;
}

int vcpu_set_context(struct vcpu *v, const struct vcpu_guest_context *c)
{
    if (!context_ok(c) || c->gdt_ents > MM_GDT_FRAMES * 512)
        return -XEN_EINVAL;
    int error = load_debug(v, c);
    if (!error)
        error = mm_set_gdt(&v->mm, (const uint64_t *)c->gdt_frames, c->gdt_ents);
    if (!error)
        error = mm_set_ldt(&v->mm, c->ldt_base, c->ldt_ents);
    if (!error)
        error = load_roots(v, c);
    if (error) {
        mm_vcpu_teardown(&v->mm);
        return error == -XEN_EBUSY ? error : -XEN_EINVAL;
    }
    load_registers(v, c);
    load_callbacks(v, c);
    if (c->flags & VGCF_i387_valid)
        fpu_load_image(v, &c->fpu_ctxt);
    vcpu_prepare_stack(v);
    /* A builder that cleared the shared page cleared these with it. */
    time_update_vcpu(v);
    if (v->mm.id == 0)
        time_publish_wallclock(v->domain);
    v->initialised = true;
    return 0;
}

static void get_registers(const struct vcpu *v, struct vcpu_guest_context *c)
{
    const struct regs *r = &v->stack->regs;

    c->user_regs = (struct cpu_user_regs){
        .r15 = r->r15,
        .r14 = r->r14,
        .r13 = r->r13,
        .r12 = r->r12,
        .rbp = r->rbp,
        .rbx = r->rbx,
        .r11 = r->r11,
        .r10 = r->r10,
        .r9 = r->r9,
        .r8 = r->r8,
        .rax = r->rax,
        .rcx = r->rcx,
        .rdx = r->rdx,
        .rsi = r->rsi,
        .rdi = r->rdi,
        .rip = r->rip,
        .rsp = r->rsp,
        .cs = (uint16_t)r->cs,
        .ss = (uint16_t)r->ss,
        .ds = v->ds,
        .es = v->es,
        .fs = v->fs,
        .gs = v->gs,
        .rflags = (r->rflags & ~(uint64_t)RFLAGS_IOPL) | v->iopl * (RFLAGS_IOPL / 3),
    };
    c->fs_base = v->fs_base;
    c->gs_base_kernel = v->gs_base_kernel;
    c->gs_base_user = v->gs_base_user;
    c->kernel_sp = v->kernel_sp;
    c->kernel_ss = v->kernel_ss;
    memcpy(&c->fpu_ctxt, v->xsave, sizeof(c->fpu_ctxt));
    memcpy(c->debugreg, v->dr, sizeof(c->debugreg));
}

static void get_callbacks(const struct vcpu *v, struct vcpu_guest_context *c)
{
    c->event_callback_eip = v->event_cb.address;
    c->failsafe_callback_eip = v->failsafe_cb.address;
    c->syscall_callback_eip = v->syscall_cb.address;
    if (v->failsafe_cb.mask_events)
        c->flags |= VGCF_failsafe_disables_events;
    if (v->syscall_cb.mask_events)
        c->flags |= VGCF_syscall_disables_events;
    for (unsigned i = 0; i < 256; i++)
        c->trap_ctxt[i] = (struct trap_info){.vector = (uint8_t)i,
                                             .flags = v->traps[i].flags,
                                             .cs = v->traps[i].cs,
                                             .address = v->traps[i].address};
}

static uint64_t root_word(mfn_t root)
{
    return mfn_eq(root, MFN_NONE) ? 0 : root.n << PAGE_SHIFT;
}

static void get_tables(const struct vcpu *v, struct vcpu_guest_context *c)
{
    c->ctrlreg[0] = v->cr0 | (v->ts ? CR0_TS : 0);
    c->ctrlreg[1] = root_word(v->mm.user_root);
    c->ctrlreg[3] = root_word(v->mm.kernel_root);
    c->ctrlreg[4] = v->cr4;
    c->gdt_ents = v->mm.gdt_entries;
    for (unsigned i = 0; i < MM_GDT_FRAMES; i++)
        c->gdt_frames[i] = mfn_eq(v->mm.gdt[i], MFN_NONE) ? 0 : v->mm.gdt[i].n;
    c->ldt_base = v->mm.ldt_base;
    c->ldt_ents = v->mm.ldt_entries;
}

void vcpu_get_context(const struct vcpu *v, struct vcpu_guest_context *c)
{
    memset(c, 0, sizeof(*c));
    c->flags = VGCF_i387_valid;
    if (v->in_kernel)
        c->flags |= VGCF_in_kernel;
    if (v->state == VCPU_RUNNABLE || v->state == VCPU_BLOCKED)
        c->flags |= VGCF_online;
    get_registers(v, c);
    if (v->state == VCPU_BLOCKED)
        c->user_regs.rax = 0; /* what it waits in will have succeeded */
    get_callbacks(v, c);
    get_tables(v, c);
    c->vm_assist = v->domain->vm_assist;
}
