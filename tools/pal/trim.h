/* SPDX-License-Identifier: MIT */
#ifndef PAL_TRIM_H
#define PAL_TRIM_H

#define LOG_DIRECTORY "/var/log/xen/console" /* where xenconsoled writes what guests print */

/*
 * Cut the consoles' logs that have grown over TRIM_MOST bytes to their last TRIM_KEEP: a guest may print for ever, and xenconsoled
 * writes it all. It appends to its files, so they can be cut under its hands; what comes while a file is being
 * cut may be lost. To be called every TRIM_MS milliseconds.
 */
#define TRIM_MOST (4l << 20)
#define TRIM_KEEP (1l << 20)
#define TRIM_MS   2000
void trim_logs(const char *directory);

#endif
