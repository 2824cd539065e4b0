# SPDX-License-Identifier: Apache-2.0
"""What single instructions read, write and change, on x86-64 and AArch64."""

from __future__ import annotations

import re

from quantbench_results.predict.objects import Instruction

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


def x86_written(instruction: Instruction) -> str | None:
    """The general-purpose register that the instruction changes."""
    if instruction.mnemonic.startswith(("cmp", "test", "j", "push", "prefetch", "nop", "bt")):
        return None
    return _X86_REGISTERS.get(instruction.operands.split(",")[0].strip())


def x86_access(instruction: Instruction) -> tuple[float, bool, set[str]] | None:
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


_ARM_SCALAR = {"b": 1, "h": 2, "s": 4, "d": 8, "q": 16, "w": 4, "x": 8}


def _arm_register(word: str) -> str:
    return "x" + word[1:] if re.fullmatch(r"[wx]\d+", word) else word


def arm_written(instruction: Instruction) -> set[str]:
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


def arm_access(instruction: Instruction, sve_bytes: int) -> tuple[float, bool, set[str]] | None:
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


def is_vector(instruction: Instruction, arch: str) -> bool:
    pattern = r"\b[xyz]mm\d" if arch == "x86-64" else r"\b[vz]\d+\.|\bq\d+\b"
    return re.search(pattern, instruction.operands) is not None


def vector_bytes(instruction: Instruction, arch: str, sve_bytes: int) -> float:
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


def branch_target(instruction: Instruction, arch: str) -> int | None:
    mnemonic = instruction.mnemonic
    if arch == "x86-64":
        branches = mnemonic.startswith("j")
    else:
        branches = mnemonic == "b" or mnemonic.startswith(("b.", "cb", "tb"))
    match = re.search(r"(?:^|\s|,)0x([0-9a-f]+)$", instruction.operands) if branches else None
    return int(match[1], 16) if match else None
