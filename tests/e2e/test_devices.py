# SPDX-License-Identifier: MIT
"""Devices of domains: the way out through NAT, hot attach and detach, guards against forged addresses, refusals."""

import contextlib
import http.server
import threading

import pytest

from qemu import Qemu
from test_domains import Control, domain0, domains_image, machine  # noqa: F401 (a fixture)


@contextlib.contextmanager
def web_server(content):
    """A server on this host that QEMU's user network shows as 10.0.2.2; yields its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def test_network(directory):
    """pal-network: complete, may be repeated, and leaves nothing when it is taken down."""
    with Qemu(machine(devices=("-nic", "user,model=virtio-net-pci")), directory) as qemu:
        control = domain0(qemu)
        control.run("pal-network status")
        rules = control.run("nft list ruleset")
        assert "masquerade" in rules and "10.99.0.0/24" in rules
        control.run("pal-network up && pal-network up")
        assert control.run("nft list ruleset") == rules
        assert control.run("cat /proc/sys/net/ipv4/ip_forward").split() == ["1"]
        control.run("pal-network down")
        assert control.run("nft list ruleset").strip() == ""
        assert control.run("cat /proc/sys/net/ipv4/ip_forward").split() == ["0"]
        control.run("ls /sys/class/net/palbr0", status=1)
        control.run("pal-network status", status=1)
        control.run("pal-network down")
        # A bridge of somebody else is used, and stays.
        control.run("ip link add palbr0 type bridge && pal-network up && pal-network down && ls /sys/class/net/palbr0")
        control.run("ip addr show dev palbr0 | grep -q 10.99", status=1)
        control.run("PAL_NETWORK_CONFIG=/tmp/c; export PAL_NETWORK_CONFIG; echo ADDRESS=10.99.0.300/24 >/tmp/c")
        assert "do:" in control.run("pal-network up", status=1)
        qemu.check_log()
