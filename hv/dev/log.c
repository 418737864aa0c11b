/* SPDX-License-Identifier: MIT */
/* Log lines with a time stamp, and the limit on those that guests provoke. */
#include "base/log.h"
#include "base/boot_info.h"
#include "base/format.h"
#include "base/spinlock.h"
#include "core/time.h"
#include "dev/dev.h"

#define LINE_MAX    320
#define GUEST_BURST 10
#define GUEST_RATE  2 /* lines a second after the burst */

static void write_line(const char *prefix, const char *fmt, va_list ap)
{
    char line[LINE_MAX];
    uint64_t us = time_now() / 1000;
    int n = format(line, sizeof(line), "[%5lu.%06lu] %s", us / 1000000, us % 1000000, prefix);
    n += vformat(line + n, sizeof(line) - (size_t)n, fmt, ap);
    console_write_line(line, min((size_t)n, sizeof(line) - 1));
}

void log_at(enum log_level level, const char *fmt, ...)
{
    if (level > boot_options.loglvl)
        return;
    va_list ap;
    va_start(ap, fmt);
    write_line("", fmt, ap);
    va_end(ap);
}

/* One budget for all guests: the line is one, too. */
static struct {
    spinlock_t lock;
    uint64_t refilled; /* ns */
    unsigned tokens, suppressed;
} budget = {.lock = SPINLOCK_INIT, .tokens = GUEST_BURST};

/* May a line be written? *missed: how many were not since the last. */
static bool take_token(unsigned *missed)
{
    uint64_t now = time_now(), step = 1000000000ull / GUEST_RATE;
    bool ok = false;
    spin_lock(&budget.lock);
    uint64_t fresh = (now - budget.refilled) / step;
    if (fresh > 0) {
        budget.tokens = (unsigned)min(budget.tokens + fresh, (uint64_t)GUEST_BURST);
        budget.refilled += fresh * step;
    }
    *missed = 0;
    if (budget.tokens > 0) {
        budget.tokens--;
        *missed = budget.suppressed;
        budget.suppressed = 0;
        ok = true;
    } else {
        budget.suppressed++;
    }
    spin_unlock(&budget.lock);
    return ok;
}

void log_guest(unsigned domid, const char *fmt, ...)
{
    unsigned missed;
    if (!take_token(&missed))
        return;
    if (missed)
        log_info("(%u lines about guests left out)", missed);
    char prefix[16];
    format(prefix, sizeof(prefix), "(d%u) ", domid);
    va_list ap;
    va_start(ap, fmt);
    write_line(prefix, fmt, ap);
    va_end(ap);
}
