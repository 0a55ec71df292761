"""What happens in a trace: a conversation by one technique, and then perhaps something that goes wrong.

A conversation: clients come, one event is published, all of them hear it. A fault follows, and the record is
cut when its signs are in it.
"""

import base64
import os
import signal
import time

from stage import Stage

TECHNIQUES = ("short_poll", "long_poll", "stream", "sse", "websocket")
MECHANISMS = ("select", "poll", "epoll")
FAULTS = ("none", "client_reset", "client_left", "slow_reader", "no_fd_left", "hold_over", "interrupted",
          "slow_head", "silent_client", "draining", "replaced", "bad_frame", "no_pong")
# Faults that only one technique has.
ONLY = {"hold_over": "long_poll", "replaced": "long_poll", "bad_frame": "websocket", "no_pong": "websocket"}
FLAGS = {"slow_head": ("--head-timeout", "1s"), "silent_client": ("--head-timeout", "1s"),
         "no_pong": ("--ping-interval", "1s")}
BIG = 400_000


def possible(technique, fault):
    return ONLY.get(fault, technique) == technique


def play(program, technique, mechanism, fault, chance):
    """Plays it on a real server, and gives what strace has written."""
    stage = Stage(program, mechanism, FLAGS.get(fault, ()))
    try:
        count = 1 if fault in ("no_pong", "slow_reader") else chance.choice((1, 2))
        crowd = [stage.connect(narrow=fault == "slow_reader") for _ in range(count)]
        word = chance.choice(("hello", "ding", "ring", "news"))
        cursors = SPEAK[technique](stage, crowd, word)
        if fault != "none":
            GO_WRONG[fault](stage, crowd[0], technique, cursors[0])
        stage.until_asleep()
        return stage.text()
    finally:
        stage.clear()


def ask_and_park(stage, client, path):
    """Asks, and sees to it that the server has read it and gone to sleep."""
    since = stage.mark()
    client.ask(path)
    return stage.until_asleep(stage.until(r'read\(\d+, "GET ', since))


def short_poll(stage, crowd, word):
    cursors = []
    for client in crowd:
        client.ask("/news")
        cursors.append(client.answer()["cursor"])
    interval()
    stage.publish(word)
    return [short_poll_again(client, cursor) for client, cursor in zip(crowd, cursors)]


def short_poll_again(client, cursor):
    client.ask(f"/news?since={cursor}")
    cursor = client.answer()["cursor"]
    interval()
    client.ask(f"/news?since={cursor}")
    return client.answer()["cursor"]


def interval():
    """Between two questions of a short poll there is a pause; it is the technique."""
    time.sleep(0.2)


def long_poll(stage, crowd, word):
    for client in crowd:
        ask_and_park(stage, client, "/poll")
    stage.publish(word)
    cursors = [client.answer()["cursor"] for client in crowd]
    for client, cursor in zip(crowd, cursors):
        ask_and_park(stage, client, f"/poll?since={cursor}")
    return cursors


def stream(stage, crowd, word):
    return endless(stage, crowd, word, "/stream", b'"data":"%s"')


def sse(stage, crowd, word):
    return endless(stage, crowd, word, "/connect", b"data: %s\n")


def websocket(stage, crowd, word):
    key = base64.b64encode(os.urandom(16)).decode()
    fields = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}")
    return endless(stage, crowd, word, "/ws", b'"data":"%s"', fields)


def endless(stage, crowd, word, path, event, fields=()):
    """Asks once, and hears from then on."""
    for client in crowd:
        client.ask(path, *fields)
        client.hear(rb"HTTP/1\.1 .*?\r\n\r\n.*?-0")
    stage.publish(word)
    for client in crowd:
        client.hear(event % word.encode())
    return [""] * len(crowd)


SPEAK = {"short_poll": short_poll, "long_poll": long_poll, "stream": stream, "sse": sse, "websocket": websocket}


def client_reset(stage, client, technique, cursor):
    since = settled(stage)
    client.reset()
    stage.until_asleep(stage.until(r"ECONNRESET.*?close\(", since))


def client_left(stage, client, technique, cursor):
    since = settled(stage)
    client.leave()
    stage.until_asleep(stage.until(r'read\(\d+, "", \d+\).*?close\(', since))


def settled(stage):
    """Nothing of the conversation is still to be read or written: the server sleeps."""
    return stage.until_asleep()


def slow_reader(stage, client, technique, cursor):
    since = stage.mark()
    stage.publish("x" * BIG)
    if technique == "short_poll":
        client.ask(f"/news?since={cursor}")
    # The wait asks about writing, too: by a flag, or in the second set of select.
    stage.until_asleep(stage.until(r"POLLOUT|pselect6\(\d+, \[[\d ]*\], \[\d", since))


def no_fd_left(stage, client, technique, cursor):
    since = settled(stage)
    stage.let_no_fd_be_opened()
    stage.connect()
    stage.until_asleep(stage.until(r"EMFILE", since))


def hold_over(stage, client, technique, cursor):
    # Another client, whose hold is shorter than that of those who are parked already.
    since = ask_and_park(stage, stage.connect(), f"/poll?since={cursor}&timeout=0.6")
    stage.until_asleep(stage.until(r'write\(\d+, "HTTP', since))


def replaced(stage, client, technique, cursor):
    # Two tabs of one browser, which goes by this name.
    path = f"/poll?since={cursor}&client=0123456789abcdef"
    since = ask_and_park(stage, stage.connect(), path)
    stage.connect().ask(path)
    stage.until_asleep(stage.until(r'write\(\d+, "HTTP', since))


def interrupted(stage, client, technique, cursor):
    since = settled(stage)
    stage.signal(signal.SIGSTOP)
    since = stage.until(r"stopped by SIGSTOP", since)
    stage.signal(signal.SIGCONT)
    since = stage.until_asleep(stage.until("--- SIGCONT", since))
    stage.publish("again")
    stage.until_asleep(stage.until(r'write\(\d+, "HTTP', since))


def slow_head(stage, client, technique, cursor):
    since = settled(stage)
    stage.connect().send(b"GET /poll HTTP/1.1\r\nHo")
    stage.until_asleep(stage.until(r'write\(\d+, "HTTP/1.1 4', since))


def silent_client(stage, client, technique, cursor):
    since = settled(stage)
    stage.connect()
    stage.until_asleep(stage.until(r"close\(\d+\)", stage.until(r"accept4\(\d+, \{", since)))


def draining(stage, client, technique, cursor):
    since = settled(stage)
    stage.signal(signal.SIGTERM)
    stage.until_asleep(stage.until(r'read\(\d+, "\\17\\0', since))


def bad_frame(stage, client, technique, cursor):
    since = settled(stage)
    # A client's frame without a mask (RFC 6455 §5.1).
    client.send(b"\x81\x05hello")
    stage.until_asleep(stage.until(r'write\(\d+, "\\210', since))


def no_pong(stage, client, technique, cursor):
    # The client hears the ping and says nothing.
    stage.until_asleep(stage.until(r"close\(\d+\)", stage.until(r'write\(\d+, "\\211', 0)))


GO_WRONG = {name: globals()[name] for name in FAULTS if name != "none"}
