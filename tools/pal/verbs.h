/* SPDX-License-Identifier: MIT */
/* All verbs, one a file. */
#ifndef PAL_VERBS_H
#define PAL_VERBS_H

extern const struct verb verb_create, verb_list, verb_info, verb_console, verb_logs, verb_pause,
    verb_unpause, verb_shutdown, verb_reboot, verb_destroy, verb_rename, verb_set, verb_top,
    verb_dmesg, verb_doctor, verb_schema, verb_save, verb_restore, verb_image, verb_run, verb_watch,
    verb_completion, verb_help;

#endif
