/* SPDX-License-Identifier: MIT */
/* All verbs, one a file. */
#ifndef PAL_VERBS_H
#define PAL_VERBS_H

extern const struct verb verb_attach;
extern const struct verb verb_balloon;
extern const struct verb verb_completion;
extern const struct verb verb_console;
extern const struct verb verb_create;
extern const struct verb verb_destroy;
extern const struct verb verb_detach;
extern const struct verb verb_devices;
extern const struct verb verb_disk;
extern const struct verb verb_dmesg;
extern const struct verb verb_doctor;
extern const struct verb verb_guard;
extern const struct verb verb_help;
extern const struct verb verb_image;
extern const struct verb verb_info;
extern const struct verb verb_list;
extern const struct verb verb_logs;
extern const struct verb verb_mem;
extern const struct verb verb_pause;
extern const struct verb verb_reboot;
extern const struct verb verb_region;
extern const struct verb verb_cache;
extern const struct verb verb_rename;
extern const struct verb verb_restore;
extern const struct verb verb_run;
extern const struct verb verb_save;
extern const struct verb verb_schema;
extern const struct verb verb_set;
extern const struct verb verb_shutdown;
extern const struct verb verb_top;
extern const struct verb verb_unpause;
extern const struct verb verb_watch;

#endif
