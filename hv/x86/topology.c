/* SPDX-License-Identifier: MIT */
/* Sockets, cores and threads, from the local APIC numbers (Intel SDM 3A, 9.9; AMD APM 3, appendix
 * E). */
#include "x86/insn.h"
#include "x86/policy.h"

/* Bits of the APIC number below the core's and below the socket's. */
struct shifts {
    unsigned core, socket;
};

static unsigned bits_for(unsigned n)
{
    return n > 1 ? highest_bit(n - 1) + 1 : 0;
}

static struct shifts find_shifts(void)
{
    struct shifts s = {0, 0};
    struct cpuid one = cpuid(1, 0);

    if (cpuid(0, 0).eax >= 0xb && cpuid(0xb, 0).ebx) {
        s.core = cpuid(0xb, 0).eax & 31;
        s.socket = cpuid(0xb, 1).ebx ? cpuid(0xb, 1).eax & 31 : s.core;
    } else if (cpuid(0x80000000, 0).eax >= 0x80000008 && (cpuid(0x80000008, 0).ecx & 0xf0ff)) {
        struct cpuid sizes = cpuid(0x80000008, 0);
        unsigned width = sizes.ecx >> 12 & 15;
        s.socket = width ? width : bits_for((sizes.ecx & 255) + 1);
    } else if (one.edx & BIT(28)) {
        s.socket = bits_for(one.ebx >> 16 & 255);
        if (cpuid(0, 0).eax >= 4) {
            unsigned cores = bits_for((cpuid(4, 0).eax >> 26) + 1);
            s.core = s.socket > cores ? s.socket - cores : 0;
        }
    }
    s.socket = max(s.socket, s.core);
    return s;
}

uint32_t cpu_core_of(uint32_t apic_id)
{
    return apic_id >> find_shifts().core;
}

struct cpu_place cpu_place(unsigned cpu)
{
    struct shifts s = find_shifts();
    uint32_t apic = cpus[cpu]->apic_id, socket = apic >> s.socket;
    struct cpu_place p = {.socket = socket,
                          .core = (apic >> s.core) & (uint32_t)(BIT(s.socket - s.core) - 1)};
    unsigned in_core = 0, in_socket = 0;

    for (unsigned i = 0; i < cpu_count; i++) {
        in_core += cpus[i]->apic_id >> s.core == apic >> s.core;
        in_socket += cpus[i]->apic_id >> s.socket == socket;
    }
    p.threads_per_core = in_core;
    p.cores_per_socket = max(in_socket / in_core, 1u);
    return p;
}
