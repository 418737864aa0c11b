/* SPDX-License-Identifier: MIT */
/*
 * A network card passes traffic both ways. The interface gets its address by DHCP from QEMU's user
 * network; a stream of bytes goes to 10.0.2.100:7, where QEMU runs cat(1), and must come back
 * unchanged; a file of known content comes by TFTP. pal.driver=NAME says which driver the card must
 * have.
 */
#include "check.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { STREAM = 1 << 20, CHUNK = 16384, STALL_MS = 20000 };

static int run(const char *command)
{
    int status = system(command);

    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* The first Ethernet interface, waited for; an empty name if there is none. */
static void find_card(char *name, size_t size)
{
    name[0] = '\0';
    for (int tries = 0; tries < 200 && !name[0]; tries++) {
        DIR *directory = opendir("/sys/class/net");
        struct dirent *entry;

        while (directory && (entry = readdir(directory))) {
            if (entry->d_name[0] == 'e')
                snprintf(name, size, "%s", entry->d_name);
        }
        if (directory)
            closedir(directory);
        if (!name[0])
            usleep(50000);
    }
}

static void check_driver(const char *card)
{
    char wanted[32], path[320], target[320] = "";
    ssize_t length;

    snprintf(path, sizeof(path), "/sys/class/net/%s/device/driver", card);
    length = readlink(path, target, sizeof(target) - 1);
    target[length < 0 ? 0 : length] = '\0';
    if (check_option("pal.driver", wanted, sizeof(wanted)))
        check("driver", strcmp(strrchr(target, '/') ? strrchr(target, '/') + 1 : "", wanted) == 0,
              "%s, wanted %s", target, wanted);
}

/* Sends and receives at once, or both ends would fill up and wait for each other; bytes that came
 * back right. */
static size_t echo(int fd)
{
    static unsigned char out[STREAM], in[STREAM];
    uint64_t seed = 42;
    size_t sent = 0, got = 0;

    for (size_t i = 0; i < STREAM / 8; i++)
        ((uint64_t *)(void *)out)[i] = check_random(&seed);
    while (got < STREAM) {
        struct pollfd want = {.fd = fd, .events = (short)(POLLIN | (sent < STREAM ? POLLOUT : 0))};
        ssize_t count;

        if (poll(&want, 1, STALL_MS) != 1)
            break;
        if (want.revents & POLLOUT) {
            count = send(fd, out + sent, STREAM - sent < CHUNK ? STREAM - sent : CHUNK,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
            sent += count > 0 ? (size_t)count : 0;
        }
        if (want.revents & (POLLIN | POLLHUP | POLLERR)) {
            count = recv(fd, in + got, STREAM - got, MSG_DONTWAIT);
            if (count == 0 || (count < 0 && errno != EAGAIN))
                break;
            got += count > 0 ? (size_t)count : 0;
        }
    }
    return got == STREAM && memcmp(in, out, STREAM) == 0 ? got : 0;
}

static void check_stream(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(7)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    uint64_t start = check_now_ns();
    size_t good = 0;
    int ok;

    inet_pton(AF_INET, "10.0.2.100", &address.sin_addr);
    ok = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
    if (check("connect", ok, "%s", check_errno(ok)))
        good = echo(fd);
    close(fd);
    check("stream", good == STREAM, "%zu of %d bytes came back right, %llu ms", good, STREAM,
          (unsigned long long)(check_now_ns() - start) / 1000000);
}

int main(void)
{
    char card[256], command[300];

    find_card(card, sizeof(card));
    if (!check("card", card[0], "interface %s", card[0] ? card : "missing"))
        return check_status();
    check_driver(card);
    snprintf(command, sizeof(command), "network-up %s", card);
    if (!check("dhcp", run(command), "%s", card))
        return check_status();
    check("ping", run("ping -c 3 -W 5 10.0.2.2 >/dev/null"), "the gateway answers");
    check("ping-large", run("ping -c 3 -W 5 -s 1400 10.0.2.2 >/dev/null"), "1400 bytes");
    check_stream();
    check("tftp",
          run("cd /tmp && tftp -g -r payload 10.0.2.2 && tftp -g -r payload.md5 10.0.2.2 && md5sum "
              "-c payload.md5 "
              ">/dev/null"),
          "a file with its checksum");
    return check_status();
}
