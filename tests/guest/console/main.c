/* SPDX-License-Identifier: MIT */
/*
 * Not an attack: domain 0 and the hypervisor share one line of output, and each line of the hypervisor's own
 * is whole, whatever domain 0 was in the middle of.
 *
 * run: smp=1 deadline=60
 */
#define __XEN_TOOLS__ 1
#include <bare/control.h>
#include <bare/test.h>
#include <xen/sysctl.h>

static char log[4096];

/* What was written since the last time. */
static void read_log(void)
{
    static uint32_t index;
    uint32_t n;

    do {
        n = control_log_read(log, sizeof(log) - 1, &index);
        log[n] = 0;
    } while (n == sizeof(log) - 1);
}

/* One line of the hypervisor's for each domain there is: for us. */
static void have_domains_logged(void)
{
    const char keys[] = "q";
    struct xen_sysctl op = {.cmd = XEN_SYSCTL_debug_keys,
                            .interface_version = XEN_SYSCTL_INTERFACE_VERSION};

    op.u.debug_keys.nr_keys = 1;
    set_xen_guest_handle(op.u.debug_keys.keys, keys);
    hypercall(__HYPERVISOR_sysctl, HC_ADDR(&op), 0, 0, 0, 0);
}

static bool starts_with(const char *text, const char *start)
{
    return !strncmp(text, start, strlen(start));
}

/* Ours, then a line of the hypervisor's, then ours again. */
static void check(const char *id, const char *ours, const char *want)
{
    read_log();
    console_printf("%s", ours);
    have_domains_logged();
    console_printf("after\n");

    read_log();

    const char *line = log + strlen(want);
    bool whole = starts_with(log, want) && *line == '[';

    while (whole && *line && *line != '\n')
        line++;
    if (!test_true_ours(id, "the hypervisor's line stands alone",
                        whole && starts_with(line, "\nafter\n") && !line[7]))
        test_note("%s", log);
}

int main(void)
{
    test_begin("console");
    check("line.a", "a whole line\n", "a whole line\n");
    check("line.b", "half a line", "half a line\n");
    check("line.c", "", "");
    check("line.d", "a column\r", "a column\r\n");
    test_end();
}
