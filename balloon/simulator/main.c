/* SPDX-License-Identifier: MIT */
/*
 * pal-balloon-sim TRACE: what the policy would do with a machine and loads told in a file, as a table on
 * standard output and, with --svg FILE, as a picture. See balloon/README.md for the file.
 */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleet.h"

#define EVENTS_MAX 1024
#define STEP_MS    1000u
#define LONGEST_S  86400u

struct event {
    unsigned at_s, guest;
    uint64_t load_kib, reserve_kib;
    bool is_reservation;
};

static struct {
    struct fleet fleet;
    struct event event[EVENTS_MAX];
    unsigned events, end_s;
    const char *trace, *svg;
} sim;

static _Noreturn void refuse(unsigned line, const char *why)
{
    fprintf(stderr,
            "pal-balloon-sim: %s:%u: %s\nA line is one of: machine MIB slack MIB | guest NAME MIN "
            "MAX SHARES START MIB |\n"
            "at SECOND NAME LOAD MIB | at SECOND reserve MIB | end SECOND\n",
            sim.trace, line, why);
    exit(2);
}

static unsigned find_guest(unsigned line, const char *name)
{
    for (unsigned i = 0; i < sim.fleet.guests; i++)
        if (!strcmp(sim.fleet.guest[i].name, name))
            return i;
    refuse(line, "no guest of that name above");
}

static void add_guest(unsigned line, const char *name, const uint64_t mib[4])
{
    struct guest *g = &sim.fleet.guest[sim.fleet.guests];

    if (sim.fleet.guests == FLEET_MAX)
        refuse(line, "too many guests");
    if (!mib[0] || mib[0] > mib[1] || mib[1] > 1u << 30 || !mib[2] || mib[2] > 65535 ||
        mib[3] > mib[1])
        refuse(line, "want 0 < MIN <= MAX, 0 < SHARES < 65536, START <= MAX");
    if (mib[3] * 1024 > sim.fleet.machine.free_kib)
        refuse(line, "the machine has no room for it");
    *g = (struct guest){
        .limits = {mib[0] * 1024, mib[1] * 1024, (unsigned)mib[2]},
        .current_kib = mib[3] * 1024,
        .target_kib = mib[3] * 1024,
        .rate_kib = 128 * 1024,
        .agent = true,
    };
    snprintf(g->name, sizeof(g->name), "%s", name);
    sim.fleet.machine.free_kib -= g->current_kib;
    sim.fleet.guests++;
}

static void add_event(unsigned line, struct event e)
{
    if (sim.events == EVENTS_MAX)
        refuse(line, "too many events");
    if (sim.events && e.at_s < sim.event[sim.events - 1].at_s)
        refuse(line, "earlier than the line before");
    sim.event[sim.events++] = e;
}

static void read_line(unsigned line, const char *text)
{
    uint64_t mib[4];
    unsigned at;
    char name[16];

    if (text[0] == '#' || text[strspn(text, " \t\n")] == 0)
        return;
    if (sscanf(text, "machine %" SCNu64 " slack %" SCNu64, &mib[0], &mib[1]) == 2) {
        if (mib[0] > 1u << 30 || mib[1] > mib[0] || sim.fleet.guests)
            refuse(line, "want slack <= machine, before the guests");
        sim.fleet.machine.free_kib = mib[0] * 1024;
        sim.fleet.machine.slack_kib = mib[1] * 1024;
    } else if (sscanf(text, "guest %15s %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64, name,
                      &mib[0], &mib[1], &mib[2], &mib[3]) == 5) {
        add_guest(line, name, mib);
    } else if (sscanf(text, "at %u reserve %" SCNu64, &at, &mib[0]) == 2) {
        add_event(line,
                  (struct event){.at_s = at, .is_reservation = true, .reserve_kib = mib[0] * 1024});
    } else if (sscanf(text, "at %u %15s %" SCNu64, &at, name, &mib[0]) == 3) {
        add_event(
            line,
            (struct event){.at_s = at, .guest = find_guest(line, name), .load_kib = mib[0] * 1024});
    } else if (sscanf(text, "end %u", &at) == 1 && at <= LONGEST_S) {
        sim.end_s = at;
    } else {
        refuse(line, "not understood");
    }
}

static void read_trace(void)
{
    FILE *file = fopen(sim.trace, "r");
    char text[256];

    if (!file) {
        fprintf(stderr, "pal-balloon-sim: cannot read %s: %s\n", sim.trace, strerror(errno));
        exit(1);
    }
    for (unsigned line = 1; fgets(text, sizeof(text), file); line++)
        read_line(line, text);
    fclose(file);
    if (!sim.fleet.guests || !sim.end_s)
        refuse(0, "no guest, or no end");
}

/* ---- the picture ---- */

#define WIDTH  960u
#define HEIGHT 150u /* of one guest */
#define LEFT   90u

static uint64_t (
    *history)[FLEET_MAX][2]; /* a second, a guest: memory, load with what the kernel needs */

static const char *line_of(unsigned what)
{
    return what ? "stroke=\"#c0392b\" stroke-dasharray=\"4 3\""
                : "stroke=\"#2c6fbb\" stroke-width=\"2\"";
}

static void draw_guest(FILE *out, unsigned i)
{
    const struct guest *g = &sim.fleet.guest[i];
    double top = i * (HEIGHT + 30.0) + 30, scale = (double)HEIGHT / (double)g->limits.max_kib;

    fprintf(out, "<text x=\"4\" y=\"%.0f\">%s</text>\n", top + 14, g->name);
    fprintf(out, "<text x=\"4\" y=\"%.0f\">%" PRIu64 " MiB</text>\n", top + 30,
            g->limits.max_kib / 1024);
    fprintf(
        out,
        "<rect x=\"%u\" y=\"%.0f\" width=\"%u\" height=\"%u\" fill=\"none\" stroke=\"#bbb\"/>\n",
        LEFT, top, WIDTH, HEIGHT);
    for (unsigned what = 0; what < 2; what++) {
        fprintf(out, "<polyline fill=\"none\" %s points=\"", line_of(what));
        for (unsigned s = 0; s < sim.end_s; s += 1 + sim.end_s / 640) {
            uint64_t kib =
                history[s][i][what] < g->limits.max_kib ? history[s][i][what] : g->limits.max_kib;

            fprintf(out, "%.1f,%.1f ", LEFT + (double)s * WIDTH / sim.end_s,
                    top + HEIGHT - (double)kib * scale);
        }
        fprintf(out, "\"/>\n");
    }
}

static void draw(void)
{
    FILE *out = fopen(sim.svg, "w");

    if (!out) {
        fprintf(stderr, "pal-balloon-sim: cannot write %s: %s\n", sim.svg, strerror(errno));
        exit(1);
    }
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%zu\" "
            "font-family=\"sans-serif\" font-size=\"12\">\n",
            LEFT + WIDTH + 10, sim.fleet.guests * (HEIGHT + 30) + 40);
    fprintf(out,
            "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n<text x=\"%u\" "
            "y=\"18\">blue: memory it has; red: memory its load needs; %u s</text>\n",
            LEFT, sim.end_s);
    for (unsigned i = 0; i < sim.fleet.guests; i++)
        draw_guest(out, i);
    fprintf(out, "</svg>\n");
    if (fclose(out)) {
        fprintf(stderr, "pal-balloon-sim: cannot write %s: %s\n", sim.svg, strerror(errno));
        exit(1);
    }
}

/* ---- the run ---- */

static void apply(unsigned now)
{
    for (unsigned i = 0; i < sim.events; i++) {
        if (sim.event[i].at_s != now)
            continue;
        if (sim.event[i].is_reservation)
            sim.fleet.machine.reserved_kib = sim.event[i].reserve_kib;
        else
            sim.fleet.guest[sim.event[i].guest].load_kib = sim.event[i].load_kib;
    }
}

/* A line when it goes another way, and has moved notably since its last one. */
static void report(unsigned now)
{
    static uint64_t told[FLEET_MAX];
    static enum balloon_reason reason[FLEET_MAX];

    for (unsigned i = 0; i < sim.fleet.guests; i++) {
        const struct guest *g = &sim.fleet.guest[i];
        uint64_t moved =
            g->current_kib > told[i] ? g->current_kib - told[i] : told[i] - g->current_kib;

        if (g->seen.reason == reason[i] || moved <= told[i] / 16)
            continue;
        told[i] = g->current_kib;
        reason[i] = g->seen.reason;
        printf("%6u s  %-15s %7" PRIu64 " MiB, goes to %7" PRIu64 ": %s\n", now, g->name,
               g->current_kib / 1024, g->seen.ideal_kib / 1024, balloon_reason_text(reason[i]));
    }
}

static void run(void)
{
    history = calloc(sim.end_s, sizeof(*history));
    if (!history) {
        fprintf(stderr, "pal-balloon-sim: no memory for %u seconds\n", sim.end_s);
        exit(1);
    }
    for (unsigned now = 0; now < sim.end_s; now++) {
        apply(now);
        fleet_step(&sim.fleet, STEP_MS);
        report(now);
        for (unsigned i = 0; i < sim.fleet.guests; i++) {
            history[now][i][0] = sim.fleet.guest[i].current_kib;
            history[now][i][1] = sim.fleet.guest[i].load_kib + KERNEL_KIB;
        }
    }
    if (sim.svg)
        draw();
    free(history);
}

static error_t option(int key, char *argument, struct argp_state *state)
{
    if (key == 's')
        sim.svg = argument;
    else if (key == ARGP_KEY_ARG && !sim.trace)
        sim.trace = argument;
    else if (key == ARGP_KEY_ARG || (key == ARGP_KEY_END && !sim.trace))
        argp_usage(state);
    else
        return ARGP_ERR_UNKNOWN;
    return 0;
}

int main(int argc, char **argv)
{
    static const struct argp_option options[] = {{"svg", 's', "FILE", 0, "Draw it, too", 0}, {0}};
    static const struct argp parser = {
        options, option, "TRACE", "What the balloon's policy does with a told load.", 0, 0, 0};

    argp_err_exit_status = 2;
    argp_parse(&parser, argc, argv, 0, NULL, NULL);
    read_trace();
    run();
    return 0;
}
