/* SPDX-License-Identifier: MIT */
/* ACPI's power-management timer (ACPI specification 6.4, 4.8.3.3). */
#include "dev/clock.h"
#include "dev/dev.h"
#include "x86/insn.h"

#define PMTIMER_HZ 3579545

static uint64_t read_timer(void)
{
    return inl(acpi_fadt.pm_tmr) & 0xffffff;
}

bool pmtimer_reference(struct reference_clock *c)
{
    if (!acpi_fadt.pm_tmr)
        return false;
    *c = (struct reference_clock){"PM timer", PMTIMER_HZ, 0xffffff, read_timer};
    return true;
}
