# SPDX-License-Identifier: MIT
"""Files of a test's own over the images: static programs, descriptions of domains, an image for guests inside of domain 0's."""

import contextlib
import gzip
import pathlib
import subprocess
import sys
import tempfile

import qemu as q

sys.path.insert(0, str(q.TOP / "tools/dom0-image"))
from mkinitrd import Cpio, write_atomically  # noqa: E402

GUEST_INITRD = q.BUILD / "dom0" / "guest-initrd.gz"
DOMAINS_INITRD = q.BUILD / "dom0" / "initrd-domains-6.1.gz"
FLAGS = ("-std=gnu11", "-D_GNU_SOURCE=", "-D__XEN_TOOLS__", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-pthread",
         *(f"-I{q.TOP / root}" for root in ("hv/include", "save-restore/include", "tools")))


def compile_program(source, target, *more):
    """A static program for an image, or for this host."""
    subprocess.run(["gcc", *FLAGS, "-o", target, q.TOP / source, *more], check=True)


def program(path, source, *more):
    """The same as a file of add_archive()."""
    with tempfile.TemporaryDirectory() as directory:
        target = pathlib.Path(directory) / "program"
        compile_program(source, target, *more)
        return path, target.read_bytes(), 0o755


def described(domains):
    """Descriptions by name, as files of add_archive()."""
    return [(f"guest/{name}.xml", xml, 0o644) for name, xml in domains.items()]


def add_archive(base, out, files):
    """A copy of an initial RAM disk with more files, (path, bytes, mode): the kernel unpacks one archive after the other."""
    more = Cpio()
    for path, data, mode in files:
        more.file(path, data, mode)
    write_atomically(out, base.read_bytes() + gzip.compress(more.bytes(), 1, mtime=0))


@contextlib.contextmanager
def domains_with(files, guest_files=(), guest_image=""):
    """Domain 0's image with files and, as /guest/GUEST_IMAGE, guests' image with files of theirs; it goes with the context."""
    parent = q.BUILD / "e2e"
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".layer-", dir=parent) as directory:
        own, inner = (pathlib.Path(directory) / name for name in ("initrd.gz", "guest.gz"))
        files = list(files)
        if guest_image:
            add_archive(GUEST_INITRD, inner, guest_files)
            files.append((f"guest/{guest_image}", inner.read_bytes(), 0o644))
        add_archive(DOMAINS_INITRD, own, files)
        yield own
