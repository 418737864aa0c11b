/* SPDX-License-Identifier: MIT */
/*
 * The hypervisor's log: to the console and its ring, each line with a time stamp. log_guest is for
 * what a guest can provoke: rate-limited (10 lines, then 2 a second), prefixed with "(dN)".
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/types.h"

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

void log_at(enum log_level level, const char *fmt, ...) __printf(2, 3);
void log_guest(unsigned domid, const char *fmt, ...) __printf(2, 3);

#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_WARNING, __VA_ARGS__)
#define log_info(...)  log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)

/* Log a fatal error with registers and backtrace, then stop or reboot. */
__noreturn void panic(const char *fmt, ...) __printf(1, 2);

#endif
