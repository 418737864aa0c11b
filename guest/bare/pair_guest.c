/* SPDX-License-Identifier: MIT */
/* What attacker and witness do: wait for domain 0 to name a function, run it, say what came of it. */
#include "pair_internal.h"

struct pair_box *pair_own_box(void)
{
    static struct pair_box *box;

    if (!box)
        box = PAIR_BOX(mm_va(mm_pfn(start_info->store_mfn)));
    return box;
}

struct pair_facts *pair_facts(void)
{
    return &pair_own_box()->facts;
}

bool pair_told_to_stop(void)
{
    return pair_own_box()->stop;
}

void pair_serve(struct pair_box *box)
{
    uint64_t asked = __atomic_load_n(&box->asked, __ATOMIC_ACQUIRE);

    if (asked == box->done)
        return;
    box->result = box->fn(box->arg);
    witness_changed();
    __atomic_store_n(&box->done, asked, __ATOMIC_RELEASE);
}

static void wait_for_event(void)
{
    evtchn_port_t port = start_info->store_evtchn;
    struct sched_poll p = {.nr_ports = 1, .timeout = event_now() + 5000000};

    set_xen_guest_handle(p.ports, &port);
    event_clear(port);
    hc_sched(SCHEDOP_poll, &p);
}

_Noreturn void pair_guest(void)
{
    struct pair_box *box = pair_own_box();
    bool watch = !strncmp(start_option("role"), "witness", 7);

    if (watch)
        witness_init(box);
    for (;;) {
        pair_serve(box);
        if (watch)
            witness_round(box);
        else
            wait_for_event();
    }
}
