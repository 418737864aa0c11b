/* SPDX-License-Identifier: MIT */
#include <bare/console.h>
#include <bare/event.h>
#include <bare/hypercall.h>
#include <bare/start.h>
#include <bare/trap.h>
#include <bare/vcpu.h>
#include <xen/callback.h>

extern const char entry_vectors[256][16];
extern const char entry_event[], entry_failsafe[], entry_syscall[], entry_syscall32[],
    entry_sysenter[];
int entry_guard(void (*fn)(void *), void *arg, uint64_t *saved_sp);
_Noreturn void entry_guard_resume(uint64_t saved_sp);
void entry_call(void *code);

volatile uint64_t trap_counts[261];
static trap_hook *hooks[261];

void trap_set_hook(unsigned int vector, trap_hook *hook)
{
    hooks[vector] = hook;
}

void trap_fill_table(void *table)
{
    struct trap_info *t = table;

    for (unsigned int v = 0; v < 256; v++) {
        /* User mode may raise the breakpoint, overflow and 0x80 itself. */
        t[v].vector = (uint8_t)v;
        t[v].flags = v == TRAP_BP || v == 4 || v == 0x80 ? 3 : 0;
        t[v].cs = FLAT_KERNEL_CS;
        t[v].address = HC_ADDR(entry_vectors[v]);
    }
}

static void register_callback(unsigned int type, const void *entry)
{
    struct callback_register cb = {.type = (uint16_t)type, .address = HC_ADDR(entry)};
    long ret = hypercall(__HYPERVISOR_callback_op, CALLBACKOP_register, HC_ADDR(&cb), 0, 0, 0);

    if (ret && type != CALLBACKTYPE_syscall32 && type != CALLBACKTYPE_sysenter)
        console_panic("callback %u: %ld", type, ret);
}

void trap_init(void)
{
    /* 256 entries and a terminator do not fit the stack politely; go in parts. */
    struct trap_info all[256];
    struct trap_info part[17] = {0};

    trap_fill_table(all);
    for (unsigned int v = 0; v < 256; v += 16) {
        for (unsigned int i = 0; i < 16; i++)
            part[i] = all[v + i];
        if (hypercall(__HYPERVISOR_set_trap_table, HC_ADDR(part), 0, 0, 0, 0))
            console_panic("trap table");
    }
    register_callback(CALLBACKTYPE_event, entry_event);
    register_callback(CALLBACKTYPE_failsafe, entry_failsafe);
    register_callback(CALLBACKTYPE_syscall, entry_syscall);
    register_callback(CALLBACKTYPE_syscall32, entry_syscall32);
    register_callback(CALLBACKTYPE_sysenter, entry_sysenter);
    register_callback(CALLBACKTYPE_nmi, entry_vectors[TRAP_NMI]);
}

static uint64_t fault_address(void)
{
    unsigned int id = vcpu_self()->id;

    return start_shared.vcpu_info[id].arch.cr2;
}

static void record(struct trap_fault *out, const struct trap_frame *f)
{
    *out = (struct trap_fault){.vector = f->vector,
                               .error = f->error,
                               .address = f->vector == TRAP_PF ? fault_address() : 0,
                               .rip = f->rip,
                               .cs = f->cs,
                               .rflags = f->rflags,
                               .rsp = f->rsp};
}

void trap_dispatch(struct trap_frame *f)
{
    struct vcpu *v = vcpu_self();

    trap_counts[f->vector]++;
    if (f->vector == TRAP_EVENT) {
        event_dispatch();
        return;
    }
    if (hooks[f->vector] && hooks[f->vector](f))
        return;
    if ((f->cs & 3) == 3 && v->user_sp) {
        uint64_t sp = v->user_sp;

        v->exit = *f;
        v->exit_address = f->vector == TRAP_PF ? fault_address() : 0;
        v->user_sp = 0;
        entry_guard_resume(sp);
    }
    if (v->guard_sp) {
        uint64_t sp = v->guard_sp;

        record(&v->fault, f);
        v->guard_sp = 0;
        entry_guard_resume(sp);
    }
    console_panic("vcpu %u: trap %lu error %lx at %lx cs %lx flags %lx sp %lx address %lx", v->id,
                  f->vector, f->error, f->rip, f->cs, f->rflags, f->rsp, fault_address());
}

bool trap_run(void (*fn)(void *), void *arg, struct trap_fault *out)
{
    struct vcpu *v = vcpu_self();
    uint64_t outer = v->guard_sp;
    int faulted = entry_guard(fn, arg, &v->guard_sp);

    v->guard_sp = outer;
    if (faulted && out)
        *out = v->fault;
    return faulted;
}

struct access {
    uint64_t va, value;
};

static void do_read(void *arg)
{
    struct access *a = arg;

    a->value = *(volatile uint64_t *)a->va;
}

static void do_write(void *arg)
{
    struct access *a = arg;

    *(volatile uint64_t *)a->va = a->value;
}

int trap_read(uint64_t va, uint64_t *value)
{
    struct access a = {va, 0};
    struct trap_fault f;

    if (trap_run(do_read, &a, &f))
        return (int)f.vector;
    if (value)
        *value = a.value;
    return -1;
}

int trap_write(uint64_t va, uint64_t value)
{
    struct access a = {va, value};
    struct trap_fault f;

    return trap_run(do_write, &a, &f) ? (int)f.vector : -1;
}

int trap_exec(const void *code, struct trap_fault *out)
{
    struct trap_fault f;

    if (!trap_run(entry_call, (void *)code, &f))
        return -1;
    if (out)
        *out = f;
    return (int)f.vector;
}
