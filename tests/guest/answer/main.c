/* SPDX-License-Identifier: MIT */
/*
 * Not an attack but a domain for tests of many: it answers each line on its console with `answer LINE`, and
 * otherwise sleeps. With mode=spin it computes for ever instead.
 *
 * run: none
 */
#include <bare/test.h>
#include <xen/io/console.h>

#define RING_VA 0x0000200000000000ul

static volatile struct xencons_interface *ring;
static uint32_t port;

static void tell_daemon(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    event_send(port);
}

static void put(const char *text, unsigned int n)
{
    for (unsigned int i = 0; i < n; i++) {
        while (ring->out_prod - ring->out_cons >= sizeof(ring->out)) {
            tell_daemon();
            vcpu_yield();
        }
        ring->out[MASK_XENCONS_IDX(ring->out_prod, ring->out)] = text[i];
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        ring->out_prod++;
    }
    tell_daemon();
}

static void answer(const char *line, unsigned int n)
{
    put("answer ", 7);
    put(line, n);
    put("\r\n", 2);
}

/* What has come; a line that is too long is answered in parts. */
static void read_input(void)
{
    static char line[80];
    static unsigned int n;

    while (ring->in_cons != ring->in_prod) {
        char c = ring->in[MASK_XENCONS_IDX(ring->in_cons, ring->in)];

        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        ring->in_cons++;
        if (c != '\n' && c != '\r')
            line[n++] = c;
        if (n && (n == sizeof(line) || c == '\n' || c == '\r')) {
            answer(line, n);
            n = 0;
        }
    }
    tell_daemon();
}

static void look(unsigned int which)
{
    (void)which; /* the main loop reads */
}

int main(void)
{
    const char *mode = start_option("mode");

    if (mode && *mode == 's')
        for (;;)
            __asm__ volatile("pause");
    if (mm_map(mm_root(), RING_VA, start_info->console.domU.mfn * MM_PAGE | PTE_RW))
        console_panic("the console's page");
    ring = (void *)RING_VA;
    port = start_info->console.domU.evtchn;
    event_set_handler(port, look);
    for (;;) {
        event_deliver(false);
        if (ring->in_cons != ring->in_prod)
            read_input();
        else
            hc_sched(SCHEDOP_block, NULL); /* opens the mask */
        event_deliver(true);
    }
}
