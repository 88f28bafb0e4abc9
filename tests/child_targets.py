"""What the processes of test_child_process.py do."""

from __future__ import annotations

import fcntl
import os
import signal
import sys


def echo(connection) -> None:
    """Send back what comes, until None comes."""
    while (message := connection.recv()) is not None:
        connection.send(message)


def describe(connection) -> None:
    """Tell about the process."""
    connection.send(
        {
            "main": getattr(sys.modules["__main__"], "__file__", None),
            "torch": "torch" in sys.modules,
            "path": sys.path,
            "variable": os.environ.get("PROVIS_FAST_TEST_VARIABLE"),
            "group": os.getpgid(0),
        }
    )


def chatter(connection) -> None:
    """Print more than a pipe holds, then fail."""
    for number in range(20_000):
        print("line", number)
    connection.recv()
    raise ValueError("no such thing as a free lunch")


def killed(connection) -> None:
    """Die as the system's killer of processes has it."""
    os.kill(os.getpid(), signal.SIGKILL)


def busy(connection) -> None:
    """Tell that it has begun, then never look at the connection again."""
    connection.send("begun")
    while True:
        signal.pause()


def locking(connection) -> None:
    """Hold a lock on a file for as long as the process lives."""
    with open(connection.recv(), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        connection.send("locked")
        while True:
            signal.pause()
