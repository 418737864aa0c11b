/* SPDX-License-Identifier: MIT */
#include <bare/console.h>
#include <bare/event.h>
#include <bare/mm.h>
#include <bare/start.h>
#include <bare/string.h>
#include <bare/trap.h>
#include <bare/vcpu.h>

struct start_info *start_info;
char boot_stack[VCPU_STACK] __attribute__((aligned(VCPU_STACK)));

/* Its own frame is given up for the shared one at init. */
union start_shared_page start_shared_page __attribute__((aligned(4096)));

void start_main(void);

const char *start_option(const char *name)
{
    const char *p = (const char *)start_info->cmd_line;
    size_t n = strlen(name);

    while (*p) {
        if (!strncmp(p, name, n) && p[n] == '=')
            return p + n + 1;
        while (*p && *p != ' ')
            p++;
        while (*p == ' ')
            p++;
    }
    return NULL;
}

uint64_t start_option_number(const char *name, uint64_t otherwise)
{
    const char *p = start_option(name);
    uint64_t v = 0;

    if (!p)
        return otherwise;
    for (; *p >= '0' && *p <= '9'; p++)
        v = v * 10 + (uint64_t)(*p - '0');
    return v;
}

void start_main(void)
{
    long ret =
        hc_update_va(HC_ADDR(&start_shared_page), start_info->shared_info | PTE_RW, UVMF_INVLPG);

    if (ret)
        console_panic("shared info: %ld", ret);
    trap_init();
    mm_init();
    event_init();
    main();
    console_poweroff(SHUTDOWN_reboot);
}
