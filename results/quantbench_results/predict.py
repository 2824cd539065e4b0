"""What a static model of a core's pipeline says about the hot loops: a prediction, not a measurement.

quantbench-predict BUILD [BUILD ...] --output results/predicted

The loops are read from the variants' objects (no marks in the kernels): every innermost loop of each
function that an exported kernel reaches, found by its backward branch. llvm-mca runs it as if every
load hit the first cache level and every branch were predicted. A loop's work is what it streams (bytes
at addresses that change from one iteration to the next) and, in a matmul, the products it adds up.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from quantbench_results import load, readme
from quantbench_results.cli import guarded
from quantbench_results.load import Results, ResultsError

ITERATIONS = 200
MOST_LOOPS = 6  # of a kernel: its passes, or its tile sizes
TOOL_SUFFIXES = ("-21", "-20", "-19", "-18", "-17", "")
LEAST_VERSION = 17


@dataclass(frozen=True)
class Core:
    """A core that LLVM has a scheduling model of."""

    name: str
    label: str
    arch: str
    isas: frozenset[str]
    features: str = ""
    sve_bytes: int = 0
    note: str = ""


_ARM = frozenset({"neon", "neon_fp16", "neon_dotprod"})
_ARM_FULL = _ARM | {"neon_i8mm", "neon_bf16", "sve"}
_AVX512 = frozenset({"avx512", "avx512vnni", "avx512bf16"})
CORES = (
    Core("neoverse-n1", "Neoverse N1", "aarch64", _ARM, "+fullfp16,+dotprod"),
    Core(
        "neoverse-v1",
        "Neoverse V1",
        "aarch64",
        _ARM_FULL,
        "+fullfp16,+dotprod,+i8mm,+bf16,+sve",
        32,
    ),
    Core(
        "neoverse-v2",
        "Neoverse V2",
        "aarch64",
        _ARM_FULL,
        "+fullfp16,+dotprod,+i8mm,+bf16,+sve",
        16,
    ),
    Core(
        "apple-m1",
        "Apple M1",
        "aarch64",
        _ARM,
        "+fullfp16,+dotprod",
        note="LLVM models it as the Cyclone of 2013: fewer vector pipes than it has",
    ),
    Core("znver3", "Zen 3", "x86-64", frozenset({"sse4_2", "avx2"})),
    Core("znver4", "Zen 4", "x86-64", _AVX512 | {"avx2"}),
    Core("alderlake", "Alder Lake P", "x86-64", frozenset({"avx2", "avxvnni"})),
    Core("sapphirerapids", "Sapphire Rapids", "x86-64", _AVX512 | {"avx512fp16"}),
)


@dataclass(frozen=True)
class Instruction:
    address: int
    mnemonic: str
    operands: str

    @property
    def text(self) -> str:
        return f"{self.mnemonic}\t{self.operands}" if self.operands else self.mnemonic


@dataclass
class Function:
    symbol: str
    instructions: list[Instruction] = field(default_factory=list)
    reaches: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Loop:
    """An innermost loop and the work of one iteration."""

    function: str
    address: int
    instructions: tuple[Instruction, ...]
    loaded: float
    """Bytes read in an iteration at addresses that change with it."""
    stored: float
    products: float
    """Multiply-adds of an iteration, of the narrowest type in it."""

    @property
    def work(self) -> float:
        return self.products or self.loaded + self.stored


@dataclass(frozen=True)
class Modelled:
    """One loop on one core."""

    kernel: str
    room: str
    variant: str
    function: str
    loop: int
    core: str
    instructions: int
    cycles: float
    """Per iteration."""
    binding: str
    """The units of the core that an iteration keeps busy longest."""
    bound_cycles: float
    """The cycles that the binding resource alone would need."""
    loaded: float
    stored: float
    products: float
    elements: float
    """Of the input, per iteration; 0 where the kernel's name does not tell, and in a matmul."""
    error: str = ""


# --- Objects


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
    found = re.search(r"version (\d+)", _run([path, "--version"]))
    return int(found[1]) if found else 0


def _run(command: Sequence[str], text: str | None = None) -> str:
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
_INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\s+([a-z][\w.]*)\s*(.*)$")
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
            operands = re.split(r" #[ <]|//", match[3])[0].strip()  # less the comment
            symbol = re.search(r"<([^>+]+)(?:\+0x[0-9a-f]+)?>$", operands)
            if symbol and match[2].startswith(
                ("call", "j", "b")
            ):  # not an address yet to be filled in
                current.reaches.add(symbol[1])
            operands = re.sub(r"\s*<[^>]*>", "", operands)
            current.instructions.append(Instruction(int(match[1], 16), match[2], operands))
    for function, target, pc_relative in pending:
        symbol, sign, offset = re.fullmatch(r"(.+?)(?:([+-])0x([0-9a-f]+))?", target).groups()
        if symbol == ".text":
            address = int((sign or "") + (offset or "0"), 16) + (4 if pc_relative else 0)
            symbol = starts.get(address, "")
        function.reaches.add(symbol)
    return functions


def formats_of_products() -> list[str]:
    """The weight formats, in the order in which a record of products has their kernels."""
    rows = Path(__file__).parents[2] / "kernels" / "formats" / "formats.inc"
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


# --- Loops


def loops_of(function: Function, arch: str, sve_bytes: int = 16) -> list[Loop]:
    """The innermost loops of a function that do vector work."""
    spans: dict[int, int] = {}
    if not function.instructions:
        return []
    first, last = function.instructions[0].address, function.instructions[-1].address
    for instruction in function.instructions:
        target = branch_target(instruction, arch)
        if target is not None and first <= target <= instruction.address <= last:
            spans[target] = max(spans.get(target, 0), instruction.address)
    innermost = [
        (head, tail)
        for head, tail in spans.items()
        if not any((h, t) != (head, tail) and head <= h and t <= tail for h, t in spans.items())
    ]
    found = []
    for head, tail in sorted(innermost):
        body = tuple(i for i in function.instructions if head <= i.address <= tail)
        if any(i.mnemonic in ("call", "bl", "blr") for i in body):
            continue
        loop = measured_work(function.symbol, head, body, arch, sve_bytes)
        if loop.work > 0 and any(is_vector(i, arch) for i in body):
            found.append(loop)
    return found


def branch_target(instruction: Instruction, arch: str) -> int | None:
    mnemonic = instruction.mnemonic
    if arch == "x86-64":
        branches = mnemonic.startswith("j")
    else:
        branches = mnemonic == "b" or mnemonic.startswith(("b.", "cb", "tb"))
    match = re.search(r"(?:^|\s|,)0x([0-9a-f]+)$", instruction.operands) if branches else None
    return int(match[1], 16) if match else None


def is_vector(instruction: Instruction, arch: str) -> bool:
    pattern = r"\b[xyz]mm\d" if arch == "x86-64" else r"\b[vz]\d+\.|\bq\d+\b"
    return re.search(pattern, instruction.operands) is not None


_X86_SIZES = {
    "byte": 1,
    "word": 2,
    "dword": 4,
    "qword": 8,
    "xmmword": 16,
    "ymmword": 32,
    "zmmword": 64,
}
_X86_MEMORY = re.compile(r"\b(\w+) ptr (?:\w+:)?\[([^\]]*)\]")
_X86_REGISTERS = {
    **{f"{p}{r}{s}": f"r{r}{s}" for r in "abcd" for p in "re" for s in ("x",)},
    **{f"{p}{r}": f"r{r}" for r in ("si", "di", "bp", "sp") for p in ("r", "e")},
    **{f"r{n}{s}": f"r{n}" for n in range(8, 16) for s in ("", "d")},
}


def _x86_written(instruction: Instruction) -> str | None:
    """The general-purpose register that the instruction changes."""
    if instruction.mnemonic.startswith(("cmp", "test", "j", "push", "prefetch", "nop", "bt")):
        return None
    return _X86_REGISTERS.get(instruction.operands.split(",")[0].strip())


def _x86_access(instruction: Instruction) -> tuple[float, bool, set[str]] | None:
    """(bytes, whether stored, registers of the address) of an access to memory."""
    if instruction.mnemonic.startswith(("lea", "nop", "prefetch")):
        return None
    match = _X86_MEMORY.search(instruction.operands)
    if not match:
        return None
    registers = {_X86_REGISTERS.get(word, word) for word in re.findall(r"[a-z][a-z0-9]+", match[2])}
    stored = instruction.operands.startswith(match[0]) and not instruction.mnemonic.startswith(
        ("cmp", "test")
    )
    return float(_X86_SIZES.get(match[1], 0)), stored, registers


_X86_PRODUCTS = (  # products per byte of the widest register
    (r"vpdpbusd|vpmaddubsw|pmaddubsw|tdpb", 1.0),
    (r"vpdpwssd|vdpbf16ps|v?pmaddwd", 0.5),
    (r"vfn?m(add|sub)\d+ph", 0.5),
    (r"vfn?m(add|sub)\d+ps", 0.25),
    (r"v?mulps", 0.25),
)
_ARM_PRODUCTS = (
    (r"(us|s|u)mmla", 2.0),
    (r"bfmmla", 1.0),
    (r"(us|s|u|su)dot", 1.0),
    (r"bfdot", 0.5),
    (r"[su]ml[as]l2?|[su]mull2?|[su]mlalb|[su]mlalt", 0.5),
    (r"fml[as](l2?|lb|lt)?", 0.25),
    (r"fmul", 0.25),
)


def products_of(body: Sequence[Instruction], arch: str, sve_bytes: int) -> float:
    """Multiply-adds of an iteration: those of the narrowest type, which the others only scale."""
    table = _X86_PRODUCTS if arch == "x86-64" else _ARM_PRODUCTS
    for pattern, per_byte in table:
        total = 0.0
        for instruction in body:
            if not re.fullmatch(pattern, instruction.mnemonic):
                continue
            total += (
                per_byte
                * _vector_bytes(instruction, arch, sve_bytes)
                * _per_lane(instruction, arch)
            )
        if total:
            return total
    return 0.0


def _per_lane(instruction: Instruction, arch: str) -> float:
    """Halves have twice the lanes of the floats that the table counts."""
    return 2.0 if arch == "aarch64" and instruction.mnemonic in ("fmla", "fmls", "fmul") and re.match(
        r"[vz]\d+\.(8|4)?h", instruction.operands
    ) else 1.0  # fmt: skip


def _vector_bytes(instruction: Instruction, arch: str, sve_bytes: int) -> float:
    if arch == "x86-64":
        widths = [
            {"x": 16, "y": 32, "z": 64}[w]
            for w in re.findall(r"\b([xyz])mm\d", instruction.operands)
        ]
        return float(max(widths, default=0))
    first = instruction.operands.split(",")[0]
    if first.startswith("z"):
        return float(sve_bytes)
    return 8.0 if re.search(r"\.(2s|4h|8b)$", first) else 16.0 if re.match(r"v\d", first) else 4.0


_ARM_SCALAR = {"b": 1, "h": 2, "s": 4, "d": 8, "q": 16, "w": 4, "x": 8}


def _arm_register(word: str) -> str:
    return "x" + word[1:] if re.fullmatch(r"[wx]\d+", word) else word


def _arm_written(instruction: Instruction) -> set[str]:
    """The general-purpose registers that the instruction changes, post-indexed addresses too."""
    written = set()
    if not instruction.mnemonic.startswith(
        ("cmp", "cmn", "tst", "st", "prf", "b", "cb", "tb", "ccmp")
    ):
        first = instruction.operands.split(",")[0].strip()
        if re.fullmatch(r"[wx]\d+", first):
            written.add(_arm_register(first))
    if match := re.search(r"\[(x\d+)[^\]]*\](!|, *(#|x\d))", instruction.operands):
        written.add(match[1])
    return written


def _arm_access(instruction: Instruction, sve_bytes: int) -> tuple[float, bool, set[str]] | None:
    match = re.search(r"\[([^\]]+)\]", instruction.operands)
    mnemonic = instruction.mnemonic
    load, store = re.match(r"ld|ff?ld", mnemonic), mnemonic.startswith("st")
    if not match or not (load or store):
        return None
    # The bracket after a lane is an index: the address is the last one.
    address = re.findall(r"\[([^\]]+)\]", instruction.operands)[-1]
    registers = {_arm_register(word) for word in re.findall(r"\b(?:[wx]\d+|sp)\b", address)}
    head = instruction.operands.split("[")[0]
    if re.search(r"\bz\d+\.", head):
        count = len(re.findall(r"\bz\d+\.", head))
        memory = re.search(r"[1-4]r?[suq]*([bhwdq])", mnemonic)
        lanes = re.search(r"\bz\d+\.([bhsd])", head)
        share = 1.0
        if memory and lanes:
            share = {"b": 1, "h": 2, "w": 4, "d": 8, "q": 16}[memory[1]] / _ARM_SCALAR[lanes[1]]
        if mnemonic.startswith("ld1r"):
            return 16.0 if "rq" in mnemonic else 4.0, False, registers
        return sve_bytes * count * min(share, 1.0), bool(store), registers
    if re.match(r"(ld|st)r\b|(ld|st)r$|[a-z]*", mnemonic) and re.match(r"z\d+,", head):
        return float(sve_bytes), bool(store), registers
    if re.search(r"\bv\d+\.", head):
        count = len(re.findall(r"\bv\d+\.", head))
        arrangement = re.search(r"v\d+\.(\d*)([bhsd])", head)
        element = _ARM_SCALAR[arrangement[2]] if arrangement else 1
        lanes = int(arrangement[1]) if arrangement and arrangement[1] else 1
        if re.match(r"ld\dr", mnemonic):
            lanes = 1
        return float(count * element * lanes), bool(store), registers
    words = [w for w in re.findall(r"\b([bhsdqwx])\d+\b|\b([wx])zr\b", head)]
    names = [a or b for a, b in words]
    if not names:
        return None
    width = float(_ARM_SCALAR[names[0]])
    if mnemonic.endswith(("b", "sb")) and names[0] in "wx":
        width = 1.0
    elif mnemonic.endswith("h") and names[0] in "wx":
        width = 2.0
    elif mnemonic.endswith("sw"):
        width = 4.0
    pair = mnemonic.startswith(("ldp", "stp", "ldnp", "stnp"))
    return width * (2 if pair else 1), bool(store), registers


def measured_work(
    symbol: str, head: int, body: tuple[Instruction, ...], arch: str, sve_bytes: int
) -> Loop:
    """The loop with the bytes that it streams and the products that it adds up."""
    written: set[str] = set()
    for instruction in body:
        if arch == "x86-64":
            if register := _x86_written(instruction):
                written.add(register)
        else:
            written |= _arm_written(instruction)
    loaded = stored = 0.0
    for instruction in body:
        access = (
            _x86_access(instruction) if arch == "x86-64" else _arm_access(instruction, sve_bytes)
        )
        if access and access[2] & written:
            if access[1]:
                stored += access[0]
            else:
                loaded += access[0]
    return Loop(symbol, head, body, loaded, stored, products_of(body, arch, sve_bytes))


# Bytes of one input element, by the first type in a kernel's name after the operation.
_INPUT_BYTES = {
    "f32": 4.0,
    "f16": 2.0,
    "bf16": 2.0,
    "s8": 1.0,
    "s8g": 1.0,
    "s4": 0.5,
    "s4g": 0.5,
    "q8_0": 34 / 32,
    "q4_0": 18 / 32,
}


def elements_of(kernel: str, loop: Loop) -> float:
    """Input elements of an iteration, by what it loads; 0 where the name does not tell."""
    match = re.match(
        r"(convert|absmax|quantize|dequantize|pack|unpack)_(bf16|f16|f32|s8g?|s4g?|q\d_0)", kernel
    )
    if not match:
        return 0.0
    size = _INPUT_BYTES[match[2]]
    if match[1] == "pack":
        size = 1.0  # codes, a byte each
    return loop.loaded / size


# --- The model


def assembly(loop: Loop, arch: str) -> str:
    """The loop as llvm-mca reads it: branches go to its own label."""
    lines = [".intel_syntax noprefix"] if arch == "x86-64" else []
    lines.append(".Lloop:")
    for instruction in loop.instructions:
        if instruction.mnemonic.startswith("nop"):
            continue
        text = instruction.text
        if branch_target(instruction, arch) is not None:
            text = re.sub(r"0x[0-9a-f]+$", ".Lloop", text)
        if arch == "x86-64":
            text = re.sub(r"\[rip( [+-] 0x[0-9a-f]+)?\]", "[rip + .Lloop]", text)
        lines.append("\t" + text)
    return "\n".join(lines) + "\n"


def run_mca(mca: str, core: Core, text: str, features: str = "") -> dict[str, object]:
    triple = "aarch64-linux-gnu" if core.arch == "aarch64" else "x86_64-linux-gnu"
    command = [
        mca,
        f"-mtriple={triple}",
        f"-mcpu={core.name}",
        f"-iterations={ITERATIONS}",
        "-json",
    ]
    if features:
        command.append(f"-mattr={features}")
    try:
        return json.loads(_run(command, text))
    except ValueError:
        raise ResultsError(mca, "did not write JSON") from None


def summarise(report: Mapping[str, object]) -> tuple[float, str, float]:
    """(cycles per iteration, the busiest units, the cycles that they need) from llvm-mca's JSON."""
    region = report["CodeRegions"][0]
    summary = region["SummaryView"]
    cycles = summary["TotalCycles"] / summary["Iterations"]
    count = len(region["Instructions"])
    names = report["TargetInfo"]["Resources"]
    pressure: dict[str, list[float]] = {}
    for entry in region["ResourcePressureView"]["ResourcePressureInfo"]:
        if entry["InstructionIndex"] == count:  # the sum over the loop
            name = names[entry["ResourceIndex"]]
            # One pipe of several is numbered: "V1UnitV.2", or with the number as a character.
            pressure.setdefault(re.sub(r"\.[\d\x00-\x1f]*$", "", name), []).append(
                float(entry["ResourceUsage"])
            )
    # A unit of several pipes is as busy as the busiest of them.
    needs = {name: max(values) for name, values in pressure.items()}
    width = summary["DispatchWidth"]
    needs["dispatch"] = summary["TotaluOps"] / summary["Iterations"] / width if width else 0.0
    need = max(needs.values())
    busiest = sorted({unit_name(name) for name, value in needs.items() if value >= 0.98 * need})
    return cycles, " ".join(busiest), need


def unit_name(resource: str) -> str:
    """N1UnitV0 -> V0, CyUnitLS -> LS, Zn3FP45 -> FP45, SPRPort05 -> Port05."""
    return re.sub(r"^(N1Unit|V[12]Unit|CyUnit|Zn[34]|ADLP|SPR)(?=\w)", "", resource)


def model(
    builds: Sequence[Path],
    cores: Sequence[Core] = CORES,
    families: Sequence[str] = ("hand", "xsimd"),
) -> list[Modelled]:
    """Every hot loop of the builds' variants on every core that can run it."""
    objdump, nm, mca = tool("llvm-objdump"), tool("llvm-nm"), tool("llvm-mca")
    found: list[Modelled] = []
    for build in builds:
        for room, variant, path in objects(build):
            kind = (
                variant.split("_")[0]
                if variant.startswith(("xsimd", "autovec", "scalar"))
                else "hand"
            )
            if kind not in families:
                continue
            able = [core for core in cores if isa_of(variant) in core.isas]
            if able:
                found += _model_object(objdump, nm, mca, room, variant, path, able)
    return found


def _model_object(
    objdump: str, nm: str, mca: str, room: str, variant: str, path: Path, cores: Sequence[Core]
) -> list[Modelled]:
    arch = "aarch64" if "aarch64" in _run([objdump, "-f", str(path)]) else "x86-64"
    functions = parse_disassembly(
        _run([objdump, "-d", "-r", "--no-show-raw-insn", "--x86-asm-syntax=intel", str(path)]
             if arch == "x86-64" else [objdump, "-d", "-r", "--no-show-raw-insn", "--mattr=+all", str(path)])
    )  # fmt: skip
    symbols = _run([nm, "-S", "--defined-only", str(path)])
    records = parse_records(symbols, _run([objdump, "-r", str(path)]), functions)
    found = []
    cache: dict[tuple[str, str], tuple[float, str, float] | str] = {}
    for kernel, roots in kernels(symbols, records, variant).items():
        for core in (c for c in cores if c.arch == arch):
            loops = [
                loop
                for name in reachable(sorted(roots), functions)
                for loop in loops_of(functions[name], arch, core.sve_bytes or 16)
            ]
            for index, loop in enumerate(hottest(kernel, loops)):
                text = assembly(loop, arch)
                key = (core.name, text)
                if key not in cache:
                    try:
                        cache[key] = summarise(run_mca(mca, core, text, core.features))
                    except ResultsError as error:
                        cache[key] = error.problem
                outcome = cache[key]
                cycles, binding, need = (
                    (math.nan, "", math.nan) if isinstance(outcome, str) else outcome
                )
                found.append(
                    Modelled(
                        kernel, room, variant, loop.function, index, core.name,
                        len(loop.instructions), cycles, binding, need, loop.loaded, loop.stored,
                        loop.products if kernel.startswith("matmul") else 0.0,
                        elements_of(kernel, loop), outcome if isinstance(outcome, str) else "",
                    )
                )  # fmt: skip
    return found


def hottest(kernel: str, loops: Sequence[Loop]) -> list[Loop]:
    """The loops that do most in an iteration, of each function the first: a tail does little."""
    matmul = kernel.startswith("matmul")

    def work(loop: Loop) -> float:
        return loop.products if matmul else loop.loaded

    # Of two loops the one for data in the caches: models make much of non-temporal stores.
    cached = [loop for loop in loops if not any("movnt" in i.mnemonic for i in loop.instructions)]
    best: dict[str, Loop] = {}
    for loop in cached or loops:
        if work(loop) > 0 and (loop.function not in best or work(loop) > work(best[loop.function])):
            best[loop.function] = loop
    ranked = sorted(best.values(), key=work, reverse=True)
    if not ranked:
        return []
    most = work(ranked[0])
    return [loop for loop in ranked if work(loop) >= most / 16][:MOST_LOOPS]


# --- Beside what was measured


def measured_cycles(results: Results) -> dict[tuple[str, str], float]:
    """(kernel, variant) -> measured cycles an input element, where the data lies in the first cache
    level; of a matmul, cycles a product, at its best shape. By the clock that was measured beside."""
    symbols = results.context.get("operations")
    found: dict[tuple[str, str], tuple[int, float]] = {}
    for row in results.rows if isinstance(symbols, dict) else ():
        kernel, clock = symbols.get(f"{row.op}/{row.format}"), row.at_best("clock_ghz")
        if row.failed or row.threads != 1 or row.cold or not isinstance(kernel, str) or not clock:
            continue
        if not row.claims_timing or row.op == "repack":
            continue
        if row.op == "matmul":
            done = row.at_best("ops_per_second")
            value, rank = (2e9 * clock / done, -done) if done else (math.nan, 0)
        else:
            done = row.at_best("items_per_second")
            value, rank = (1e9 * clock / done, row.dims.get("n", 0)) if done else (math.nan, 0)
        key = (kernel, row.variant)
        if done and (key not in found or rank < found[key][0]):
            found[key] = (rank, value)
    return {key: value for key, (_, value) in found.items()}


# --- Output


def unit_cost(loop: Modelled) -> float:
    """Predicted cycles an element, or of a matmul a product; NaN where there is no such unit."""
    units = loop.products or loop.elements
    return loop.cycles / units if units else math.nan


def kernel_costs(found: Sequence[Modelled]) -> dict[tuple[str, str, str], list[Modelled]]:
    """(kernel, variant, core) -> its loops, that of the most work first."""
    groups: dict[tuple[str, str, str], list[Modelled]] = {}
    for loop in found:
        groups.setdefault((loop.kernel, loop.variant, loop.core), []).append(loop)
    return groups


def markdown(
    found: Sequence[Modelled],
    measured: Mapping[tuple[str, str], float],
    source: str,
    model_version: str = "",
) -> str:
    """The tables: one per kernel family and architecture, a line per kernel and variant, a column per
    core."""
    cores = [core for core in CORES if any(loop.core == core.name for loop in found)]
    groups = kernel_costs(found)
    out = [
        "# Predicted by a pipeline model, not measured",
        "",
        "Written by `make predict`: LLVM's llvm-mca runs each kernel's hottest loop as compiled, as if",
        "every load hit the first cache level, every branch were predicted and nothing else ran. Tails,",
        "calls and set-up are not in it. For array operations the figure is cycles per 1000 input elements",
        "of the slowest pass (quantizing takes two: absmax, then codes); for matmul, cycles per 1000",
        "multiply-adds of the loop that does most of them. Beside it: the units that bind that loop, by",
        "LLVM's names, and how busy the model keeps them; what is missing to 100 % goes to chains of",
        "dependent instructions and to uneven use.",
        "",
    ]
    if model_version:
        out += [f"Modelled by {model_version}; every loop on every core: `loops.csv`.", ""]
    notes = [f"{core.label}: {core.note}." for core in cores if core.note]
    if notes:
        out += [*notes, ""]
    if measured:
        out += [
            f"*measured* is from {source}:",
            "cycles by the clock measured beside each row, of the smallest size (array operations) or the",
            "fastest shape (matmul). It is there to judge the model by; it includes all passes, tails and",
            "calls.",
            "",
        ]
    for title, matmul in (("Array operations", False), ("Matmul", True)):
        for arch in ("x86-64", "AArch64"):
            columns = [core for core in cores if core.arch == arch.lower()]
            out += _table(f"{title}, {arch}", columns, matmul, groups, measured)
    behind = behind_twins(found)
    if any(core.arch == "aarch64" for core in cores) and any(
        core.name == "znver3" for core in cores
    ):
        labels = {core.name: core.label for core in CORES}
        out += [
            "## ARM loops further from their binding units than their AVX2 twins",
            "",
            *(
                f"- {loop.kernel} {loop.variant} on {labels[loop.core]}: {100 * busy(loop):.0f} % "
                f"({loop.binding}), the twin {100 * busy(twin):.0f} %"
                for loop, twin in behind
            ),
            *([] if behind else ["None."]),
            "",
        ]
    failures = sorted({(loop.variant, loop.core, loop.error) for loop in found if loop.error})
    if failures:
        out += ["## Not modelled", ""]
        out += [
            f"- {variant} on {core}: {load.printable(why, 200)}" for variant, core, why in failures
        ]
        out.append("")
    return "\n".join(out).rstrip() + "\n"


def _table(
    title: str,
    cores: Sequence[Core],
    matmul: bool,
    groups: Mapping[tuple[str, str, str], list[Modelled]],
    measured: Mapping[tuple[str, str], float],
) -> list[str]:
    """The lines of what these cores can run, with what was measured where any of it was."""
    names = list(
        dict.fromkeys(
            (kernel, variant)
            for kernel, variant, name in groups
            if kernel.startswith("matmul") == matmul and any(core.name == name for core in cores)
        )
    )
    if not names:
        return []
    names.sort(key=lambda name: name[0])
    shown = {name: f"{1000 * measured[name]:.0f}" for name in names if measured.get(name)}
    titles = ["kernel", "variant", *(core.label for core in cores), *(["measured"] if shown else [])]
    out = [f"## {title}", "", "| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    for name in names:
        loops = (groups.get((*name, core.name)) for core in cores)
        cells = [*name, *(_cell(slowest(some)) if some else "" for some in loops)]
        out.append("| " + " | ".join([*cells, *([shown.get(name, "")] if shown else [])]) + " |")
    return [*out, ""]


def slowest(loops: Sequence[Modelled]) -> Modelled:
    """The loop that a kernel is judged by: of its passes the one of the most cycles an element; of
    a matmul's tile sizes that of the most products an iteration."""
    whole = [loop for loop in loops if not loop.error and not loop.products]
    return max(whole, key=unit_cost) if whole and loops[0].elements else loops[0]


def busy(loop: Modelled) -> float:
    """The share of the time that the binding units are busy."""
    return loop.bound_cycles / loop.cycles if loop.cycles else math.nan


def _cell(loop: Modelled) -> str:
    if loop.error:
        return "not modelled"
    cost = unit_cost(loop)
    figure = f"{1000 * cost:.0f}" if math.isfinite(cost) else f"{loop.cycles:.1f} an iteration"
    units = loop.binding.split()
    named = units[0] if len(units) == 1 else f"{units[0]}…{units[-1]}"
    return f"{figure}, {named} {100 * busy(loop):.0f} %"


def behind_twins(found: Sequence[Modelled]) -> list[tuple[Modelled, Modelled]]:
    """Hand-written ARM loops that keep their binding units less busy than the AVX2 loop of the same
    kernel does on a Zen 3, with that loop; the furthest behind first."""
    groups = kernel_costs(found)
    behind = []
    for (kernel, variant, core), loops in groups.items():
        twin = groups.get((kernel, "avx2", "znver3"))
        ours = next(c for c in CORES if c.name == core)
        if not twin or ours.arch != "aarch64" or variant.startswith("xsimd"):
            continue
        pair = slowest(loops), slowest(twin)
        if not pair[0].error and not pair[1].error and busy(pair[0]) < 0.98 * busy(pair[1]):
            behind.append(pair)
    return sorted(behind, key=lambda pair: busy(pair[0]) / busy(pair[1]))


def table(found: Sequence[Modelled]) -> str:
    """Every loop on every core as CSV, a line each; empty where the model has no figure."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [f.name for f in fields(Modelled)], lineterminator="\n")
    writer.writeheader()
    for loop in found:
        writer.writerow({
            key: f"{value:.6g}" if isinstance(value, float) and math.isfinite(value)
            else "" if isinstance(value, float) else value
            for key, value in asdict(loop).items()
        })  # fmt: skip
    return text.getvalue()


def _main(argv: list[str] | None) -> int:
    parser = argparse.ArgumentParser(
        prog="quantbench-predict",
        description="Models each hot loop of built kernels with llvm-mca: a prediction, labelled so.",
    )
    parser.add_argument("builds", nargs="+", type=Path, metavar="BUILD", help="build folders")
    parser.add_argument("--output", type=Path, default=Path("results/predicted"), metavar="FOLDER")
    parser.add_argument(
        "--measured",
        type=Path,
        metavar="FILE",
        help="a results file to show beside the model, or a README whose tables name one",
    )
    options = parser.parse_args(argv)
    found = model(options.builds)
    if not found:
        raise ResultsError(
            options.builds[0], "no hot loop of a variant that a modelled core can run"
        )
    measured, source = {}, ""
    if options.measured:
        file = options.measured
        if file.suffix == ".md":
            file = readme.named_file(file)
        results = load.load(file)
        cpu = results.text("cpu_name")
        measured, source = measured_cycles(results), load.printable(f"{file.name} ({cpu})", 200)
    version = _run([tool("llvm-mca"), "--version"]).strip().splitlines()[0].strip()
    for name, text in (
        ("loops.csv", table(found)),
        ("README.md", markdown(found, measured, source, version)),
    ):
        load.write_text(options.output / name, text)
        print(options.output / name)
    failed = sum(bool(loop.error) for loop in found)
    print(f"{len(found)} loops modelled, {failed} of them not possible")
    return 0


def main(argv: list[str] | None = None) -> int:
    return guarded("quantbench-predict", lambda: _main(argv))


if __name__ == "__main__":
    sys.exit(main())
