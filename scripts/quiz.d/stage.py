"""A real server under strace, and clients of plain sockets that do to it what a story says.

Nothing here sleeps to be in time: what must have happened is looked for in the record of strace until it is
there, or until patience is at an end.
"""

import json
import os
import re
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

PATIENCE = 20.0
ASLEEP = r"^\d+ +[\d.]+ (?:epoll_p?wait|p?poll|p?select6?|restart_syscall)\((?:(?!\) +=)[^\n])*\Z"


class Trouble(Exception):
    """Something failed; the text says what, and what to do."""


class Stage:
    """The server, its record, and everybody who is connected to it."""

    def __init__(self, program, mechanism, flags):
        self.folder = tempfile.mkdtemp(prefix="doorbell-quiz-")
        self.record = os.path.join(self.folder, "record")
        self.errors = os.path.join(self.folder, "errors")
        self.clients, self.publisher, self.pid, self.strace = [], None, None, None
        try:
            self.start(program, ["--multiplexer", mechanism, *flags])
        except BaseException:
            self.clear()
            raise

    def start(self, program, flags):
        command = ["strace", "-f", "-ttt", "-s", "512", "-o", self.record, "--", program, "serve"]
        command += ["--listen", "127.0.0.1:0", *flags]
        # What the caller's environment says of doorbell is not part of the riddle.
        environment = {key: value for key, value in os.environ.items() if not key.startswith("DOORBELL_")}
        with open(self.errors, "wb") as errors:
            self.strace = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, env=environment)
        readable, _, _ = select.select([self.strace.stdout], [], [], PATIENCE)
        said = self.strace.stdout.readline().decode() if readable else ""
        self.pid = self.traced()
        address = re.match(r"listening on http://([\d.]+):(\d+)", said)
        if not address:
            raise Trouble(self.why_not())
        self.address = address[1], int(address[2])

    def traced(self):
        """The pid of the server, if there is one: that of strace's child."""
        try:
            with open(f"/proc/{self.strace.pid}/task/{self.strace.pid}/children", encoding="ascii") as file:
                return next((int(pid) for pid in file.read().split()), None)
        except OSError:
            # Without that file in /proc, the record says it.
            first = self.text().split(" ", 1)[0]
            return int(first) if first.isdigit() else None

    def why_not(self):
        with open(self.errors, encoding="utf-8", errors="replace") as file:
            said = file.read()
        if re.search(r"ptrace|PTRACE|not permitted", said):
            return ("strace may not trace here; see /proc/sys/kernel/yama/ptrace_scope, "
                    "and in a container give it the capability: --cap-add=SYS_PTRACE")
        last = said.strip().splitlines()
        return f"the server did not start under strace: {last[-1] if last else 'it said nothing'}"

    def clear(self):
        """Ends whatever was started, and leaves nothing behind."""
        for client in self.clients:
            client.socket.close()
        if self.strace:
            # The server goes first: without strace it would go on alone. strace then buries it, and ends.
            server = self.pid or self.traced()
            end(server or self.strace.pid)
            self.strace.stdout.close()
            try:
                self.strace.wait(2)
            except subprocess.TimeoutExpired:
                end(self.strace.pid)
                self.strace.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def text(self):
        try:
            with open(self.record, encoding="latin-1") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def mark(self):
        """A place in the record."""
        return len(self.text())

    def until(self, pattern, since=0):
        """Waits until the record has this behind a place, and gives the place behind it."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            found = re.compile(pattern, re.S | re.M).search(self.text(), since)
            if found:
                return found.end()
            if self.strace.poll() is not None:
                break
            time.sleep(0.01)
        raise Trouble("the trace never showed what it should; the machine may be too busy, try again")

    def until_asleep(self, since=0):
        """Waits until the last thing in the record is a wait that has not returned; gives the place behind it."""
        return self.until(ASLEEP, since)

    def connect(self, narrow=False):
        client = Client(self.address, narrow)
        self.clients.append(client)
        return client

    def publish(self, word):
        """By one connection that stays, so that its going is no part of the trace."""
        self.publisher = self.publisher or self.connect()
        body = word.encode()
        self.publisher.send(f"POST /event HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        self.publisher.answer()

    def signal(self, number):
        os.kill(self.pid, number)

    def let_no_fd_be_opened(self):
        """Lowers the limit of open files to what is open (prlimit(2))."""
        count = len(os.listdir(f"/proc/{self.pid}/fd"))
        _, hard = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (count, hard))


def end(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


class Client:
    """One connection."""

    def __init__(self, address, narrow):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if narrow:
            # A small window, and small segments, which make for a small buffer on the other side.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1000)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(address)
        self.kept = b""

    def send(self, data):
        self.socket.sendall(data)

    def ask(self, path, *fields):
        head = [f"GET {path} HTTP/1.1", "Host: x", *fields, "", ""]
        self.send("\r\n".join(head).encode())

    def hear(self, pattern):
        """Reads until this has come, and gives what it found."""
        while True:
            found = re.search(pattern, self.kept, re.S)
            if found:
                self.kept = self.kept[found.end():]
                return found
            data = self.socket.recv(65536)
            if not data:
                raise Trouble("the server closed a connection that it should have kept")
            self.kept += data

    def answer(self):
        """One whole answer with a length: its body."""
        length = int(self.hear(rb"HTTP/1\.1 2.*?Content-Length: (\d+).*?\r\n\r\n")[1])
        return json.loads(self.hear(b"(.{%d})" % length)[1])

    def reset(self):
        """Goes with RST instead of FIN (SO_LINGER, socket(7))."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def leave(self):
        self.socket.close()
