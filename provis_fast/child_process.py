"""Python processes that work for this one, and messages to and from them.

A child runs one function of the package in a fresh interpreter (nothing is forked, and the script
that uses the package is not imported again, so it needs no ``if __name__ == "__main__"``):

    def serve(connection):                     # in the child, provis_fast.some.module
        while True:
            connection.send(answer_to(connection.recv()))

    with ChildProcess("provis_fast.some.module:serve", "reader 1") as child:
        child.send(question)
        answer = child.receive()

Messages are pickled, by our own processes for our own processes; none is ever kept in a file. A
child lives no longer than its parent: it ends, whatever it is doing, once the other end of the
connection is closed, by `close` or because the parent is gone. It takes no part in the terminal's
Ctrl-C, which the parent answers by closing it.
"""

from __future__ import annotations

import importlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from typing import Any

from provis_fast.errors import ProvisError

#: What is kept of a child's output, its end, for the message if it dies.
_OUTPUT_BYTES = 4096
#: A dying child's connection closes before the system knows how it died.
_PATIENCE = 10.0  # seconds


class ChildDiedError(ProvisError):
    """A child process has ended although something was still expected of it.

    Parameters
    ----------
    name : str
        What the child was called.
    how : str
        "was killed by SIGKILL", "ended with status 1".
    output : str
        The end of what it has written on its standard output and error.

    Attributes
    ----------
    name, how, output : str
    """

    def __init__(self, name: str, how: str, output: str = ""):
        self.name, self.how, self.output = name, how, output
        last = f"; its last words: {output.splitlines()[-1][:300]}" if output else ""
        super().__init__(f"the process {name} {how}{last}")

    def __reduce__(self) -> tuple[Any, ...]:
        return ChildDiedError, (self.name, self.how, self.output)


def can_start() -> bool:
    """Whether this interpreter can be started once more: not one frozen into a program."""
    return bool(sys.executable) and not getattr(sys, "frozen", False)


class ChildProcess:
    """A process that runs one function, and the connection to it.

    Parameters
    ----------
    target : str
        "module:function"; the function is called with the child's end of the connection
        (`multiprocessing.connection.Connection`). The child ends when it returns.
    name : str
        For messages.
    environment : mapping of str to str, optional
        Environment variables that the child has beside this process's own.

    Attributes
    ----------
    connection : Connection
        Our end, for `multiprocessing.connection.wait`.
    name : str
    pid : int

    Raises
    ------
    ChildDiedError
        By the constructor: the process cannot be started. By `send` and `receive`: it has ended.

    Notes
    -----
    Both ends block while the other does not receive, so send a child only what it waits for: two
    that send long messages to each other at once wait forever. One thread at a time may send, and
    one may receive; `close` may be called from any thread, and whoever waits for the child then
    gets ChildDiedError.
    """

    def __init__(self, target: str, name: str, *, environment: Mapping[str, str] | None = None):
        self.name = name
        if not can_start():
            raise ChildDiedError(name, "cannot be started: this interpreter is part of a program")
        path = [entry or os.getcwd() for entry in sys.path if isinstance(entry, str)]
        self.connection, theirs = Pipe()
        with theirs:
            code = (
                f"import sys; sys.path[:] = {path!r}; from provis_fast.child_process import main; "
                f"main({target!r}, {theirs.fileno()})"
            )
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", code],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    pass_fds=(theirs.fileno(),),
                    env={**os.environ, **(environment or {})},
                    bufsize=0,
                    process_group=0,
                )
            except OSError as error:
                self.connection.close()
                raise ChildDiedError(name, f"cannot be started: {error}") from error
        self.pid = self._process.pid
        self._output = bytearray()
        self._listener = threading.Thread(
            target=_listen,
            args=(self._process.stdout, self._output),
            name=f"provis_fast-output of {name}",
            daemon=True,
        )
        self._listener.start()
        # Runs when this object is forgotten, and at the end of the interpreter.
        self._end = weakref.finalize(self, _end, self._process, self.connection, os.getpid())

    def send(self, message: object) -> None:
        """Send a message; it must be picklable."""
        try:
            self.connection.send(message)
        except OSError as error:  # BrokenPipeError, or closed by `close`
            raise self._died() from error

    def receive(self) -> Any:
        """Wait for the next message."""
        try:
            return self.connection.recv()
        except (EOFError, OSError) as error:
            raise self._died() from error

    def close(self) -> None:
        """End the process at once; nothing happens where it has ended already."""
        self._end()

    def __enter__(self) -> ChildProcess:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _died(self) -> ChildDiedError:
        if not self._end.alive:
            return ChildDiedError(self.name, "was ended by this one")
        try:
            status = self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.close()
            return ChildDiedError(self.name, "has closed its connection, and was ended")
        self._listener.join(1.0)  # a process that the child has started may keep its output open
        return ChildDiedError(self.name, _how(status), _text(self._output))


def main(target: str, descriptor: int) -> None:
    """Run a function in a process made by `ChildProcess`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to answer
    connection = Connection(descriptor)
    threading.Thread(
        target=_end_with_parent, args=(descriptor,), name="provis_fast-parent", daemon=True
    ).start()
    module, _, function = target.partition(":")
    with suppress(BrokenPipeError):
        getattr(importlib.import_module(module), function)(connection)


def _end_with_parent(descriptor: int) -> None:
    """End the process when nobody holds the other end; messages not yet received do not matter."""
    poll = select.poll()
    poll.register(descriptor, 0)  # POLLHUP and POLLERR are told without being asked for
    poll.poll()
    os._exit(1)


def _listen(stream: Any, output: bytearray) -> None:
    """Keep the end of what a process writes, so that it never waits for a reader."""
    with stream:
        while chunk := stream.read(_OUTPUT_BYTES):
            output += chunk
            del output[:-_OUTPUT_BYTES]


def _end(process: subprocess.Popen, connection: Connection, owner: int) -> None:
    if os.getpid() != owner:  # a fork of the parent has a copy of this, and no say in it
        return
    process.kill()
    process.wait()
    # Wakes who waits for the child in another thread, even if a process that the child has started
    # holds its end. The descriptor stays ours until nobody has it in use.
    with suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as end:
        end.shutdown(socket.SHUT_RDWR)


def _how(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    memory = ", perhaps because memory ran short" if -status == signal.SIGKILL else ""
    return f"was killed by {name}{memory}"


def _text(output: bytearray) -> str:
    return output.decode("utf-8", "replace").strip()
