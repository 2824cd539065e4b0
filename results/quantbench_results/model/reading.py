# SPDX-License-Identifier: Apache-2.0
"""The matrices of a model's file, without reading them: their names and shapes, and a way to read some
rows of one as float32.

    .safetensors          one file, or model.safetensors.index.json over several
    .gguf                 quantized tensors are dequantized: errors are then against what the file has
    .npy, .npz            one array, or several by name

A matrix is [outputs N, inputs K], as these files hold linear layers.
"""

from __future__ import annotations

import contextlib
import json
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from quantbench_results.errors import ResultsError
from quantbench_results.text import printable

F32 = NDArray[np.float32]
FLOATS = (np.float16, np.float32, np.float64, ml_dtypes.bfloat16)
LOOKED_UP = re.compile(r"embed|token_embd|position|\bwte\b|\bwpe\b", re.IGNORECASE)
"""Names of tables that are looked up by row, not multiplied."""


@dataclass(frozen=True)
class Tensor:
    """A matrix of a model: its shape, and how to read rows begin..end of it."""

    name: str
    n: int
    k: int
    stored: str
    """The type in the file: F32, BF16, Q4_K."""
    read: Callable[[int, int], NDArray[Any]]

    @property
    def weights(self) -> int:
        return self.n * self.k

    def rows(self, begin: int, end: int) -> F32:
        return np.ascontiguousarray(self.read(begin, end), dtype=np.float32)

    def transposed(self) -> Tensor:
        """The matrix with inputs as rows in the file, as GPT-2's and the notebook's are."""
        whole = self.read

        def read(begin: int, end: int) -> NDArray[Any]:
            return whole(0, self.n)[:, begin:end].T

        return Tensor(self.name, self.k, self.n, self.stored, read)


@dataclass(frozen=True)
class Skipped:
    """A tensor that is left out, and why."""

    name: str
    why: str


@dataclass(frozen=True)
class Model:
    path: Path
    tensors: tuple[Tensor, ...]
    skipped: tuple[Skipped, ...]


Entry = tuple[str, Sequence[int], str, "Callable[[int, int], NDArray[Any]] | None"]
"""Name, shape, stored type, and how rows are read; None if the type has no float values."""


@contextlib.contextmanager
def opened(path: Path, wanted: str = "", transposed: str = "") -> Iterator[Model]:
    """The model's matrices whose names the regular expression `wanted` finds (default: all but those
    that are embeddings by their name), open while the context lasts. ResultsError if the file is no
    model, is truncated, or has no matrix to look at."""
    with contextlib.ExitStack() as stack:
        try:
            entries = list(_entries(path, stack))
        except ResultsError:
            raise
        except FileNotFoundError as error:
            raise ResultsError(error.filename or path, "no such file") from None
        except (SafetensorError, ValueError, KeyError, EOFError, IndexError, OSError,
                zipfile.BadZipFile, RecursionError) as error:  # fmt: skip
            raise ResultsError(path, f"not a whole model file: {error}") from None
        yield _chosen(path, entries, _regex(wanted, "--tensors"), _regex(transposed, "--transposed"))


def _regex(text: str, option: str) -> re.Pattern[str] | None:
    try:
        return re.compile(text) if text else None
    except re.error as error:
        raise ResultsError(option, f"no regular expression: {error}") from None


def _chosen(
    path: Path, entries: Sequence[Entry], wanted: re.Pattern[str] | None,
    transposed: re.Pattern[str] | None,
) -> Model:  # fmt: skip
    tensors, skipped = [], []
    for name, shape, stored, read in entries:
        name = printable(name)
        if len(shape) != 2 or 0 in shape:
            why = f"no matrix: its shape is {'x'.join(map(str, shape)) or 'one number'}"
        elif wanted and not wanted.search(name):
            why = "not named by --tensors"
        elif not wanted and LOOKED_UP.search(name):
            why = "an embedding by its name: looked up, not multiplied (--tensors chooses)"
        elif read is None:
            why = f"its type, {stored}, has no float values"
        else:
            tensor = Tensor(name, int(shape[0]), int(shape[1]), stored, read)
            tensors.append(tensor.transposed() if transposed and transposed.search(name) else tensor)
            continue
        skipped.append(Skipped(name, why))
    if not tensors:
        reasons = "; ".join(f"{s.name}: {s.why}" for s in skipped[:3])
        more = f" and {len(skipped) - 3} more" if len(skipped) > 3 else ""
        raise ResultsError(path, f"no matrix to look at ({reasons or 'it has no tensors'}{more})")
    return Model(path, tuple(tensors), tuple(skipped))


def _entries(path: Path, stack: contextlib.ExitStack) -> Iterator[Entry]:
    if path.is_dir():
        raise ResultsError(path, "a folder; name a file in it, such as model.safetensors.index.json")
    name = path.name.lower()
    if name.endswith(".safetensors"):
        yield from _safetensors(path, stack)
    elif name.endswith(".safetensors.index.json"):
        for part in _parts_of_index(path):
            yield from _safetensors(part, stack)
    elif name.endswith(".gguf"):
        yield from _gguf(path)
    elif name.endswith(".npy"):
        yield from _npy(path)
    elif name.endswith(".npz"):
        yield from _npz(path)
    else:
        raise ResultsError(
            path, "not a model by its name; expected .safetensors, .safetensors.index.json, .gguf, "
            ".npy or .npz",
        )  # fmt: skip


def _parts_of_index(path: Path) -> list[Path]:
    """The files that an index names, which lie beside it."""
    weight_map = json.loads(path.read_text(encoding="utf-8")).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ResultsError(path, "no index of safetensors: it has no 'weight_map'")
    names = list(dict.fromkeys(map(str, weight_map.values())))
    for name in names:
        if Path(name).name != name:
            raise ResultsError(path, f"names a file outside its folder: {name}")
        if not (path.parent / name).is_file():
            raise ResultsError(path, f"names a file that is not beside it: {name}")
    return [path.parent / name for name in names]


def _safetensors(path: Path, stack: contextlib.ExitStack) -> Iterator[Entry]:
    file = stack.enter_context(safe_open(path, framework="numpy"))
    for name in file.keys():  # noqa: SIM118 - no mapping
        view = file.get_slice(name)
        floats = view.get_dtype() in ("F64", "F32", "F16", "BF16")
        yield name, view.get_shape(), view.get_dtype(), _slice_of(view) if floats else None


def _slice_of(view: Any) -> Callable[[int, int], NDArray[Any]]:
    return lambda begin, end: view[begin:end]


def _gguf(path: Path) -> Iterator[Entry]:
    for tensor in gguf.GGUFReader(path).tensors:
        kind = tensor.tensor_type
        shape = [int(size) for size in reversed(tensor.shape.tolist())]
        plain = kind.name in ("F32", "F16", "F64")
        integers = kind.name in ("I8", "I16", "I32", "I64")
        read = _rows_of(tensor.data) if plain else _dequantized(tensor.data, kind)
        yield tensor.name, shape, kind.name, None if integers else read


def _rows_of(data: NDArray[Any]) -> Callable[[int, int], NDArray[Any]]:
    return lambda begin, end: data[begin:end]


def _dequantized(data: NDArray[Any], kind: gguf.GGMLQuantizationType) -> Callable[[int, int], NDArray[Any]]:
    return lambda begin, end: gguf.quants.dequantize(data[begin:end], kind)


def _npy(path: Path) -> Iterator[Entry]:
    data = np.load(path, mmap_mode="r", allow_pickle=False)
    floats = data.dtype.type in FLOATS
    yield path.stem, data.shape, str(data.dtype), _rows_of(data) if floats else None


def _npz(path: Path) -> Iterator[Entry]:
    """Shapes from the headers; an array is read whole when its rows are asked for."""
    with zipfile.ZipFile(path) as archive:
        members = [name for name in archive.namelist() if name.endswith(".npy")]
        if archive.testzip() or not members:
            raise ValueError("an archive that is damaged or has no arrays")
        for member in members:
            with archive.open(member) as file:
                version = np.lib.format.read_magic(file)
                header = (np.lib.format.read_array_header_1_0 if version == (1, 0)
                          else np.lib.format.read_array_header_2_0)  # fmt: skip
                shape, _, dtype = header(file)
            floats = dtype.type in FLOATS
            yield member.removesuffix(".npy"), shape, str(dtype), _member(path, member) if floats else None


def _member(path: Path, member: str) -> Callable[[int, int], NDArray[Any]]:
    held: list[NDArray[Any]] = []

    def read(begin: int, end: int) -> NDArray[Any]:
        if begin == 0:
            held.clear()
        if not held:
            with np.load(path, allow_pickle=False) as archive:
                held.append(archive[member.removesuffix(".npy")])
        rows = held[0][begin:end]
        if end >= len(held[0]):
            held.clear()
        return rows

    return read
