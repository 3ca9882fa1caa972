"""How functions are compiled to machine code, and where the result is kept between processes."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic


@cache
def _cache_folder(package: Path) -> str:
    """A folder for this very source: numba itself would not see that a function called by another changed."""
    # Also not that it is to check bounds: NUMBA_BOUNDSCHECK, for the tests.
    source = hashlib.sha256(f"{numba.__version__} {numba.config.BOUNDSCHECK}".encode())
    for file in (Path(__file__), *sorted(package.glob("*.py"))):
        source.update(file.read_bytes())
    name = source.hexdigest()[:16]
    home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    for folder in (package / "__pycache__", home / "spanledger", Path(tempfile.gettempdir()) / "spanledger"):
        try:
            (folder / name).mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder / name, os.W_OK):
            return str(folder / name)
    return tempfile.mkdtemp(prefix="spanledger-")


# The types of what the functions take and give. What is only read may be given as writable, too.
INT, UINT, FLAG, DOUBLE, NOTHING = types.int64, types.uint64, types.boolean, types.float64, types.void
DATA = types.Array(types.uint8, 1, "C", readonly=True)
BYTES = types.Array(types.uint8, 1, "C")
INTS, TABLE, CUBE = (types.Array(types.int64, dimensions, "C") for dimensions in (1, 2, 3))


Compiled = TypeVar("Compiled", bound=Callable[..., Any])


def compiled(returns: Any, *takes: Any, inline: bool = False) -> Callable[[Compiled], Compiled]:
    """Compile a function for these types, once: what it is called with is converted to them.

    What a package's functions call lies in the same package or here: a change elsewhere is not seen.
    `inline`: put its code in the place of each call; for what is small and runs for every few bytes.
    """

    def decorate(function: Compiled) -> Compiled:
        # numba asks for the folder here and now, once for each function.
        numba.config.CACHE_DIR = _cache_folder(Path(function.__code__.co_filename).parent)
        dispatcher: Compiled = numba.njit(
            returns(*takes),
            nogil=True,
            cache=True,
            error_model="numpy",
            forceinline=inline,
            # No reference counts: half of the time went into those of the arrays. So nothing is allocated
            # inside.
            _nrt=False,
        )(function)
        return dispatcher

    return decorate


@intrinsic  # type: ignore[untyped-decorator]
def load64(_typing: Any, data: Any, at: Any) -> Any:
    """Eight bytes of an array from position `at`, as an integer, whatever the alignment."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        address = builder.gep(array.data, [arguments[1]])
        loaded = builder.load(builder.bitcast(address, ir.IntType(64).as_pointer()))
        loaded.align = 1
        return loaded

    return numba.int64(data, numba.intp), code


# Of the C library: bytes from one address to another; a double as text of so many digits; text as a double.
copy_bytes = types.ExternalFunction("memcpy", types.intp(types.intp, types.intp, types.intp))
double_text = types.ExternalFunction("gcvt", types.intp(types.float64, types.int32, types.intp))
text_double = types.ExternalFunction("strtod", types.float64(types.intp, types.intp))


@intrinsic  # type: ignore[untyped-decorator]
def as_double(_typing: Any, bits: Any) -> Any:
    """The double that these 64 bits are."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.DoubleType())

    return numba.float64(numba.int64), code


@intrinsic  # type: ignore[untyped-decorator]
def as_bits(_typing: Any, number: Any) -> Any:
    """The 64 bits of a double."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(64))

    return numba.int64(numba.float64), code
