"""Runs a program on a terminal of its own, a pseudo-terminal, for the tests.

Arguments: columns, rows, the program and its arguments. What the program writes to the terminal goes
to standard output as it is, what comes on standard input is typed. It ends as the program does.
"""

import fcntl
import os
import pty
import selectors
import struct
import sys
import termios

columns, rows = int(sys.argv[1]), int(sys.argv[2])
child, terminal = pty.fork()
if child == 0:
    size = struct.pack("HHHH", rows, columns, 0, 0)
    fcntl.ioctl(1, termios.TIOCSWINSZ, size)
    os.execv(sys.argv[3], sys.argv[3:])

waiting = selectors.SelectSelector()
waiting.register(terminal, selectors.EVENT_READ)
waiting.register(0, selectors.EVENT_READ)
is_open = True
while is_open:
    for ready, _ in waiting.select():
        if ready.fd == terminal:
            try:
                shown = os.read(terminal, 65536)
            except OSError:
                # Nobody holds the other side any more.
                shown = b""
            is_open = bool(shown)
            sys.stdout.buffer.write(shown)
            sys.stdout.buffer.flush()
        elif typed := os.read(0, 1024):
            os.write(terminal, typed)
        else:
            waiting.unregister(0)
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
