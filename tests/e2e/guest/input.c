/* SPDX-License-Identifier: MIT */
/*
 * Keys typed on a USB keyboard arrive. The check says PAL-INPUT-READY when it listens; whoever runs
 * QEMU then types p, a, l, and repeats until the check has seen them in this order on a device of
 * the USB bus.
 */
#include "check.h"
#include <dirent.h>
#include <linux/input.h>
#include <poll.h>
#include <sys/ioctl.h>

enum { MAX_DEVICES = 32, WAIT_MS = 30000, DEADLINE_MS = 60000 };

static struct pollfd devices[MAX_DEVICES];
static int device_count;

/* Opens every keyboard that is on the USB bus. */
static int open_keyboards(void)
{
    DIR *directory = opendir("/dev/input");
    struct dirent *entry;

    device_count = 0;
    while (directory && (entry = readdir(directory)) && device_count < MAX_DEVICES) {
        unsigned char keys[KEY_MAX / 8 + 1] = {0};
        struct input_id id;
        char path[300];
        int fd;

        if (strncmp(entry->d_name, "event", 5) != 0)
            continue;
        snprintf(path, sizeof(path), "/dev/input/%s", entry->d_name);
        fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
            continue;
        if (ioctl(fd, EVIOCGID, &id) == 0 && id.bustype == BUS_USB &&
            ioctl(fd, EVIOCGBIT(EV_KEY, sizeof(keys)), keys) >= 0 &&
            (keys[KEY_P / 8] >> (KEY_P % 8) & 1))
            devices[device_count++] = (struct pollfd){.fd = fd, .events = POLLIN};
        else
            close(fd);
    }
    if (directory)
        closedir(directory);
    return device_count;
}

/* Reads until the three keys have been pressed one after the other; how many were. */
static int wait_for_keys(void)
{
    static const int wanted[] = {KEY_P, KEY_A, KEY_L};
    uint64_t deadline = check_now_ns() + (uint64_t)DEADLINE_MS * 1000000;
    int at = 0;

    while (at < 3 && check_now_ns() < deadline) {
        poll(devices, (nfds_t)device_count, 500);
        for (int i = 0; i < device_count; i++) {
            struct input_event event;

            while (at < 3 && read(devices[i].fd, &event, sizeof(event)) == sizeof(event)) {
                if (event.type != EV_KEY || event.value != 1)
                    continue;
                at = event.code == wanted[at] ? at + 1 : event.code == wanted[0] ? 1 : 0;
            }
        }
    }
    return at;
}

int main(void)
{
    int keys;

    for (int waited = 0; waited < WAIT_MS && !open_keyboards(); waited += 100)
        usleep(100000);
    if (!check("keyboard", device_count > 0, "%d USB keyboards", device_count))
        return check_status();
    printf("PAL-INPUT-READY\n");
    fflush(stdout);
    keys = wait_for_keys();
    check("keys", keys == 3, "%d of 3 keys", keys);
    return check_status();
}
