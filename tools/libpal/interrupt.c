/* SPDX-License-Identifier: MIT */
#include "libpal/interrupt.h"

#include <signal.h>
#include <string.h>

static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
#define SIGNALS (sizeof(signals) / sizeof(signals[0]))

static volatile sig_atomic_t came;
static struct sigaction before[SIGNALS];
static bool is_caught;

static void note(int number)
{
    came = number;
}

void pal_interrupt_catch(void)
{
    struct sigaction catch = {.sa_handler = note};

    came = 0;
    if (is_caught)
        return;
    is_caught = true;
    for (size_t i = 0; i < SIGNALS; i++) {
        sigaction(signals[i], NULL, &before[i]);
        if (before[i].sa_handler != SIG_IGN) /* nohup, and jobs in the background */
            sigaction(signals[i], &catch, NULL);
    }
}

void pal_interrupt_release(void)
{
    if (!is_caught)
        return;
    is_caught = false;
    came = 0;
    for (size_t i = 0; i < SIGNALS; i++)
        sigaction(signals[i], &before[i], NULL);
}

int pal_interrupt_signal(void)
{
    return came;
}

int pal_interrupt_check(struct pal_error *e)
{
    return came ? pal_fail(e, PAL_SYS_INTERRUPTED, "it was interrupted (%s)", strsignal(came)) : 0;
}
