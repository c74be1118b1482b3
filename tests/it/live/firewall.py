"""Sends real packets through a ruleset, in namespaces of its own, and says which of them went astray.

Run as `unshare -Urnm python3 firewall.py RULES...`: each argument is a file for `nft -f` (`-j` when it ends in .json).
One process holds the sockets of all namespaces: it enters a namespace only to open a socket there.
"""

import ctypes
import os
import select
import socket
import struct
import subprocess
import sys
import time

LIBC = ctypes.CDLL(None, use_errno=True)
HOST = os.open("/proc/self/ns/net", os.O_RDONLY)

# Container, bridge, last byte of its address.
BRIDGES = {
    "br-front": ("172.25.0", "fd00:25:"),
    "br-back": ("10.7.0", "fd00:7:"),
    "br-inner": ("10.8.0", "fd00:8:"),
    "br-open": ("10.9.0", "fd00:9:"),
    "br-lan": ("10.10.0", "fd00:10:"),
}
CONTAINERS = {
    "web": ("br-front", 3),
    "app": ("br-front", 4),
    "db": ("br-back", 3),
    "cache": ("br-back", 4),
    "spare": ("br-back", 5),
    "vault": ("br-inner", 3),
    "safe": ("br-inner", 4),
    "pub": ("br-open", 3),
    "guest": ("br-lan", 3),
    "pal": ("br-lan", 4),
}


def v4(name):
    bridge, last = CONTAINERS[name]
    return f"{BRIDGES[bridge][0]}.{last}"


def v6(name):
    bridge, last = CONTAINERS[name]
    return f"{BRIDGES[bridge][1]}:{last}"


def enter(name):
    fd = HOST if name == "host" else os.open(f"/run/netns/{name}", os.O_RDONLY)
    if LIBC.setns(fd, 0x40000000):
        raise OSError(ctypes.get_errno(), f"cannot enter {name}")
    if name != "host":
        os.close(fd)


def sysctl(key, value):
    try:
        with open(f"/proc/sys/net/{key}", "w") as file:
            file.write(str(value))
    except FileNotFoundError:
        if "bridge" not in key:
            raise


def run(*command, text=None):
    done = subprocess.run(command, input=text, text=True, capture_output=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr}")


def build():
    run("mount", "-t", "tmpfs", "tmpfs", "/run")
    spaces = [*CONTAINERS, "remote", "far"]
    for name in spaces:
        run("ip", "netns", "add", name)
    for name in ["host", *spaces]:
        enter(name)
        sysctl("ipv6/conf/default/accept_dad", 0)
        sysctl("ipv6/conf/all/accept_dad", 0)
        run("ip", "link", "set", "lo", "up")
    enter("host")
    for key in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"]:
        sysctl(key, 1)
    batch = []
    for bridge, (four, six) in BRIDGES.items():
        batch += [
            f"link add {bridge} type bridge mcast_snooping 0",
            f"link set {bridge} up",
            f"address add {four}.1/24 dev {bridge}",
            f"address add {six}:1/64 dev {bridge} nodad",
        ]
    for name, (bridge, _) in CONTAINERS.items():
        batch += [
            f"link add v-{name} type veth peer name eth0 netns {name}",
            f"link set v-{name} master {bridge} up",
        ]
    for link, name, four, six in [("up0", "remote", "192.0.2.1", "2001:db8::1"), ("far0", "far", "203.0.113.1", "2001:db8:1::1")]:
        batch += [
            f"link add {link} type veth peer name eth0 netns {name}",
            f"link set {link} up",
            f"address add {four}/24 dev {link}",
            f"address add {six}/64 dev {link} nodad",
        ]
    batch += ["address add 192.0.2.77/24 dev up0", "address add 2001:db8::77/64 dev up0 nodad preferred_lft 0"]
    run("ip", "-batch", "-", text="\n".join(batch))
    for bridge in ["br-front", "br-back"]:
        sysctl(f"ipv4/conf/{bridge}/route_localnet", 1)
    for name, (bridge, last) in CONTAINERS.items():
        four, six = BRIDGES[bridge]
        inside(name, [(f"{four}.{last}/24", f"{six}:{last}/64")], f"{four}.1", f"{six}:1")
    inside("remote", [("192.0.2.2/24", "2001:db8::2/64"), ("192.0.2.3/24", "2001:db8::3/64")], "192.0.2.1", "2001:db8::1")
    inside("far", [("203.0.113.9/24", "2001:db8:1::9/64")], "203.0.113.1", "2001:db8:1::1")
    # The neighbour and a hostile container believe that 127/8 is behind the host.
    for name, gateway in [("remote", "192.0.2.1"), ("app", "172.25.0.1")]:
        enter(name)
        for conf in ["all", "eth0"]:
            sysctl(f"ipv4/conf/{conf}/route_localnet", 1)
        run("ip", "-batch", "-", text=f"""route del local 127.0.0.0/8 dev lo table local
route del local 127.0.0.1 dev lo table local
route add 127.0.0.0/8 via {gateway} src {"192.0.2.2" if name == "remote" else "172.25.0.4"}""")


def inside(name, addresses, four, six):
    enter(name)
    batch = ["link set eth0 up"]
    for a, b in addresses:
        batch += [f"address add {a} dev eth0", f"address add {b} dev eth0 nodad {'preferred_lft 0' if '::3/' in b and name == 'remote' else ''}"]
    batch += [f"route add default via {four}", f"route add default via {six}"]
    run("ip", "-batch", "-", text="\n".join(batch))
    enter("host")


class Servers:
    """Answers on many ports in many namespaces with who it is and whom it sees."""

    def __init__(self):
        self.poll = select.epoll()
        # The marks of the datagrams that came in: one that is heard has got through, even if its answer has not.
        self.heard = set()
        self.sockets = {}
        ports = [80, 100, 102, 5432, 7000, 8080, 8090, 9000, 9010, 9203]
        for name in [*CONTAINERS, "remote", "far"]:
            enter(name)
            for port in ports:
                self.listen(name, socket.SOCK_STREAM, "::", port)
            self.listen(name, socket.SOCK_DGRAM, "::", 53)
        enter("host")
        for port in [7000, 8080, 8090]:
            self.listen("host", socket.SOCK_STREAM, "::", port)
        self.listen("host", socket.SOCK_STREAM, "127.0.0.1", 7777)
        self.listen("host", socket.SOCK_DGRAM, "127.0.0.1", 7778)

    def listen(self, name, kind, address, port):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = socket.socket(family, kind)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        sock.setblocking(False)
        if kind == socket.SOCK_STREAM:
            sock.listen(64)
        self.sockets[sock.fileno()] = (sock, f"{name}:{port}", kind)
        self.poll.register(sock.fileno(), select.EPOLLIN)

    def answer(self, timeout):
        for fd, _ in self.poll.poll(timeout):
            sock, who, kind = self.sockets[fd]
            try:
                if kind == socket.SOCK_STREAM:
                    conn, peer = sock.accept()
                    conn.send(f"{who} sees {plain(peer[0])}".encode())
                    conn.close()
                else:
                    mark, peer = sock.recvfrom(100)
                    self.heard.add(mark)
                    sock.sendto(f"{who} sees {plain(peer[0])}".encode(), peer)
            except (BlockingIOError, OSError):
                pass


def plain(address):
    return address.removeprefix("::ffff:").split("%")[0]


class Attempt:
    """One connection or datagram from a namespace, with what is expected of it."""

    def __init__(self, row):
        self.src, self.proto, self.dst, self.port, self.want = row[:5]
        self.bind = row[5] if len(row) > 5 else None
        self.mark = os.urandom(8)
        self.got = None
        self.sock = None

    def start(self):
        family = socket.AF_INET6 if ":" in self.dst else socket.AF_INET
        kind = socket.SOCK_STREAM if self.proto == "tcp" else socket.SOCK_DGRAM
        enter(self.src)
        self.sock = socket.socket(family, kind)
        enter("host")
        self.sock.setblocking(False)
        if self.bind:
            address, _, port = self.bind.partition("#")
            self.sock.bind((address, int(port or 0)))
        try:
            self.sock.connect((self.dst, self.port))
        except BlockingIOError:
            pass
        except OSError as error:
            self.got = f"refused: {error}"
            return
        if kind == socket.SOCK_DGRAM:
            self.say()

    def say(self):
        try:
            self.sock.send(self.mark)
        except OSError as error:
            # The answer to the datagram before.
            self.got = self.got or f"refused: {error}"

    def look(self):
        if self.got is None:
            try:
                data = self.sock.recv(200)
                if data:
                    self.got = data.decode()
            except BlockingIOError:
                pass
            except OSError as error:
                if error.errno != 107:
                    self.got = f"refused: {error}"

    def reached(self):
        return self.got is not None and not self.got.startswith("refused")

    def fits(self):
        if self.want is None:
            return not self.reached()
        if self.want == "refused":
            return self.got is not None and not self.reached()
        return self.reached() and (self.got == self.want or self.got.split(" ")[0] == self.want)

    def __str__(self):
        source = f"{self.src}({self.bind})" if self.bind else self.src
        return f"{source} -> {self.proto} {self.dst} {self.port}: wanted {self.want or 'nothing'}, got {self.got or 'nothing'}"


def attempts(servers, rows):
    """Starts all rows at once; waits for answers as long as any is missing, and a moment for those that must not come."""
    tries = [Attempt(row) for row in rows]
    for one in tries:
        one.start()
        servers.answer(0)
    begin = time.monotonic()
    spoken = begin
    while True:
        servers.answer(0.01)
        for one in tries:
            one.look()
        now = time.monotonic()
        missing = any(one.want and one.got is None for one in tries)
        hoped = any(not one.want and one.got is None for one in tries)
        # The kernel answers within a millisecond here; half a second lets a resent SYN or solicitation through.
        if now - begin > (4 if missing else 0.5 if hoped else 0):
            break
        if now - spoken > 0.3:
            spoken = now
            for one in tries:
                if one.proto == "udp" and one.want and one.got is None:
                    one.say()
    for one in tries:
        if one.mark in servers.heard and not one.reached():
            one.got = "heard, not answered"
        if one.sock:
            one.sock.close()
    return tries


def both(src, proto, dst, port, want, bind=None):
    """A row for each family; `dst` is a container, or a pair of addresses."""
    four, six = dst if isinstance(dst, tuple) else (v4(dst), v6(dst))
    fourth, sixth = bind or (None, None)
    return [(src, proto, four, port, want, fourth), (src, proto, six, port, want, sixth)]


UPLINK = ("192.0.2.1", "2001:db8::1")
SECOND = ("192.0.2.77", "2001:db8::77")
REMOTE = ("192.0.2.2", "2001:db8::2")
TRUSTED = ("192.0.2.3", "2001:db8::3")
FAR = ("203.0.113.9", "2001:db8:1::9")


def gateway(name):
    four, six = BRIDGES[CONTAINERS[name][0]]
    return (f"{four}.1", f"{six}:1")


def open_rows():
    rows = []
    # A port published on every address: from everywhere that is not internal, by each of the host's addresses.
    for src in ["remote", "host", "far", "web", "app", "db", "cache", "pub", "guest"]:
        for address in [UPLINK, SECOND, gateway("web"), gateway("db")]:
            rows += both(src, "tcp", address, 8080, "web:80")
    rows += both("web", "udp", gateway("web"), 8053, "web:53") + both("web", "udp", UPLINK, 8053, "web:53")
    for src in ["remote", "host", "db", "app"]:
        rows += both(src, "udp", UPLINK, 8053, "web:53")
        rows += both(src, "tcp", SECOND, 8081, "web:80")
        for port, want in [(9000, "app:9000"), (9010, "app:9010"), (9100, "app:100"), (9102, "app:102")]:
            rows += both(src, "tcp", UPLINK, port, want)
        rows += both(src, "tcp", SECOND, 9203, "app:9203")
        # A container whose peers may not talk to it still serves what it publishes.
        rows += both(src, "tcp", UPLINK, 8100, "db:5432")
        rows += both(src, "tcp", UPLINK, 8300, "guest:80")
    for src in ["cache", "db", "spare"]:
        rows += both(src, "tcp", gateway("db"), 8100, "db:5432")
    for src in ["guest", "pal"]:
        rows += both(src, "tcp", gateway("guest"), 8300, "guest:80")
    # By the host's loopback address, published on every address or on that one.
    rows += [
        ("host", "tcp", "127.0.0.1", 8080, "web:80"),
        ("host", "tcp", "127.0.0.1", 8082, "web:80"),
        ("host", "udp", "127.0.0.1", 5353, "web:53"),
        ("host", "tcp", "127.0.0.1", 8100, "db:5432"),
        ("host", "tcp", "127.0.0.1", 7777, "host:7777"),
    ]
    # The container sees who really asks.
    rows += [
        ("remote", "tcp", "192.0.2.1", 8080, "web:80 sees 192.0.2.2"),
        ("remote", "tcp", "2001:db8::1", 8080, "web:80 sees 2001:db8::2", "2001:db8::2"),
        ("db", "tcp", "192.0.2.1", 8080, "web:80 sees 10.7.0.3"),
        ("far", "tcp", "192.0.2.1", 9000, "app:9000 sees 203.0.113.9"),
    ]
    # Those who may.
    rows += both("remote", "tcp", UPLINK, 8090, "web:80", TRUSTED)
    rows += both("host", "tcp", UPLINK, 8090, "web:80")
    rows += [("host", "tcp", "127.0.0.1", 8090, "web:80")]
    rows += both("remote", "tcp", SECOND, 8091, "web:80", TRUSTED) + both("remote", "tcp", SECOND, 8091, "web:80", REMOTE)
    # The same port of somebody else, merely passing through.
    rows += both("remote", "tcp", FAR, 8080, "far:8080") + both("remote", "tcp", FAR, 8090, "far:8090")
    rows += both("web", "tcp", FAR, 8080, "far:8080")
    # An answer to the host may come to a port that is published to others only.
    rows += both("host", "tcp", FAR, 7000, "far:7000", ("192.0.2.77#8091", "2001:db8::77#8091"))
    rows += [("host", "tcp", "::1", 8090, "host:8090"), ("host", "tcp", "::1", 8080, "host:8080")]
    # Errors come back.
    rows += both("web", "udp", FAR, 54, "refused") + both("remote", "udp", "pub", 54, "refused")
    # By somebody else's translation, into a network that is open.
    rows.append(("remote", "tcp", "192.0.2.1", 7998, "pub:7000"))
    # Peers, links, and the host both ways.
    rows += both("host", "tcp", "vault", 7000, "vault:7000", UPLINK)
    rows += both("guest", "tcp", "pal", 80, "pal:80") + [("guest", "tcp", "10.10.0.4", 80, "pal:80 sees 10.10.0.3")]
    rows += both("app", "tcp", "web", 7000, "web:7000") + both("vault", "tcp", "safe", 7000, "safe:7000")
    rows += both("guest", "tcp", "pal", 7000, "pal:7000") + both("cache", "tcp", "db", 5432, "db:5432")
    for name in CONTAINERS:
        rows += both("host", "tcp", name, 7000, f"{name}:7000")
        rows += both(name, "tcp", gateway(name), 7000, "host:7000")
    rows += both("web", "tcp", gateway("db"), 7000, "host:7000")
    # Out: by the uplink's address, by a given one, and as they are.
    rows += [
        ("web", "tcp", "192.0.2.2", 7000, "remote:7000 sees 192.0.2.1"),
        ("web", "tcp", "2001:db8::2", 7000, "remote:7000 sees 2001:db8::1"),
        ("db", "tcp", "192.0.2.2", 7000, "remote:7000 sees 192.0.2.77"),
        ("db", "tcp", "2001:db8::2", 7000, "remote:7000 sees 2001:db8::77"),
        ("pub", "tcp", "192.0.2.2", 7000, "remote:7000 sees 10.9.0.3"),
        ("pub", "tcp", "2001:db8::2", 7000, "remote:7000 sees fd00:9::3"),
        ("guest", "tcp", "192.0.2.2", 7000, "remote:7000 sees 192.0.2.1"),
        ("guest", "tcp", "2001:db8::2", 7000, "remote:7000 sees 2001:db8::1"),
        ("pal", "tcp", "192.0.2.2", 7000, "remote:7000 sees 10.10.0.4"),
        ("guest", "tcp", "fd00:10::4", 7000, "pal:7000 sees fd00:10::3"),
        ("web", "udp", "192.0.2.2", 53, "remote:53 sees 192.0.2.1"),
    ]
    rows += both("remote", "tcp", "pub", 7000, "pub:7000") + both("guest", "tcp", "pub", 7000, "pub:7000")
    rows += both("remote", "tcp", "guest", 7000, "guest:7000")
    return rows


def closed_rows():
    """Rows that must fail, and that succeed when there is no firewall."""
    rows = []
    ours = [name for name in CONTAINERS if name not in ["guest", "pal"]]
    for src in ours:
        for dst in ours:
            if CONTAINERS[src][0] != CONTAINERS[dst][0]:
                # Neither a port that is published nor one that is not.
                rows += both(src, "tcp", dst, 80, None) + both(src, "tcp", dst, 7000, None)
                rows += both(src, "udp", dst, 53, None)
    for dst in ours:
        if dst != "pub":
            for src in ["remote", "guest"]:
                rows += both(src, "tcp", dst, 80, None) + both(src, "tcp", dst, 7000, None)
                rows += both(src, "udp", dst, 53, None)
    # Peers that may not talk; a link leads one way, to one port.
    rows += both("spare", "tcp", "db", 5432, None) + both("spare", "tcp", "cache", 7000, None)
    rows += both("cache", "tcp", "db", 7000, None) + both("db", "tcp", "cache", 5432, None)
    rows += both("spare", "udp", "db", 53, None)
    # Nor does the port of a link lead back.
    rows += both("db", "tcp", "cache", 7000, None, ("10.7.0.3#5433", "fd00:7::3#5433"))
    # Internal: not out, not by another address of the host, not by another network's published port.
    for dst in [REMOTE, FAR, gateway("web"), UPLINK]:
        rows += both("vault", "tcp", dst, 7000, None)
    rows += both("vault", "udp", REMOTE, 53, None)
    # The host's own loopback services.
    rows.append(("app", "udp", "127.0.0.1", 7778, None))
    # A port that only some may use is not handed to a service of the host either.
    rows += both("remote", "tcp", UPLINK, 8090, None, REMOTE) + both("app", "tcp", UPLINK, 8090, None)
    return rows


def never_rows():
    """Rows that must fail; without a firewall nothing is published, so there is nothing to compare with."""
    # There is no way from ::1, but whoever tries is told at once; nor is there one by somebody else's translation.
    rows = [("host", "tcp", "::1", 8300, "refused"), ("remote", "tcp", "192.0.2.1", 7999, None)]
    for dst in [gateway("vault"), UPLINK, gateway("web")]:
        rows += both("vault", "tcp", dst, 8080, None) + both("vault", "udp", dst, 8053, None)
    for src in ["remote", "app"]:
        for port in [8080, 8082, 8090]:
            rows.append((src, "tcp", "127.0.0.1", port, None))
        rows.append((src, "udp", "127.0.0.1", 5353, None))
    rows += both("remote", "tcp", UPLINK, 8081, None) + both("host", "tcp", UPLINK, 8081, None)
    rows += both("remote", "tcp", UPLINK, 8082, None) + both("db", "tcp", UPLINK, 8082, None)
    rows += both("remote", "tcp", UPLINK, 9203, None) + both("remote", "tcp", UPLINK, 9011, None)
    rows += both("far", "tcp", SECOND, 8091, None)
    return rows


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def sctp(src, dst, port, tag):
    """Sends an SCTP INIT (RFC 9260 section 3.3.2) and tells whether it comes to port 99 of `web`."""
    family = socket.AF_INET6 if ":" in dst else socket.AF_INET
    enter("web")
    ear = socket.socket(family, socket.SOCK_RAW, 132)
    enter(src)
    mouth = socket.socket(family, socket.SOCK_RAW, 132)
    enter("host")
    init = struct.pack("!BBHIIHHI", 1, 0, 20, tag, 65536, 1, 1, tag)
    head = struct.pack("!HHI", 40000 + tag % 1000, port, 0)
    packet = head + struct.pack("<I", crc32c(head + b"\0\0\0\0" + init)) + init
    mouth.sendto(packet, (dst, 0))
    ear.settimeout(1)
    try:
        got = ear.recv(200)
    except TimeoutError:
        return False
    got = got if family == socket.AF_INET6 else got[20:]
    return struct.unpack("!H", got[2:4]) == (99,) and got[12:] == init


def hairpin(mode):
    enter("host")
    run("ip", "-batch", "-", text="\n".join(f"link set v-{n} type bridge_slave hairpin {mode}" for n in CONTAINERS))


def forget_neighbours():
    for name in ["host", *CONTAINERS]:
        enter(name)
        run("ip", "neighbour", "flush", "all")
    enter("host")


def main():
    failures = 0

    def report(phase, tries, fits):
        nonlocal failures
        wrong = [str(one) for one in tries if not fits(one)]
        failures += len(wrong)
        print(f"{phase}: {len(tries)} rows, {len(wrong)} wrong", *wrong, sep="\n  ")

    build()
    servers = Servers()
    report("without a firewall", attempts(servers, [(*r[:4], "any", *r[5:]) for r in closed_rows()]),
           Attempt.reached)
    for rules in sys.argv[1:]:
        run("nft", *(["-j"] if rules.endswith(".json") else []), "-f", rules)
    run("nft", "-f", "-", text="""table ip other {
        chain prerouting {
            type nat hook prerouting priority -110
            tcp dport 7999 dnat to 172.25.0.3:7000
            tcp dport 7998 dnat to 10.9.0.3:7000
        }
    }""")
    for calls in [1, 0]:
        # Whether the bridge asks the firewall of the IP layer about the frames that it forwards, too.
        for name in ["iptables", "ip6tables"]:
            sysctl(f"bridge/bridge-nf-call-{name}", calls)
        hairpin("on" if calls else "off")
        forget_neighbours()
        report(f"br_netfilter {calls}", attempts(servers, open_rows() + closed_rows() + never_rows()), Attempt.fits)
        for tag, (src, dst) in enumerate([("remote", "192.0.2.1"), ("remote", "2001:db8::1"), ("db", "10.7.0.1"), ("host", "192.0.2.1")]):
            if not sctp(src, dst, 9899, calls * 10 + tag + 1):
                failures += 1
                print(f"  {src} -> sctp {dst} 9899: lost")
    sys.exit(failures != 0)


main()
