/* SPDX-License-Identifier: MIT */
/*
 * Keeps a region through libpalshm, with one handle: what is taken from it, it lets go of, and opens again as soon as it is there.
 *
 *   keep NAME
 *
 *   KEEP-HOLDS domain NUMBER time N word W     it has all of it mapped, for the Nth time; W stands at its beginning
 *   KEEP-LETS-GO                               it saw that it is taken
 *   KEEP-FAILED why                            and then it ends
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>

#include "palshm.h"

#define POLL_MS 50

static palshm_region *open_again(palshm *p, const char *name)
{
    for (;;) {
        palshm_region *r = palshm_region_open(p, name);

        if (r || errno != ENOENT)
            return r;
        poll(NULL, 0, POLL_MS);
    }
}

/* Until it is taken. */
static int hold(palshm *p, palshm_region *r)
{
    static unsigned times;
    struct pollfd fd = {.fd = palshm_fd(p), .events = POLLIN};
    volatile unsigned long long *word = palshm_map(r, 0, 0, true);

    if (!word)
        return errno == ENODEV ? 0 : -1; /* taken meanwhile */
    *word = *word;
    printf("KEEP-HOLDS domain %u time %u word %llx\n", palshm_domain(p), ++times, *word);
    while (!palshm_region_revoked(r))
        poll(&fd, 1, -1);
    printf("KEEP-LETS-GO\n");
    return 0;
}

int main(int argc, char **argv)
{
    palshm *p = palshm_open();
    palshm_region *r;
    int error = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    while (argc == 2 && p && !error && (r = open_again(p, argv[1]))) {
        error = hold(p, r);
        if (!error)
            palshm_region_close(r);
    }
    printf("KEEP-FAILED %s\n", palshm_why(p));
    return 1;
}
