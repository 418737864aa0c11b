/* SPDX-License-Identifier: MIT */
/* What is shown of a long task: the bar's line, and lines for programs. */
#include "test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "libpal/progress.h"

static const struct pal_phase phases[] = {{"memory", 3, true}, {"devices", 1, false}};

/* ---- the line ---- */

static const char *line(struct pal_progress_state s, unsigned width)
{
    static char text[256];

    s.verb = "create";
    s.subject = "web";
    s.phase = "memory";
    pal_progress_line(&s, width, text, sizeof(text));
    return text;
}

static void test_line(void **state)
{
    struct pal_progress_state s = {
        .bytes = true, .fraction = 0.5, .rate = 300 << 20, .elapsed = 5, .left = 5};

    (void)state;
    assert_string_equal(line(s, 120), "create web: memory [####################"
                                      "--------------------]  50%  300 MiB/s  5 s left");
    assert_string_equal(line(s, 57), "create web: memory [#####-----]  50%  300 MiB/s  5 s left");
    assert_string_equal(line(s, 50), "create web: memory  50%  300 MiB/s  5 s left");
    assert_string_equal(line(s, 20), "create web: memory  ");
    s.left = 3599;
    assert_non_null(strstr(line(s, 120), " 59 min 59 s left"));
    s.left = 7260;
    assert_non_null(strstr(line(s, 120), " 2 h 1 min left"));
    s.left = -1;
    assert_null(strstr(line(s, 120), "left"));
    assert_non_null(strstr(line(s, 120), "MiB/s  5 s")); /* so far */
    s.fraction = 0;
    assert_null(strchr(line(s, 120), '#'));
    s.fraction = 1;
    assert_null(strchr(line(s, 120), '-'));
}

/* Nothing is known but the time. */
static void test_unknown(void **state)
{
    struct pal_progress_state s = {.fraction = -1, .elapsed = 75, .left = -1};

    (void)state;
    assert_string_equal(line(s, 80), "create web: memory  1 min 15 s");
}

/* ---- a task ---- */

static char path[] = "/tmp/pal-progress-XXXXXX";
static int kept_stderr;

static int take_stderr(void **state)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0600);

    (void)state;
    kept_stderr = dup(STDERR_FILENO);
    return fd < 0 || dup2(fd, STDERR_FILENO) < 0 || close(fd);
}

static int give_stderr(void **state)
{
    (void)state;
    dup2(kept_stderr, STDERR_FILENO);
    return close(kept_stderr) || unlink(path);
}

static const char *shown(void)
{
    static char text[1 << 16];
    int fd = open(path, O_RDONLY);
    ssize_t size = read(fd, text, sizeof(text) - 1);

    close(fd);
    text[size > 0 ? size : 0] = '\0';
    return text;
}

/* Until it is shown, ten seconds at most. */
static bool wait_shown(const char *what)
{
    for (unsigned i = 0; i < 1000 && !strstr(shown(), what); i++)
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    return strstr(shown(), what) != NULL;
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Of what is quick nothing is shown; one that the host kept waiting is ended, and another begun. */
static struct pal_progress *begin_quickly(void)
{
    for (unsigned i = 0; i < 100; i++) {
        double began = now();
        struct pal_progress *p = pal_progress_begin("create", "web", phases, 2);
        bool empty;

        pal_progress_phase(p, 0, 1000);
        pal_progress_at(p, 400);
        pal_progress_add(p, 100);
        empty = !*shown();
        if (now() - began < 1) {
            assert_true(empty);
            return p;
        }
        pal_progress_end(p, true);
        assert_int_equal(ftruncate(STDERR_FILENO, 0), 0);
    }
    fail();
    return NULL;
}

static void test_bar(void **state)
{
    struct pal_progress *p;

    (void)state;
    assert_true(pal_progress_choose("bar"));
    p = begin_quickly();
    assert_true(wait_shown("\rcreate web: memory"));
    assert_true(wait_shown(" 38%")); /* half of three quarters */
    pal_progress_phase(p, 1, 0);
    assert_true(wait_shown("\rcreate web: devices"));
    assert_true(wait_shown(" 75%"));
    pal_progress_end(p, true);
    assert_string_equal(strrchr(shown(), '\r'), "\r"); /* and nothing is left */
}

static uint64_t asked(void *data)
{
    return *(uint64_t *)data;
}

static bool is_event(const json_t *line, const char *event)
{
    return !strcmp(json_string_value(json_object_get(line, "event")), event);
}

/* The last that is there to its end; but "progress" comes at any time, also behind a "phase". NULL: none. */
static json_t *last_line(const char *event)
{
    char *text = strdup(shown()), *end;
    json_t *o = NULL;

    while (!o && (end = strrchr(text, '\n'))) {
        char *before;

        *end = '\0';
        before = strrchr(text, '\n');
        o = json_loads(before ? before + 1 : text, 0, NULL);
        assert_non_null(o);
        if (!strcmp(event, "phase") && is_event(o, "progress")) {
            json_decref(o);
            o = NULL;
        }
    }
    free(text);
    return o;
}

static double percent_of(const json_t *line)
{
    return line ? json_real_value(json_object_get(line, "percent")) : -1;
}

/* Until a whole line says that, ten seconds at most. */
static bool wait_progress(double percent)
{
    bool said = false;

    for (unsigned i = 0; i < 1000 && !said; i++) {
        json_t *o = last_line("progress");

        said = percent_of(o) == percent;
        json_decref(o);
        if (!said)
            nanosleep(&(struct timespec){0, 10000000}, NULL);
    }
    return said;
}

static void check_last(const char *event, const char *phase, double percent)
{
    json_t *o = last_line(event);

    assert_non_null(o);
    assert_int_equal(json_integer_value(json_object_get(o, "version")), 1);
    assert_true(is_event(o, event));
    assert_string_equal(json_string_value(json_object_get(o, "verb")), "create");
    assert_string_equal(json_string_value(json_object_get(o, "name")), "web");
    assert_string_equal(json_string_value(json_object_get(o, "phase")), phase);
    assert_true(json_is_real(json_object_get(o, "percent")) && percent_of(o) == percent);
    json_decref(o);
}

static void test_json(void **state)
{
    uint64_t done = 1 << 20;
    struct pal_progress *p;

    (void)state;
    assert_true(pal_progress_choose("json"));
    p = pal_progress_begin("create", "web", phases, 2);
    pal_progress_phase(p, 0, 2 << 20);
    check_last("phase", "memory", 0);
    pal_progress_ask(p, asked, &done);
    assert_true(wait_progress(37.5));
    check_last("progress", "memory", 37.5);
    pal_progress_phase(p, 1, 0);
    check_last("phase", "devices", 75);
    pal_progress_end(p, false);
    check_last("failed", "devices", 75);
    p = pal_progress_begin("create", "web", phases, 2);
    pal_progress_end(p, true);
    check_last("done", "memory", 100);
}

static void test_none(void **state)
{
    struct pal_progress *p;

    (void)state;
    assert_false(pal_progress_choose("colourful"));
    assert_true(pal_progress_choose("auto")); /* standard error is a file */
    p = pal_progress_begin("create", "web", phases, 2);
    assert_null(p);
    pal_progress_phase(p, 0, 1);
    pal_progress_add(p, 1);
    pal_progress_at(p, 1);
    pal_progress_ask(p, asked, NULL);
    pal_progress_end(p, true);
    assert_string_equal(shown(), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_line),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test_setup_teardown(test_bar, take_stderr, give_stderr),
        cmocka_unit_test_setup_teardown(test_json, take_stderr, give_stderr),
        cmocka_unit_test_setup_teardown(test_none, take_stderr, give_stderr),
    };
    int fd = mkstemp(path);

    if (fd < 0)
        return 1;
    close(fd);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
