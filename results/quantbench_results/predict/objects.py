# SPDX-License-Identifier: Apache-2.0
"""What is read from objects with LLVM's tools: functions, what they reach, exported kernels."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from quantbench_results.errors import ResultsError

TOOL_SUFFIXES = ("-21", "-20", "-19", "-18", "-17", "")
LEAST_VERSION = 17


@dataclass(frozen=True)
class Instruction:
    address: int
    mnemonic: str
    operands: str
    prefix: str = ""
    """{vex}, where an instruction has a longer encoding that the core may lack."""

    @property
    def text(self) -> str:
        name = f"{self.prefix} {self.mnemonic}".lstrip()
        return f"{name}\t{self.operands}" if self.operands else name


@dataclass
class Function:
    symbol: str
    instructions: list[Instruction] = field(default_factory=list)
    reaches: set[str] = field(default_factory=set)


def tool(name: str) -> str:
    """The newest of LLVM's tools with this name; ResultsError if there is none."""
    for suffix in TOOL_SUFFIXES:
        path = shutil.which(name + suffix)
        if path and (suffix or _version(path) >= LEAST_VERSION):
            return path
    raise ResultsError(
        name, "not found in version 17 or later; scripts/install-deps.sh --llvm installs it"
    )


def _version(path: str) -> int:
    found = re.search(r"version (\d+)", run_tool([path, "--version"]))
    return int(found[1]) if found else 0


def run_tool(command: Sequence[str], text: str | None = None) -> str:
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, check=False, timeout=300
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ResultsError(command[0], f"can't run: {error}") from None
    if done.returncode:
        why = [
            line for line in done.stderr.splitlines() if "error" in line
        ] or done.stderr.splitlines()
        raise ResultsError(command[0], (why or [f"exit status {done.returncode}"])[0])
    return done.stdout


def objects(build: Path) -> list[tuple[str, str, Path]]:
    """(room, variant, object) of every variant in a build folder."""
    found = []
    for path in sorted(build.glob("kernels/CMakeFiles/qb_*.dir/*/*.o")):
        match = re.fullmatch(
            rf"qb_{re.escape(path.parent.name)}_(\w+)\.dir", path.parent.parent.name
        )
        if match:
            found.append((path.parent.name, match[1], path))
    if not found:
        raise ResultsError(
            build, "has no objects of variants: build quantbench_kernels there first"
        )
    return found


def isa_of(variant: str) -> str:
    """The instruction set that a variant's name names, as in cmake/Isa.cmake; "" for the baseline."""
    name = re.sub(r"^(autovec|xsimd)_?", "", variant)
    return "" if name == "scalar" else name


_SYMBOL = re.compile(r"^([0-9a-f]+) <(.+)>:$")
_INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\s+(\{vex\}\s+)?([a-z][\w.]*)\s*(.*)$")
_RELOCATION = re.compile(r"^\s*([0-9a-f]+):\s+R_\S+\s+(\S+)$")


def parse_disassembly(text: str) -> dict[str, Function]:
    """llvm-objdump -d -r's functions by symbol, with what each one calls or takes the address of."""
    functions: dict[str, Function] = {}
    starts: dict[int, str] = {}
    section = ""
    current: Function | None = None
    pending: list[tuple[Function, str, bool]] = []
    for line in text.splitlines():
        if line.startswith("Disassembly of section "):
            section = line.removeprefix("Disassembly of section ").rstrip(":")
            continue
        if match := _SYMBOL.match(line):
            current = Function(match[2])
            functions[match[2]] = current
            if section == ".text":
                starts[int(match[1], 16)] = match[2]
        elif current and (match := _RELOCATION.match(line)):
            pc_relative = "_PC32" in line or "_PLT32" in line
            pending.append((current, match[2], pc_relative))
        elif current and (match := _INSTRUCTION.match(line)):
            prefix, mnemonic = (match[2] or "").strip(), match[3]
            operands = re.split(r" #[ <]|//", match[4])[0].strip()  # less the comment
            symbol = re.search(r"<([^>+]+)(?:\+0x[0-9a-f]+)?>$", operands)
            # Of other instructions it is an address that is yet to be filled in.
            if symbol and mnemonic.startswith(("call", "j", "b")):
                current.reaches.add(symbol[1])
            operands = re.sub(r"\s*<[^>]*>", "", operands)
            current.instructions.append(Instruction(int(match[1], 16), mnemonic, operands, prefix))
    for function, target, pc_relative in pending:
        symbol, sign, offset = re.fullmatch(r"(.+?)(?:([+-])0x([0-9a-f]+))?", target).groups()
        if symbol == ".text":
            address = int((sign or "") + (offset or "0"), 16) + (4 if pc_relative else 0)
            symbol = starts.get(address, "")
        function.reaches.add(symbol)
    return functions


def formats_of_products() -> list[str]:
    """The weight formats, in the order in which a record of products has their kernels."""
    rows = Path(__file__).parents[3] / "include" / "quantbench" / "formats.inc"
    return re.findall(r"^QB_FORMAT\((\w+),", rows.read_text(encoding="utf-8"), re.MULTILINE)


def parts_of_record(address: int, size: int, symbol: str) -> list[tuple[int, int, str]]:
    """Where a record's kernels stand: address, size, name. A variant's products are one record of a
    kernel for each format; each is named as the symbol, a colon and the format."""
    if not re.match(r"matmul_(a32|a8|abf16|f16)_", exported_name(symbol)):
        return [(address, size, symbol)]
    formats = formats_of_products()
    each = size // len(formats)
    return [(address + i * each, each, f"{symbol}:{name}") for i, name in enumerate(formats)]


def parse_records(
    symbols: str, relocations: str, functions: Mapping[str, Function]
) -> dict[str, set[str]]:
    """Constant records of kernels: the functions whose addresses they hold. `symbols` is nm -S's,
    `relocations` objdump -r's output."""
    starts = {}
    spans: list[tuple[int, int, str]] = []
    for line in symbols.splitlines():
        parts = line.split()
        if len(parts) != 4:
            continue
        address, size, kind, name = int(parts[0], 16), int(parts[1], 16), parts[2], parts[3]
        if kind in "Tt" and name in functions:
            starts[address] = name
        elif kind in "DdRr":
            spans += parts_of_record(address, size, name)
    records: dict[str, set[str]] = {}
    inside = False
    for line in relocations.splitlines():
        if line.startswith("RELOCATION RECORDS FOR"):
            inside = ".data.rel.ro" in line
        elif inside and (match := re.match(r"([0-9a-f]{8,})\s+\S+\s+(\S+)$", line)):
            at, target = int(match[1], 16), match[2]
            name = target
            if target.startswith(".text"):
                name = starts.get(int(target.partition("+")[2] or "0", 16), "")
            for address, size, record in spans:
                if address <= at < address + size and "_ZN2qb" in record:
                    records.setdefault(record, set()).add(name)
    return records


def reachable(roots: Iterable[str], functions: Mapping[str, Function]) -> list[str]:
    """The functions that these reach by calls, in the order found."""
    found: dict[str, None] = {}
    todo = [root for root in roots if root in functions]
    while todo:
        name = todo.pop(0)
        if name not in found:
            found[name] = None
            todo += sorted(r for r in functions[name].reaches if r in functions and r not in found)
    return list(found)


def kernels(symbols: str, records: Mapping[str, set[str]], variant: str) -> dict[str, set[str]]:
    """Exported kernels, without the variant in their names -> where their code begins."""
    found: dict[str, set[str]] = {}
    for line in symbols.splitlines():
        parts = line.split()
        if len(parts) != 4 or parts[2] not in "TDR":
            continue
        kernel = exported_name(parts[3]).removesuffix("_" + variant)
        if not kernel:
            continue
        for _, _, record in parts_of_record(0, 0, parts[3]) if parts[2] in "DR" else ():
            product = kernel + record.removeprefix(parts[3]).replace(":", "_")
            if product == kernel or record in records:
                found[product] = records.get(record, set())
        if parts[2] == "T":
            found[kernel] = {parts[3]}
    return found


def exported_name(symbol: str) -> str:
    """absmax_f32_avx2 of _ZN2qb6absmax15absmax_f32_avx2E...; "" of a symbol that is no kernel."""
    rest = symbol.removeprefix("_ZN2qb") if symbol.startswith("_ZN2qb") else ""
    name = ""
    for _ in range(2):  # the room, the kernel
        match = re.match(r"(\d+)", rest)
        if not match:
            return ""
        length = int(match[1])
        name, rest = rest[match.end() :][:length], rest[match.end() + length :]
    return name if rest.startswith("E") else ""
