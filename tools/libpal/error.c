/* SPDX-License-Identifier: MIT */
#include "libpal/error.h"
#include "libpal/terminal.h"

#include <stdarg.h>
#include <string.h>

static const struct {
    const char *name;
    enum pal_exit status;
    const char *remedy;
} codes[PAL_CODES] = {
    [PAL_OK] = {"PAL-OK", PAL_EXIT_OK, ""},
    [PAL_USE_ARGUMENTS] = {"PAL-USE-001", PAL_EXIT_USAGE, "see `pal VERB --help`"},
    [PAL_USE_VERB] = {"PAL-USE-002", PAL_EXIT_USAGE, "`pal help` lists the verbs"},
    [PAL_HV_ABSENT] = {"PAL-HV-001", PAL_EXIT_NO_ACCESS,
                       "run it as root in domain 0; `pal doctor` says what is missing"},
    [PAL_HV_REFUSED] = {"PAL-HV-002", PAL_EXIT_FAILURE, "`pal dmesg` may tell more"},
    [PAL_HV_VERSION] = {"PAL-HV-003", PAL_EXIT_NO_ACCESS,
                        "use the tools that came with the running hypervisor"},
    [PAL_DOM_UNKNOWN] = {"PAL-DOM-001", PAL_EXIT_NO_DOMAIN,
                         "`pal list` shows the domains there are"},
    [PAL_DOM_NAME_TAKEN] = {"PAL-DOM-002", PAL_EXIT_WRONG_STATE,
                            "choose another name, or end the other domain: `pal shutdown NAME`"},
    [PAL_DOM_STATE] = {"PAL-DOM-003", PAL_EXIT_WRONG_STATE, "`pal info NAME` shows its state"},
    [PAL_DOM_CONTROL] = {"PAL-DOM-004", PAL_EXIT_WRONG_STATE,
                         "name another one; domain 0 is ended by `poweroff` or `reboot` in it"},
    [PAL_DOM_TIMEOUT] = {"PAL-DOM-005", PAL_EXIT_TIMEOUT,
                         "wait longer (--timeout), or end it at once: `pal destroy NAME`"},
    [PAL_DOM_IGNORES] = {"PAL-DOM-006", PAL_EXIT_WRONG_STATE,
                         "it may still be booting; `pal console NAME` shows what it does"},
    [PAL_MEM_HOST] = {"PAL-MEM-001", PAL_EXIT_NO_MEMORY,
                      "end a domain, or give this one less <memory>"},
    [PAL_MEM_GUEST] = {"PAL-MEM-003", PAL_EXIT_NO_MEMORY, "give it more <memory>"},
    [PAL_MEM_RANGE] = {"PAL-MEM-004", PAL_EXIT_USAGE, "`pal mem` shows minimum and maximum"},
    [PAL_MEM_FLOOR] = {"PAL-MEM-005", PAL_EXIT_FAILURE,
                       "end programs in it, or be content with what was reached"},
    [PAL_MEM_SILENT] = {"PAL-MEM-006", PAL_EXIT_TIMEOUT,
                        "does its kernel have the balloon driver, and is it not still booting?"},
    [PAL_MEM_LATE] = {"PAL-MEM-007", PAL_EXIT_TIMEOUT,
                      "it still moves; `pal mem` shows how far, --deadline gives it longer"},
    [PAL_MEM_ENDED] = {"PAL-MEM-008", PAL_EXIT_WRONG_STATE, "`pal logs NAME` may tell why"},
    [PAL_MEM_UNGOVERNED] =
        {"PAL-MEM-009", PAL_EXIT_WRONG_STATE,
         "is pal-balloond running and enabled, and has its file a <pal:minimum>?"},
    [PAL_IMG_UNREADABLE] = {"PAL-IMG-001", PAL_EXIT_FAILURE, "check the path and its permissions"},
    [PAL_IMG_DAMAGED] = {"PAL-IMG-002", PAL_EXIT_FAILURE, "get the file anew; check its size"},
    [PAL_IMG_NOT_PV] = {"PAL-IMG-003", PAL_EXIT_FAILURE,
                        "use a kernel with CONFIG_XEN_PV, such as Debian's vmlinuz"},
    [PAL_IMG_INITRD] = {"PAL-IMG-004", PAL_EXIT_FAILURE, "check the path in <initrd>"},
    [PAL_XML_FILE] = {"PAL-XML-004", PAL_EXIT_FAILURE, "give the path of a domain's XML file"},
    [PAL_XML_SYNTAX] = {"PAL-XML-001", PAL_EXIT_FAILURE, "mend the file; `xmllint FILE` helps"},
    [PAL_XML_SCHEMA] = {"PAL-XML-002", PAL_EXIT_FAILURE, "`pal schema` prints what is understood"},
    [PAL_XML_VALUE] = {"PAL-XML-003", PAL_EXIT_FAILURE, "pal.xml(5) describes the values"},
    [PAL_STORE_ABSENT] = {"PAL-STO-001", PAL_EXIT_NO_ACCESS, "start xenstored; see `pal doctor`"},
    [PAL_STORE_REFUSED] = {"PAL-STO-002", PAL_EXIT_FAILURE, "see the log of xenstored"},
    [PAL_CON_ABSENT] = {"PAL-CON-001", PAL_EXIT_FAILURE, "start xenconsoled; see `pal doctor`"},
    [PAL_CON_DAEMON] = {"PAL-CON-002", PAL_EXIT_NO_ACCESS, "start xenconsoled; see `pal doctor`"},
    [PAL_DEV_SOURCE] = {"PAL-DEV-001", PAL_EXIT_FAILURE, "check the device's source in the file"},
    [PAL_DEV_BACKEND] = {"PAL-DEV-002", PAL_EXIT_FAILURE,
                         "is the backend's module loaded? `pal doctor` looks"},
    [PAL_DEV_TAKEN] = {"PAL-DEV-003", PAL_EXIT_WRONG_STATE,
                       "choose another; `pal devices NAME` shows what it has"},
    [PAL_DEV_UNKNOWN] = {"PAL-DEV-004", PAL_EXIT_FAILURE, "`pal devices NAME` shows what it has"},
    [PAL_DEV_IN_USE] = {"PAL-DEV-005", PAL_EXIT_WRONG_STATE,
                        "end or detach what uses it; several may use one only if all just read"},
    [PAL_DEV_REFUSED] = {"PAL-DEV-006", PAL_EXIT_FAILURE,
                         "`pal console NAME` may show what its kernel says"},
    [PAL_DEV_TIMEOUT] = {"PAL-DEV-007", PAL_EXIT_TIMEOUT,
                         "it may still be booting; `pal console NAME` shows what it does"},
    [PAL_DEV_GUARD] = {"PAL-DEV-008", PAL_EXIT_FAILURE,
                       "install the package nftables; the kernel needs its module nf_tables"},
    [PAL_DEV_DAEMON] = {"PAL-DEV-009", PAL_EXIT_NO_ACCESS,
                        "start it: `systemctl start pal-blkd`; or let the kernel serve the disk: "
                        "<driver name='phy'/>"},
    [PAL_DISK_FILE] = {"PAL-DSK-001", PAL_EXIT_FAILURE,
                       "check path and permissions, and whether there is room"},
    [PAL_DISK_DAMAGED] = {"PAL-DSK-002", PAL_EXIT_FAILURE,
                          "take a copy of it that is sound; its base is not touched by this"},
    [PAL_DISK_BASE] = {"PAL-DSK-003", PAL_EXIT_FAILURE,
                       "bring the base back as it was, or see `pal disk rebase` in pal(1)"},
    [PAL_DISK_SIZE] = {"PAL-DSK-004", PAL_EXIT_FAILURE, "`pal disk info FILE` shows its size"},
    [PAL_SAVE_WRITE] = {"PAL-SAV-001", PAL_EXIT_FAILURE,
                        "nothing was left behind; make room, or name another place"},
    [PAL_SAVE_STOPPED] = {"PAL-SAV-002", PAL_EXIT_FAILURE, "run it again when you wish"},
    [PAL_SAVE_DAMAGED] = {"PAL-SAV-003", PAL_EXIT_FAILURE,
                          "get the image anew; `pal image verify FILE` checks one"},
    [PAL_SAVE_VERSION] = {"PAL-SAV-004", PAL_EXIT_FAILURE,
                          "use the tools that the image was made with, or newer ones"},
    [PAL_SAVE_UNREADABLE] = {"PAL-SAV-005", PAL_EXIT_FAILURE, "check the path and its permissions"},
    [PAL_SAVE_GUEST] = {"PAL-SAV-006", PAL_EXIT_FAILURE,
                        "its kernel does not keep to the interface: it cannot be saved as it is"},
    [PAL_SAVE_MACHINE] = {"PAL-SAV-007", PAL_EXIT_FAILURE,
                          "restore it on a machine with the same kind of processor"},
    [PAL_REG_UNKNOWN] = {"PAL-REG-001", PAL_EXIT_FAILURE,
                         "`pal region list` shows the regions there are"},
    [PAL_REG_EXISTS] = {"PAL-REG-002", PAL_EXIT_WRONG_STATE,
                        "choose another name, or destroy the other one: `pal region destroy NAME`"},
    [PAL_REG_MEMBER] = {"PAL-REG-003", PAL_EXIT_WRONG_STATE,
                        "`pal region info NAME` shows who is on its list"},
    [PAL_REG_FULL] = {"PAL-REG-004", PAL_EXIT_FAILURE, "take one away that is not needed"},
    [PAL_REG_MAPPED] = {"PAL-REG-005", PAL_EXIT_WRONG_STATE,
                        "let it go of them first (--detach), or end the program that uses them"},
    [PAL_SYS_FAILED] = {"PAL-SYS-001", PAL_EXIT_FAILURE, "see the reason above"},
    [PAL_SYS_INTERRUPTED] = {"PAL-SYS-002", PAL_EXIT_FAILURE,
                             "what was begun has been undone; call it again"},
};

int pal_fail(struct pal_error *e, enum pal_code code, const char *why, ...)
{
    va_list args;

    if (e->code != PAL_OK)
        return -1;
    e->code = code;
    va_start(args, why);
    vsnprintf(e->why, sizeof(e->why), why, args);
    va_end(args);
    return -1;
}

int pal_remedy(struct pal_error *e, const char *remedy, ...)
{
    va_list args;

    va_start(args, remedy);
    if (!e->remedy[0])
        vsnprintf(e->remedy, sizeof(e->remedy), remedy, args);
    va_end(args);
    return -1;
}

int pal_failed_to(struct pal_error *e, const char *what, ...)
{
    va_list args;

    va_start(args, what);
    if (!e->what[0])
        vsnprintf(e->what, sizeof(e->what), what, args);
    va_end(args);
    return -1;
}

const char *pal_code_name(enum pal_code code)
{
    return codes[code].name;
}

int pal_code_exit(enum pal_code code)
{
    return codes[code].status;
}

const char *pal_error_remedy(const struct pal_error *e)
{
    return e->remedy[0] ? e->remedy : codes[e->code].remedy;
}

static void print_text(FILE *out, const char *text)
{
    for (; *text; text++)
        putc((unsigned char)*text < ' ' || *text == 127 ? '?' : *text, out);
}

void pal_error_print(const struct pal_error *e, FILE *out)
{
    fprintf(out, "%spal:%s ", pal_terminal_colour(out, PAL_RED),
            pal_terminal_colour(out, PAL_PLAIN));
    print_text(out, e->what[0] ? e->what : "it failed");
    fputs("\n  why: ", out);
    print_text(out, e->why);
    fputs("\n  do:  ", out);
    print_text(out, pal_error_remedy(e));
    fprintf(out, "  [%s]\n", pal_code_name(e->code));
}
