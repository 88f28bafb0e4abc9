"""Unpickle records of data sets without running any code that they name.

A pickle is a program: it may call any function that can be imported. Here the only names that it
may mention are those with which Python and NumPy write plain containers, numbers, strings and
arrays, and even these are replaced by functions of this module that check what they are given.
Arrays of objects and structured arrays are refused.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from provis_fast.errors import InputError

#: Booleans, integers, floating point numbers, complex numbers, bytes and strings.
_PLAIN_KINDS = frozenset("biufcSU")


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

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, data = state
        if not isinstance(dtype, _Dtype) or not isinstance(data, bytes | str):
            raise pickle.UnpicklingError("arrays of objects are not plain")
        if isinstance(data, str):
            data = data.encode("latin-1")  # written by Python 2
        super().__setstate__((1, shape, dtype.dtype, bool(fortran), data))


def _reconstruct(kind: Any, shape: Any, typecode: Any) -> np.ndarray:
    return np.ndarray.__new__(_Array, (0,), np.int8)


def _scalar(dtype: _Dtype, data: bytes | str) -> Any:
    raw = data.encode("latin-1") if isinstance(data, str) else data
    return np.frombuffer(raw, dtype=dtype.dtype, count=1)[0]


def _frombuffer(data: bytes, dtype: _Dtype, shape: tuple[int, ...], order: str) -> np.ndarray:
    return np.frombuffer(data, dtype=dtype.dtype).reshape(shape, order=order)


def _encode(text: str, encoding: str = "latin1") -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"the codec {encoding!r} is not plain")
    return text.encode("latin-1")


def _no_bytes(*args: Any) -> bytes:
    """Old protocols write an empty byte string as a call without arguments."""
    if args:
        raise pickle.UnpicklingError("bytes is called with arguments")
    return b""


def _ndarray(*args: Any) -> np.ndarray:
    """Refuse a call; `numpy.ndarray` is mentioned only as an argument of `_reconstruct`."""
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


_ALLOWED = {
    (module, name): _Callable(function)
    for modules, name, function in (
        (("builtins", "__builtin__"), "set", set),
        (("builtins", "__builtin__"), "frozenset", frozenset),
        (("builtins", "__builtin__"), "complex", complex),
        (("builtins", "__builtin__"), "bytes", _no_bytes),
        (("collections",), "OrderedDict", OrderedDict),
        (("_codecs",), "encode", _encode),
        (("numpy",), "dtype", _Dtype),
        (("numpy",), "ndarray", _ndarray),
        (("numpy.core.multiarray", "numpy._core.multiarray"), "_reconstruct", _reconstruct),
        (("numpy.core.multiarray", "numpy._core.multiarray"), "scalar", _scalar),
        (("numpy.core.numeric", "numpy._core.numeric"), "_frombuffer", _frombuffer),
    )
    for module in modules
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it calls {module}.{name}; only plain containers, numbers, strings and numpy "
                "arrays are read"
            ) from None


def loads(data: bytes | memoryview) -> Any:
    """Unpickle plain data.

    Parameters
    ----------
    data : bytes
        One pickle of any protocol.

    Returns
    -------
    object
        Containers, numbers, strings and NumPy arrays.

    Raises
    ------
    InputError
        If the pickle names anything else, or is damaged. The message says what was refused.
    """
    try:
        return _PlainUnpickler(io.BytesIO(data), encoding="latin1").load()
    except pickle.UnpicklingError as error:
        raise InputError(f"refused pickle: {error}") from error
    except Exception as error:
        # A damaged pickle may raise nearly anything, from EOFError to MemoryError.
        raise InputError(f"damaged pickle: {type(error).__name__}: {error}") from error
