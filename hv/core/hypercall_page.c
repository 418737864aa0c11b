/* SPDX-License-Identifier: MIT */
#include "core/hypercall_page.h"

#include "base/string.h"
#include <xen/xen.h>

#define STUB_SIZE 32

/* SYSCALL destroys rcx and r11, a called function may not be seen to. */
static const uint8_t call_stub[] = {
    0x51,                /* push %rcx */
    0x41, 0x53,          /* push %r11 */
    0xb8, 0,    0, 0, 0, /* mov $number, %eax */
    0x0f, 0x05,          /* syscall */
    0x41, 0x5b,          /* pop %r11 */
    0x59,                /* pop %rcx */
    0xc3,                /* ret */
};
#define CALL_NUMBER 4

/* iret does not come back: the three words that it wants above the frame are pushed. */
static const uint8_t iret_stub[] = {
    0x51,       /* push %rcx */
    0x41, 0x53, /* push %r11 */
    0x50,       /* push %rax */
    0xb8, __HYPERVISOR_iret,
    0,    0,
    0,          /* mov $iret, %eax */
    0x0f, 0x05, /* syscall */
};

void hypercall_page_fill(uint8_t page[PAGE_SIZE])
{
    memset(page, 0xcc, PAGE_SIZE); /* int3 */
    for (unsigned i = 0; i < PAGE_SIZE / STUB_SIZE; i++) {
        uint8_t *stub = page + i * STUB_SIZE;

        if (i == __HYPERVISOR_iret) {
            memcpy(stub, iret_stub, sizeof(iret_stub));
        } else {
            memcpy(stub, call_stub, sizeof(call_stub));
            stub[CALL_NUMBER] = (uint8_t)i;
        }
    }
}
