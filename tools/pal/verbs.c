/* SPDX-License-Identifier: MIT */
#include "verb.h"
#include "verbs.h"

/* In the order of `pal help`, one a line. */
/* clang-format off */
const struct verb *const verbs[] = {
    &verb_create,
    &verb_run,
    &verb_list,
    &verb_info,
    &verb_console,
    &verb_logs,
    &verb_pause,
    &verb_unpause,
    &verb_shutdown,
    &verb_reboot,
    &verb_destroy,
    &verb_save,
    &verb_restore,
    &verb_image,
    &verb_attach,
    &verb_detach,
    &verb_devices,
    &verb_disk,
    &verb_guard,
    &verb_rename,
    &verb_set,
    &verb_balloon,
    &verb_mem,
    &verb_region,
    &verb_cache,
    &verb_top,
    &verb_dmesg,
    &verb_doctor,
    &verb_schema,
    &verb_watch,
    &verb_completion,
    &verb_help,
    NULL,
};
