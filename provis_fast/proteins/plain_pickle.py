"""Unpickle records of data sets without running any code that they name, and within bounds.

A pickle is a program: it may call any function that can be imported. Here the only names that it
may mention are those with which Python and NumPy write plain containers, numbers, strings and
arrays, and even these are replaced by functions of this module that check what they are given.
Arrays of objects and structured arrays are refused.

What a pickle may ask of memory and time is bounded by its size. Before it is run,
csrc/text/pickle_check.h walks through its instructions; while it is run, what is given to functions
is counted, as a short pickle can give them the same long text over and over; and what it made is
walked once, as a list that contains another one twice, and so on for forty levels, is small until
somebody prints it.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from provis_fast.errors import InputError
from provis_fast.proteins import limits
from provis_fast.proteins.compiled import _text

#: Booleans, integers, floating point numbers, complex numbers, bytes and strings.
_PLAIN_KINDS = frozenset("biufcSU")
#: Bytes and items that functions may be given altogether: a few times the pickle, and this much.
_GIVEN_PER_BYTE, _GIVEN_AT_LEAST = 16, 1 << 20
#: What the result may count, walked to its leaves; in proportion to the pickle, and at least.
_LEAVES_PER_BYTE, _LEAVES_AT_LEAST = 64, 1 << 20
_DEEPEST = 100
#: An empty array may say that it is long in another dimension.
_LONGEST_EMPTY = 1024
#: Items whose hashes cannot all have been made the same.
_PLAIN_ITEMS = (str, bytes, int, float, np.generic, type(None))
#: What may be in the containers of a result beside containers; the common ones by their type.
_PLAIN_TYPES = frozenset((str, bytes, int, float, bool, type(None)))
_PLAIN_LEAVES = (*_PLAIN_TYPES, bytearray, complex, np.generic, np.ndarray)
_CONTAINERS = (list, tuple, dict, set, frozenset)


class _Budget:
    """What one pickle may still hand to functions."""

    def __init__(self, size: int):
        self._left = _GIVEN_PER_BYTE * size + _GIVEN_AT_LEAST

    def spend(self, amount: int) -> None:
        self._left -= amount
        if self._left < 0:
            raise pickle.UnpicklingError("it gives functions far more data than it has")


class _Dtype:
    """Stands for numpy.dtype while a pickle is read; accepts plain types alone."""

    def __init__(self, spec: Any, align: Any = False, copy: Any = True):
        if not isinstance(spec, str):
            raise pickle.UnpicklingError(f"dtype {spec!r} is not a plain one")
        dtype = np.dtype(spec)
        if dtype.kind not in _PLAIN_KINDS or dtype.names or dtype.subdtype:
            raise pickle.UnpicklingError(f"arrays of dtype {dtype} are not plain numbers or text")
        self.dtype = dtype

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        # (version, byte order, subdtype, names, fields, item size, alignment, flags, ...)
        if state[2] is not None or state[3] is not None or state[4] is not None:
            raise pickle.UnpicklingError("structured dtypes are not plain")
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array(np.ndarray):
    """An array whose pickled state is checked before NumPy sees it."""

    budget: _Budget | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        # NumPy frees the data that an array had before, also where other arrays look at them.
        if self.budget is None:
            raise pickle.UnpicklingError("it changes an array")
        budget, self.budget = self.budget, None
        _, shape, dtype, fortran, data = state
        if not isinstance(dtype, _Dtype) or not isinstance(data, bytes | str):
            raise pickle.UnpicklingError("arrays of objects are not plain")
        budget.spend(len(data))
        if isinstance(data, str):
            data = data.encode("latin-1")  # written by Python 2
        _check_shape(shape, dtype.dtype, len(data))
        super().__setstate__((1, shape, dtype.dtype, bool(fortran), data))
        self.flags.writeable = False  # the data may be a bytes object that others have, too


def _check_shape(shape: Any, dtype: np.dtype, size: int) -> None:
    """Compare an array's declared size with its data, in numbers of any size."""
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise pickle.UnpicklingError(f"the shape {shape!r:.60} of an array is none")
    if dtype.itemsize == 0:
        raise pickle.UnpicklingError("arrays of items without size are not plain")
    declared = dtype.itemsize
    for n in shape:
        declared *= n
    if declared != size:
        raise pickle.UnpicklingError(
            f"an array of {declared:,} bytes, by shape and dtype, has {size:,} bytes of data"
        )
    if not size and max(shape) > _LONGEST_EMPTY:
        raise pickle.UnpicklingError(f"an empty array has a dimension of {max(shape):,}")


class _Ordered(OrderedDict[Any, Any]):
    """A dictionary whose methods a pickle cannot replace."""

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("it changes a dictionary's methods")


class _Functions:
    """What stands for the functions that a pickle may call; one for each pickle."""

    def __init__(self, budget: _Budget):
        self._budget = budget

    def reconstruct(self, kind: Any, shape: Any, typecode: Any) -> np.ndarray:
        array = np.ndarray.__new__(_Array, (0,), np.int8)
        array.budget = self._budget
        return array

    def scalar(self, dtype: _Dtype, data: bytes | str) -> Any:
        self._budget.spend(len(data))
        raw = data.encode("latin-1") if isinstance(data, str) else data
        return np.frombuffer(raw, dtype=dtype.dtype, count=1)[0]

    def frombuffer(
        self, data: bytes, dtype: _Dtype, shape: tuple[int, ...], order: str
    ) -> np.ndarray:
        if not isinstance(data, bytes | bytearray) or not isinstance(dtype, _Dtype):
            raise pickle.UnpicklingError("an array is made of something else than bytes")
        self._budget.spend(len(data))
        _check_shape(shape, dtype.dtype, len(data))
        return np.frombuffer(bytes(data), dtype=dtype.dtype).reshape(shape, order=order)

    def encode(self, text: str, encoding: str = "latin1") -> bytes:
        if encoding not in ("latin1", "latin-1"):
            raise pickle.UnpicklingError(f"the codec {encoding!r:.60} is not plain")
        self._budget.spend(len(text))
        return text.encode("latin-1")

    def set(self, items: Iterable[Any] = ()) -> set[Any]:
        return set(self._items(items))

    def frozenset(self, items: Iterable[Any] = ()) -> frozenset[Any]:
        return frozenset(self._items(items))

    def ordered(self, items: Iterable[Any] = ()) -> OrderedDict[Any, Any]:
        pairs = self._items(items.items() if isinstance(items, dict) else items)
        self._items([key for key, _ in pairs])
        return _Ordered(pairs)

    def complex(self, real: float, imaginary: float = 0.0) -> complex:
        if not isinstance(real, int | float) or not isinstance(imaginary, int | float):
            raise pickle.UnpicklingError("a complex number is made of something else than numbers")
        return complex(real, imaginary)

    def _items(self, items: Any) -> list[Any]:
        if not isinstance(items, list | tuple | set | frozenset | type({}.items())):
            raise pickle.UnpicklingError(f"a container is made of a {type(items).__name__}")
        self._budget.spend(8 * len(items))
        found = list(items)
        odd = sum(not isinstance(item, _PLAIN_ITEMS) for item in found)
        self._budget.spend(odd * odd // 2)  # comparisons, where all have been given one hash
        return found


def _no_bytes(*args: Any) -> bytes:
    """Old protocols write an empty byte string as a call without arguments."""
    if args:
        raise pickle.UnpicklingError("bytes is called with arguments")
    return b""


def _ndarray(*args: Any) -> np.ndarray:
    """Refuse a call; `numpy.ndarray` is mentioned only as an argument of `reconstruct`."""
    raise pickle.UnpicklingError("numpy.ndarray is called directly")


class _Callable:
    """A function that a pickle may call but not change.

    The BUILD instruction sets attributes on whatever lies on the stack, functions included.
    """

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]):
        self._function = function

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("it changes a function")


#: Names that a pickle may mention, and what each stands for: a name of `_Functions`, or a function.
_ALLOWED: dict[tuple[str, str], str | Callable[..., Any]] = {
    (module, name): function
    for modules, name, function in (
        (("builtins", "__builtin__"), "set", "set"),
        (("builtins", "__builtin__"), "frozenset", "frozenset"),
        (("builtins", "__builtin__"), "complex", "complex"),
        (("builtins", "__builtin__"), "bytes", _no_bytes),
        (("collections",), "OrderedDict", "ordered"),
        (("_codecs",), "encode", "encode"),
        (("numpy",), "dtype", _Dtype),
        (("numpy",), "ndarray", _ndarray),
        (("numpy.core.multiarray", "numpy._core.multiarray"), "_reconstruct", "reconstruct"),
        (("numpy.core.multiarray", "numpy._core.multiarray"), "scalar", "scalar"),
        (("numpy.core.numeric", "numpy._core.numeric"), "_frombuffer", "frombuffer"),
    )
    for module in modules
}


class _PlainUnpickler(pickle.Unpickler):
    def __init__(self, data: bytes):
        super().__init__(io.BytesIO(data), encoding="latin1")
        self._functions = _Functions(_Budget(len(data)))

    def find_class(self, module: str, name: str) -> Any:
        try:
            function = _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it calls {module:.100}.{name:.100}; only plain containers, numbers, strings and "
                "numpy arrays are read"
            ) from None
        if isinstance(function, str):
            function = getattr(self._functions, function)
        return _Callable(function)


class _Visit:
    """A container on the way from the result to where the walk is."""

    def __init__(self, container: Any):
        self.key = id(container)
        self.total, self.inner = _parts(container)
        self.at = 0  # in `inner`


def _check_leaves(result: Any, size: int) -> None:
    """Refuse what contains itself, or repeats itself until it is too much to walk or print.

    Containers are visited once each, however often they occur; `total` counts every occurrence.
    """
    _check_plain(result)
    most = _LEAVES_PER_BYTE * size + _LEAVES_AT_LEAST
    totals: dict[int, int] = {}  # of containers that are done, 0 of those that are open
    stack = [_Visit(result)] if isinstance(result, _CONTAINERS) else []
    while stack:
        visit = stack[-1]
        if visit.at == len(visit.inner):
            totals[visit.key] = visit.total + 1
            stack.pop()
            continue
        part = visit.inner[visit.at]
        total = totals.get(id(part))
        if total is None:  # come back when it is known
            if len(stack) == _DEEPEST:
                raise pickle.UnpicklingError(f"containers are nested more than {_DEEPEST} deep")
            totals[visit.key] = totals[id(part)] = 0
            stack.append(_Visit(part))
            continue
        if total == 0:
            raise pickle.UnpicklingError("one of its containers contains itself")
        visit.at += 1
        visit.total += total
        if visit.total > most:
            raise pickle.UnpicklingError("it repeats itself through nested containers")


def _parts(container: Any) -> tuple[int, list[Any]]:
    """How many things a container holds, and which of them are containers."""
    parts = [*container.keys(), *container.values()] if isinstance(container, dict) else container
    inner = [part for part in parts if type(part) not in _PLAIN_TYPES]
    for part in inner:
        _check_plain(part)
    return len(parts), [part for part in inner if isinstance(part, _CONTAINERS)]


def _check_plain(part: Any) -> None:
    if not isinstance(part, (*_PLAIN_LEAVES, *_CONTAINERS)):
        raise pickle.UnpicklingError(f"it has an object of {type(part).__name__}")


def loads(data: bytes | memoryview) -> Any:
    """Unpickle plain data.

    Parameters
    ----------
    data : bytes
        One pickle of any protocol, of at most `limits.MAX_RECORD_BYTES`.

    Returns
    -------
    object
        Containers, numbers, strings and NumPy arrays; arrays are read-only.

    Raises
    ------
    InputError
        If the pickle names anything else, asks for more memory or time than its size can explain,
        or is damaged. The message says what was refused.
    """
    size = len(data)
    if size > limits.MAX_RECORD_BYTES:
        raise InputError(
            f"refused pickle: expected at most {limits.MAX_RECORD_BYTES:,} bytes, got {size:,}"
        )
    if not size:
        raise InputError("damaged pickle: it is empty")
    if reason := _text.check_pickle(data):
        raise InputError(f"refused pickle: {reason}")
    try:
        result = _PlainUnpickler(bytes(data)).load()
        _check_leaves(result, size)
        return result
    except pickle.UnpicklingError as error:
        raise InputError(f"refused pickle: {error}") from error
    except Exception as error:
        # A damaged pickle may raise nearly anything, from EOFError to MemoryError.
        raise InputError(f"damaged pickle: {type(error).__name__}: {error!s:.200}") from error
