"""Pickles that mean harm, and a program that reads them all.

Run as a program in a process of its own, with a folder for an argument: memory and time are limited
first, so that what asks for too much of them takes nothing else down. Prints one line for each
pickle. A pickle that runs code leaves a file in the folder.
"""

from __future__ import annotations

import codecs
import copyreg
import functools
import operator
import os
import pickle
import resource
import struct
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np

#: Address space, on top of what the process has when it begins, for the worst of them.
MEMORY = 1536 << 20
#: For all of them; they take three. Without limits, one alone would take years.
SECONDS = 300

GIANT = (1 << 31) - 1


class Calls:
    def __init__(self, function, *arguments, state=None):
        self.call = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.call


def text(value: str) -> bytes:
    return pickle.SHORT_BINUNICODE + bytes([len(value)]) + value.encode()


def number(value: int) -> bytes:
    return pickle.BININT + struct.pack("<i", value)


def allowed(module: str, name: str) -> bytes:
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n"


RECONSTRUCT = allowed("numpy._core.multiarray", "_reconstruct")
DTYPE = allowed("numpy", "dtype")
EMPTY_ARRAY = RECONSTRUCT + allowed("numpy", "ndarray") + number(0) + b"\x85C\x01b\x87R"


def dtype(spec: str) -> bytes:
    return DTYPE + text(spec) + b"\x89\x88\x87R"


def array(shape: bytes, spec: str, data: bytes) -> bytes:
    """An array of any shape; `shape` and `data` are instructions that leave them on the stack."""
    return EMPTY_ARRAY + b"(" + number(1) + shape + dtype(spec) + b"\x89" + data + b"tb"


def shape(*sizes: int) -> bytes:
    long = b"".join(pickle.dumps(n, 2)[2:-1] for n in sizes)
    return b"(" + long + b"t"


def laughs(first: bytes, twice: bytes, levels: int = 60) -> bytes:
    """Something that holds two of something that holds two of ..."""
    parts = [first, b"q\x00"]
    for level in range(levels):
        parts += [b"h", bytes([level]), b"h", bytes([level]), twice, b"q", bytes([level + 1])]
    return b"".join(parts)


def same_hash(n: int) -> bytes:
    """Many tuples of -1 and -2, which have one hash, as keys."""
    parts = [b"}("]
    for i in range(n):
        parts.append(b"(" + b"".join(number(-1 - (i >> bit & 1)) for bit in range(20)) + b"tN")
    return b"".join(parts) + b"u."


def calls(witness: str) -> dict[str, bytes]:
    """Pickles that would call something."""
    touch = f"touch {witness}"
    code = f"open({witness!r}, 'w')"
    made = {
        "os.system": Calls(os.system, touch),
        "eval": Calls(eval, code),
        "exec": Calls(exec, code),
        "import": Calls(__import__, "antigravity"),
        "getattr": Calls(getattr, "a", "upper"),
        "compile": Calls(compile, code, "a", "exec"),
        "open": Calls(open, witness, "w"),
        "partial": Calls(functools.partial, os.system, touch),
        "attrgetter": Calls(operator.attrgetter, "a"),
        "methodcaller": Calls(operator.methodcaller, "system", touch),
        "copyreg": Calls(copyreg._reconstructor, Path, object, None),
        "newobj": Path("a"),
        "codecs.decode": Calls(codecs.decode, "a", "rot13"),
        "numpy.load": Calls(np.load, witness),
        "numpy.save": Calls(np.save, witness, np.zeros(3)),
        "fromfile": Calls(np.fromfile, "/dev/zero"),
        "objects": np.array([Calls(os.system, touch)], dtype=object),
        "structured": np.zeros(2, dtype=[("a", "i4")]),
        "print": print,
        "state": Calls(OrderedDict, state={"get": print}),
    }
    found = {}
    for name, value in made.items():
        for protocol in (0, 2, 4):
            found[f"{name}, protocol {protocol}"] = pickle.dumps({"primary": value}, protocol)
    shell = touch.encode()
    found |= {
        "INST": b"(S'" + shell + b"'\nios\nsystem\n.",
        "OBJ": b"(cos\nsystem\nS'" + shell + b"'\no.",
        "GLOBAL": b"cos\nsystem\n(S'" + shell + b"'\ntR.",
        "GLOBAL builtins of Python 2": b"c__builtin__\neval\n(S'" + code.encode() + b"'\ntR.",
        "GLOBAL with a dotted name": b"cnumpy\ndtype.__class__\n)R.",
        "STACK_GLOBAL": text("posix") + text("system") + b"\x93" + text(touch) + b"\x85R.",
        "STACK_GLOBAL of no text": number(1) + number(2) + b"\x93.",
        "NEWOBJ": allowed("collections", "OrderedDict") + b")\x81.",
        "NEWOBJ_EX": allowed("collections", "OrderedDict") + b")}\x92.",
        "EXT1": b"\x82\x01" + text(touch) + b"\x85R.",
        "EXT2": b"\x83\x01\x00.",
        "EXT4": b"\x84\x01\x00\x00\x00.",
        "PERSID": b"Pos.system\n.",
        "BINPERSID": text("os.system") + b"Q.",
        "numpy.ndarray itself": allowed("numpy", "ndarray") + shape(1 << 40) + b"\x85R.",
    }
    return found


def changes() -> dict[str, bytes]:
    """Pickles that would change what they may call, or what others hold."""
    encode = allowed("_codecs", "encode")
    ordered = allowed("collections", "OrderedDict")
    held = b"B" + struct.pack("<I", 8000) + b"x" * 8000
    swapped = array(shape(8000), "|S1", held)
    return {
        "BUILD on a function": encode + b"}" + text("__name__") + text("a") + b"sb.",
        "BUILD of slots on a function": encode + b"(N}" + text("_function") + encode + b"stb.",
        "BUILD on a class": DTYPE + b"}" + text("__init__") + text("a") + b"sb.",
        "BUILD of a method": ordered + b")R}" + text("get") + encode + b"sb.",
        "BUILD on a list": b"]}" + text("append") + encode + b"sb.",
        "BUILD on a set": b"\x8f}" + text("add") + encode + b"sb.",
        "a function as data": encode + b".",
        "a dtype as data": dtype("f4") + b".",
        # NumPy frees the old data, which the view of them goes on to use.
        "an array changed under a view": swapped
        + b"q\x00"
        + allowed("numpy._core.numeric", "_frombuffer")
        + b"(h\x00"
        + dtype("|S1")
        + shape(8000)
        + text("C")
        + b"tRq\x010h\x00("
        + number(1)
        + shape(0)
        + dtype("f4")
        + b"\x89C\x00tbh\x01\x86.",
        "an array changed again": swapped
        + b"("
        + number(1)
        + shape(0)
        + dtype("f4")
        + b"\x89C\x00tb.",
        "an element of constant bytes": array(shape(1), "|S1", b"C\x01b") + number(0) + b"C\x01zs.",
    }


def large() -> dict[str, bytes]:
    """Pickles that would take memory."""
    eight = struct.Struct("<Q").pack
    four = struct.Struct("<I").pack
    held = b"X" + four(4 << 20) + b"x" * (4 << 20) + b"q\x00"
    reconstruct_held = b"".join(array(shape(4 << 20), ">S1", b"h\x00") for _ in range(1000))
    many = b"](" + b"K\x01" * 1_000_000 + b"eq\x00"
    return {
        "LONG_BINPUT": b"Nr" + four(GIANT) + b".",
        "LONG_BINPUT, not so far": b"Nr" + four(100_000_000) + b".",
        "LONG_BINPUT, each twice as far": b"N"
        + b"".join(b"r" + four(1 << bit) for bit in range(32))
        + b".",
        "PUT": b"Np99999999999999999999\n.",
        "PUT of less than nothing": b"Np-1\n.",
        "LONG_BINGET": b"j" + four(GIANT) + b".",
        "LONG4": b"\x8b" + four(GIANT) + b"\x01.",
        "LONG4 below nothing": b"\x8b" + four(0xFFFFFFFF) + b"\x01.",
        "LONG4, all there": b"\x8b" + four(8 << 20) + b"\x7f" * (8 << 20) + b".",
        "LONG of many digits": b"L" + b"9" * 1_000_000 + b"L\n.",
        "INT of many digits": b"I" + b"9" * 1_000_000 + b"\n.",
        "BINBYTES": b"B" + four(GIANT) + b"a.",
        "BINBYTES8": b"\x8e" + eight(1 << 40) + b"a.",
        "BINBYTES8, without end": b"\x8e" + eight((1 << 64) - 1) + b"a.",
        "BINUNICODE": b"X" + four(GIANT) + b"a.",
        "BINUNICODE8": b"\x8d" + eight(1 << 40) + b"a.",
        "BYTEARRAY8": b"\x96" + eight(1 << 40) + b"a.",
        "BINSTRING": b"T" + four(GIANT) + b"a.",
        "FRAME": b"\x80\x04\x95" + eight(1 << 60) + b"N.",
        "array of 2**40": array(shape(1 << 40), "f8", b"C\x00") + b".",
        "array of 2**64": array(shape(1 << 32, 1 << 32), "i1", b"C\x00") + b".",
        "array of items without size": array(shape(1 << 40), "S0", b"C\x00") + b".",
        "array of text without size": array(shape(1 << 40), "U0", b"C\x00") + b".",
        "array of huge items": array(shape(1), "S2000000000", b"C\x01a") + b".",
        "empty array, long": array(shape(1 << 40, 0), "f8", b"C\x00") + b".",
        "array of less than nothing": array(shape(-1, -1), "i1", b"C\x01a") + b".",
        "array of many dimensions": array(shape(*[1] * 1000), "i1", b"C\x01a") + b".",
        "frombuffer": allowed("numpy._core.numeric", "_frombuffer")
        + b"(C\x00"
        + dtype("S0")
        + shape(1 << 40)
        + text("C")
        + b"tR.",
        "the same bytes, a thousand arrays": held + b"0](" + reconstruct_held + b"e.",
        "the same text, encoded over and over": held
        + b"0]("
        + (allowed("_codecs", "encode") + b"h\x00\x85R") * 1000
        + b"e.",
        "the same list, a set over and over": many
        + b"0]("
        + (allowed("builtins", "set") + b"h\x00\x85R") * 10_000
        + b"e.",
        "sets of nothing": b"](" + b"\x8f" * 8_000_000 + b"e.",
        "dictionaries of nothing": b"](" + b"}" * 16_000_000 + b"e.",
        "marks": b"(" * 10_000_000,
    }


def long() -> dict[str, bytes]:
    """Pickles that would take time, and those without an end."""
    tuples = laughs(b")", b"\x86")
    lists = laughs(b"]q\x00", b"\x86")
    own = b"]q\x00(h\x00h\x00e."
    return {
        "tuples of tuples": tuples + b".",
        "tuples of tuples as a key": b"}" + tuples + b"Ns.",
        "tuples of tuples in a set": b"\x8f(" + tuples + b"\x90.",
        "tuples of tuples in a frozen set": b"(" + tuples + b"\x91.",
        "tuples of tuples in a set of old": allowed("builtins", "set")
        + b"]("
        + tuples
        + b"e\x85R.",
        "tuples of lists": lists + b".",
        "lists of lists": laughs(b"]", b"\x86q\xff0](h\xffe", 40) + b".",
        "dictionaries of dictionaries": b"".join(
            [b"}q\x00", *(b"}(K\x00h%cK\x01h%cuq%c" % (i, i, i + 1) for i in range(60)), b"."]
        ),
        "frozen sets of frozen sets": b"".join(
            [b"(\x91q\x00", *(b"(h%c(h%cN\x91\x91q%c" % (i, i, i + 1) for i in range(60)), b"."]
        ),
        "a list in itself": own,
        "a dictionary in itself": b"}q\x00K\x01h\x00s.",
        "a tuple in itself": b"]q\x00h\x00\x85q\x01ah\x01.",
        "keys of one hash": same_hash(100_000),
        "items of one hash": allowed("builtins", "set")
        + same_hash(100_000).replace(b"}(", b"](").replace(b"tN", b"t")[:-2]
        + b"e\x85R.",
        "a million lists in lists": b"]" * 1_000_000 + b"a" * 999_999 + b".",
        "a million tuples in tuples": b"N" + b"\x85" * 1_000_000 + b".",
        "no end": b"N" * 1_000_000,
        "nothing": b"",
        "only an end": b".",
        "DUP": b"]22.",
        "POP of nothing": b"0.",
        "APPEND to nothing": b"Na.",
        "SETITEMS of an odd number": b"}(K\x01u.",
        "TUPLE without a mark": b"Nt.",
        "below a mark": b"N(\x85.",
        "no instruction": b"\xff.",
        "NEXT_BUFFER": b"\x97.",
    }


def cases(witness: str) -> dict[str, bytes]:
    """All pickles by name."""
    return calls(witness) | changes() | large() | long()


def address_space() -> int:
    """Bytes that this process has mapped."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def main(folder: str) -> None:
    from provis_fast.errors import InputError
    from provis_fast.proteins import plain_pickle

    pickles = cases(f"{folder}/witness")
    # An extension that other code has registered and used is handed out without being looked up.
    copyreg.add_extension("posix", "system", 1)
    copyreg._extension_cache[1] = os.system  # type: ignore[attr-defined]
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    limit = address_space() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for name, data in pickles.items():
        print(name, end=": ", flush=True)
        try:
            value = plain_pickle.loads(data)
            outcome = f"read {value!r:.60}"
            del value
        except InputError as error:
            outcome = str(error)
        print(outcome, flush=True)
    assert bytes([98]) == b"b"  # Python has each single byte once, and arrays may share it
    print("all read")


if __name__ == "__main__":
    main(sys.argv[1])
