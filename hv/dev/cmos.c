/* SPDX-License-Identifier: MIT */
/* Date and time of the CMOS clock (Motorola MC146818A), read once at boot; taken as UTC. */
#include "base/types.h"
#include "dev/clock.h"
#include "x86/insn.h"

enum cmos_register {
    CMOS_SECONDS = 0,
    CMOS_MINUTES = 2,
    CMOS_HOURS = 4,
    CMOS_DAY = 7,
    CMOS_MONTH = 8,
    CMOS_YEAR = 9,
    CMOS_STATUS_A = 10,
    CMOS_STATUS_B = 11,
};
#define STATUS_A_UPDATING 0x80
#define STATUS_B_BINARY   0x04
#define STATUS_B_24_HOURS 0x02
#define HOURS_PM          0x80
#define PATIENCE          100000

struct date {
    unsigned second, minute, hour, day, month, year;
};

static uint8_t get(enum cmos_register r)
{
    outb(0x70, (uint8_t)(r | 0x80));
    return inb(0x71);
}

static unsigned number(uint8_t v, uint8_t status)
{
    return status & STATUS_B_BINARY ? v : (v >> 4) * 10u + (v & 15u);
}

static struct date read_date(void)
{
    for (unsigned i = 0; i < PATIENCE && (get(CMOS_STATUS_A) & STATUS_A_UPDATING); i++)
        ;
    uint8_t status = get(CMOS_STATUS_B), hours = get(CMOS_HOURS);
    struct date d = {
        .second = number(get(CMOS_SECONDS), status),
        .minute = number(get(CMOS_MINUTES), status),
        .hour = number(status & STATUS_B_24_HOURS ? hours : hours & (uint8_t)~HOURS_PM, status),
        .day = number(get(CMOS_DAY), status),
        .month = number(get(CMOS_MONTH), status),
        .year = number(get(CMOS_YEAR), status) + 2000,
    };
    if (!(status & STATUS_B_24_HOURS))
        d.hour = d.hour % 12 + (hours & HOURS_PM ? 12 : 0);
    return d;
}

static uint64_t days_since_1970(const struct date *d)
{
    static const uint16_t before_month[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    unsigned y = d->year;
    uint64_t leap_days =
        (y - 1) / 4 - (y - 1) / 100 + (y - 1) / 400 - (1969 / 4 - 1969 / 100 + 1969 / 400);
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    return (uint64_t)(y - 1970) * 365 + leap_days + before_month[d->month - 1] +
           (leap && d->month > 2) + d->day - 1;
}

static bool same(const struct date *a, const struct date *b)
{
    return a->second == b->second && a->minute == b->minute && a->hour == b->hour &&
           a->day == b->day && a->month == b->month && a->year == b->year;
}

uint64_t cmos_read_seconds(void)
{
    /* Twice the same: no update came in between. */
    struct date d = read_date(), again = read_date();
    for (unsigned i = 0; i < 10 && !same(&d, &again); i++) {
        d = again;
        again = read_date();
    }
    if (d.month < 1 || d.month > 12 || d.day < 1 || d.day > 31 || d.hour > 23 || d.minute > 59 ||
        d.second > 59)
        return 0;
    return ((days_since_1970(&d) * 24 + d.hour) * 60 + d.minute) * 60 + d.second;
}
