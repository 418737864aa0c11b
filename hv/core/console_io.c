/* SPDX-License-Identifier: MIT */
/* HYPERVISOR_console_io: domain 0's share of the serial console. Bytes pass as they are, both ways.
 */
#include "core/hypercall.h"
#include "dev/dev.h"
#include "mm/env.h"

#define CHUNK 128
#define FIFO  16 /* bytes that the line takes at once; more would wait with interrupts off */

static long console_io_write(uint64_t va, uint32_t count)
{
    char buf[CHUNK];
    for (uint32_t done = 0; done < count;) {
        uint32_t n = min(count - done, (uint32_t)CHUNK);
        if (copy_from_guest(buf, va + done, n))
            return -XEN_EFAULT;
        for (uint32_t i = 0; i < n; i += FIFO) {
            console_write(buf + i, min(n - i, (uint32_t)FIFO));
            if (!env_rest_point())
                return -XEN_EINVAL;
        }
        done += n;
    }
    return 0;
}

static long console_io_read(uint64_t va, uint32_t count)
{
    char buf[CHUNK];
    uint32_t done = 0;
    while (done < count) {
        uint32_t want = min(count - done, (uint32_t)CHUNK);
        uint32_t n = (uint32_t)console_read_input(buf, want);
        if (!n)
            break;
        if (copy_to_guest(va + done, buf, n))
            return -XEN_EFAULT;
        done += n;
        env_preempt_point();
    }
    return (long)done;
}

long do_console_io(struct vcpu *v, uint64_t cmd, uint64_t count, uint64_t va, uint64_t a4,
                   uint64_t a5)
{
    (void)a4, (void)a5;
    if (!v->domain->mm.privileged)
        return -XEN_EPERM;
    if (cmd != CONSOLEIO_write && cmd != CONSOLEIO_read)
        return -XEN_ENOSYS;
    if (count > INT32_MAX)
        return -XEN_EINVAL;
    return cmd == CONSOLEIO_write ? console_io_write(va, (uint32_t)count)
                                  : console_io_read(va, (uint32_t)count);
}
