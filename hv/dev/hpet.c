/* SPDX-License-Identifier: MIT */
/* The HPET's main counter (Intel IA-PC HPET specification 1.0a). Domain 0 may use its comparators.
 */
#include "dev/clock.h"
#include "dev/dev.h"

#define HPET_PERIOD  (4 / 4) /* femtoseconds a count */
#define HPET_CONFIG  (0x10 / 4)
#define HPET_COUNTER (0xf0 / 4)
#define HPET_ENABLE  1u
#define FS_PER_S     1000000000000000ull
#define MAX_PERIOD   100000000u

static volatile uint32_t *registers;

static uint64_t read_counter(void)
{
    return registers[HPET_COUNTER];
}

bool hpet_reference(struct reference_clock *c)
{
    if (!acpi_hpet_address)
        return false;
    registers = map_device(acpi_hpet_address, 0x400);
    uint32_t period = registers[HPET_PERIOD];
    if (period == 0 || period > MAX_PERIOD)
        return false;
    registers[HPET_CONFIG] |= HPET_ENABLE;
    *c = (struct reference_clock){"HPET", FS_PER_S / period, UINT32_MAX, read_counter};
    return true;
}
