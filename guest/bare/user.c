/* SPDX-License-Identifier: MIT */
#include <bare/console.h>
#include <bare/mm.h>
#include <bare/string.h>
#include <bare/user.h>
#include <bare/vcpu.h>

void entry_user(const struct trap_frame *start, uint64_t flags, uint64_t *saved_sp);

static void check(long ret, const char *what)
{
    if (ret)
        console_panic("user space: %s: %ld", what, ret);
}

void user_make(struct user *u, const void *code, size_t size)
{
    u->root = mm_table();
    u->code = mm_alloc();
    u->data = mm_alloc();
    memcpy(mm_va(u->code), code, size);
    check(hc_mmuext_mfn(MMUEXT_PIN_L4_TABLE, mm_mfn(u->root)), "pin");
    check(mm_map(u->root, USER_CODE, mm_entry(u->code, PTE_RO)), "code");
    check(mm_map(u->root, USER_DATA, mm_entry(u->data, PTE_RW)), "data");
}

static void free_tree(uint64_t pfn, int level)
{
    uint64_t *t = mm_va(pfn), below[8];
    unsigned int n = 0;

    for (unsigned int i = 0; level > 1 && i < 512 && n < 8; i++)
        if ((t[i] & PTE_P) && !(level == 4 && i >= 256))
            below[n++] = mm_pfn((t[i] & PTE_ADDR) / MM_PAGE);
    mm_table_free(pfn);
    while (n)
        free_tree(below[--n], level - 1);
}

void user_free(struct user *u)
{
    /* The zero frame as user root means none. */
    check(hc_mmuext_mfn(MMUEXT_NEW_USER_BASEPTR, 0), "no root");
    check(hc_mmuext_mfn(MMUEXT_UNPIN_TABLE, mm_mfn(u->root)), "unpin");
    free_tree(u->root, 4);
    mm_free(u->code);
    mm_free(u->data);
}

void user_enter(const struct trap_frame *start, uint64_t flags, struct trap_frame *out,
                uint64_t *fault_address)
{
    struct vcpu *v = vcpu_self();
    uint64_t sp;

    /* Entries from user mode land on this stack, well below our own frames. */
    __asm__ volatile("mov %%rsp, %0" : "=r"(sp));
    check(hypercall(__HYPERVISOR_stack_switch, FLAT_KERNEL_SS, (sp - 1024) & ~15ul, 0, 0, 0),
          "stack");
    entry_user(start, flags, &v->user_sp);
    *out = v->exit;
    if (fault_address)
        *fault_address = v->exit_address;
}

void user_run(struct user *u, const struct trap_frame *start, struct trap_frame *out,
              uint64_t *fault_address)
{
    struct trap_frame f = {0};

    if (start)
        f = *start;
    f.rip = USER_CODE;
    f.cs = FLAT_USER_CS64;
    f.ss = FLAT_USER_SS64;
    f.rsp = USER_STACK;
    f.rflags |= 0x200;
    check(hc_mmuext_mfn(MMUEXT_NEW_USER_BASEPTR, mm_mfn(u->root)), "load root");
    user_enter(&f, 0, out, fault_address);
}
