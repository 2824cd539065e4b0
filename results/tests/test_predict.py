# SPDX-License-Identifier: Apache-2.0
"""The pipeline model of hot loops: what is read from objects, and what is said about it."""

from __future__ import annotations

import csv
import math
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import entries, sample

from quantbench_results import load
from quantbench_results.errors import ResultsError
from quantbench_results.predict import (
    accesses,
    command,
    cores,
    judge,
    loops,
    model,
    objects,
    output,
    work,
)
from quantbench_results.predict.model import Modelled
from quantbench_results.predict.objects import Function, Instruction

X86 = """
absmax.o:	file format elf64-x86-64

Disassembly of section .text:

0000000000000000 <_ZN2qb6absmax12_GLOBAL__N_14tailEPKfm>:
       0:      	vmovss	xmm0, dword ptr [rdi]
       4:      	ret

0000000000000010 <_ZN2qb6absmax15absmax_f32_avx2EPKfm>:
      10:      	vbroadcastss	ymm2, dword ptr [rip]  # 0x19 <_ZN2qb6absmax15absmax_f32_avx2EPKfm+0x9>
		0000000000000015:  R_X86_64_PC32	.LC0-0x4
      20:      	vandps	ymm0, ymm2, ymmword ptr [rdi + 4*rax]
      25:      	vmaxps	ymm1, ymm1, ymmword ptr [rsp - 0x20]
      29:      	vandps	ymm3, ymm2, ymmword ptr [rdi + 4*rax + 0x20]
      2d:      	add	rax, 0x10
      31:      	cmp	rax, rsi
      34:      	jb	0x20 <_ZN2qb6absmax15absmax_f32_avx2EPKfm+0x10>
      36:      	call	0x3b <_ZN2qb6absmax15absmax_f32_avx2EPKfm+0x2b>
		0000000000000037:  R_X86_64_PLT32	.text-0x4
      3b:      	ret
"""


@pytest.fixture
def functions():
    return objects.parse_disassembly(X86)


def test_disassembly(functions):
    kernel = functions["_ZN2qb6absmax15absmax_f32_avx2EPKfm"]
    assert [i.mnemonic for i in kernel.instructions][:3] == ["vbroadcastss", "vandps", "vmaxps"]
    assert kernel.instructions[0].operands == "ymm2, dword ptr [rip]"
    assert kernel.instructions[6].operands == "0x20"
    assert "_ZN2qb6absmax12_GLOBAL__N_14tailEPKfm" in kernel.reaches


def test_reaches_what_is_called(functions):
    kernel = "_ZN2qb6absmax15absmax_f32_avx2EPKfm"
    assert objects.reachable([kernel], functions) == [
        kernel, "_ZN2qb6absmax12_GLOBAL__N_14tailEPKfm"]  # fmt: skip
    assert objects.reachable(["unknown"], functions) == []


def test_an_address_yet_to_be_filled_in_is_no_call():
    text = "0000000000000000 <first>:\n   0:      	ret\n0000000000000004 <second>:\n"
    text = "Disassembly of section .text:\n" + text
    text += "   4:      	adrp	x0, 0x0 <first>\n		0000000000000004:  R_AARCH64_ADR_PREL_PG_HI21	.rodata\n"
    assert objects.reachable(["second"], objects.parse_disassembly(text)) == ["second"]


def test_loop_and_its_work(functions):
    (loop,) = loops.loops_of(functions["_ZN2qb6absmax15absmax_f32_avx2EPKfm"], "x86-64")
    assert (loop.address, len(loop.instructions)) == (0x20, 6)
    assert loop.loaded == 64  # not the spill at the stack pointer, which does not move
    assert loop.stored == 0
    assert work.work_of("absmax_f32", loop, "x86-64", 16) == work.Work("whole", 16)
    text = model.assembly(loop, "x86-64")
    assert text.startswith(".intel_syntax noprefix\n.Lloop:\n") and "\tjb\t.Lloop\n" in text


def test_only_innermost_loops_without_calls():
    body = [
        (0, "vmovaps", "ymm0, ymmword ptr [rdi]"),
        (4, "vmovaps", "ymm0, ymmword ptr [rsi]"),
        (8, "add", "rsi, 0x20"),
        (12, "jne", "0x4"),
        (16, "add", "rdi, 0x20"),
        (20, "jne", "0x0"),
        (24, "vmovaps", "ymm0, ymmword ptr [rdi]"),
        (28, "add", "rdi, 0x20"),
        (32, "call", "0x0"),
        (36, "jne", "0x18"),
    ]
    function = Function("f", [Instruction(*line) for line in body])
    assert [loop.address for loop in loops.loops_of(function, "x86-64")] == [4]


@pytest.mark.parametrize(
    ("text", "size", "stored"),
    [
        ("ldr q0, [x0, #0x10]", 16, False),
        ("ldp q0, q1, [x0], #0x20", 32, False),
        ("stp q0, q1, [x0, #0x20]", 32, True),
        ("ldr d3, [x0]", 8, False),
        ("ldur q6, [x1, #-0x10]", 16, False),
        ("ld1 { v0.16b, v1.16b }, [x0], #0x20", 32, False),
        ("ld4 { v0.4s, v1.4s, v2.4s, v3.4s }, [x0]", 64, False),
        ("ld1 { v0.s }[1], [x0]", 4, False),
        ("ld1r { v0.8h }, [x0]", 2, False),
        ("ldrsb w1, [x0]", 1, False),
        ("ldrh w1, [x0]", 2, False),
        ("ldr w1, [x0]", 4, False),
        ("ldr s1, [x0]", 4, False),
        ("str h1, [x0]", 2, True),
        ("ld1w { z0.s }, p0/z, [x0, x1, lsl #2]", 32, False),
        ("ld1sb { z0.s }, p0/z, [x0, x1]", 8, False),
        ("st1h { z0.s }, p0, [x0, x1, lsl #1]", 16, True),
        ("ldr z3, [x0, #1, mul vl]", 32, False),
    ],
)
def test_arm_accesses(text, size, stored):
    mnemonic, operands = text.split(" ", 1)
    access = accesses.arm_access(Instruction(0, mnemonic, operands), 32)
    assert access is not None and access[:2] == (size, stored)
    assert "x0" in access[2] or "x1" in access[2]


@pytest.mark.parametrize(
    "text", ["add x0, x0, #0x10", "prfm pldl1keep, [x0]", "fmla v0.4s, v1.4s, v2.s[0]"]
)
def test_arm_non_accesses(text):
    mnemonic, operands = text.split(" ", 1)
    assert accesses.arm_access(Instruction(0, mnemonic, operands), 16) is None


@pytest.mark.parametrize(
    ("text", "size", "stored"),
    [
        ("vmovups ymmword ptr [rdi + 4*rax], ymm0", 32, True),
        ("vpmovzxwd ymm0, xmmword ptr [rsi]", 16, False),
        ("vbroadcastss ymm0, dword ptr [rsi]", 4, False),
        ("movzx eax, word ptr [rsi]", 2, False),
        ("cmp dword ptr [rsi], 0x1", 4, False),
    ],
)
def test_x86_accesses(text, size, stored):
    mnemonic, operands = text.split(" ", 1)
    access = accesses.x86_access(Instruction(0, mnemonic, operands))
    assert access is not None and access[:2] == (size, stored)


@pytest.mark.parametrize(
    ("arch", "lines", "products"),
    [
        ("x86-64", ["vfmadd231ps ymm0, ymm1, ymm2", "vfmadd231ps ymm0, ymm1, ymm3"], 16),
        # The wider sums and the scaling come with the narrow products, and are none of their own.
        ("x86-64", ["vpmaddubsw ymm0, ymm1, ymm2", "vpmaddwd ymm0, ymm0, ymm3",
                    "vfmadd231ps ymm4, ymm0, ymm5"], 32),
        ("x86-64", ["vpdpbusd zmm0, zmm1, zmm2"], 64),
        ("aarch64", ["fmla v0.4s, v1.4s, v2.s[0]"], 4),
        ("aarch64", ["fmla v0.8h, v1.8h, v2.h[0]"], 8),
        ("aarch64", ["sdot v0.4s, v1.16b, v2.16b", "fmla v3.4s, v0.4s, v4.4s"], 16),
        ("aarch64", ["smmla v0.4s, v1.16b, v2.16b"], 32),
        ("aarch64", ["bfmmla v0.4s, v1.8h, v2.8h"], 16),
        ("aarch64", ["sdot z0.s, z1.b, z2.b"], 32),
        ("aarch64", ["add v0.4s, v1.4s, v2.4s"], 0),
    ],
)  # fmt: skip
def test_products(arch, lines, products):
    body = [Instruction(0, *line.split(" ", 1)) for line in lines]
    assert loops.products_of(body, arch, 32) == products


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("_ZN2qb6absmax15absmax_f32_avx2EPKfm", "absmax_f32_avx2"),
        ("_ZN2qb6matmul19matmul_a8_q4_0_avx2E", "matmul_a8_q4_0_avx2"),
        ("_ZN2qb6absmax12_GLOBAL__N_14tailEPKfm", ""),
        ("main", ""),
        ("_ZN2qb", ""),
    ],
)
def test_exported_name(symbol, name):
    assert objects.exported_name(symbol) == name


@pytest.mark.parametrize(
    ("variant", "isa"),
    [("avx2", "avx2"), ("xsimd_neon", "neon"), ("autovec_avx2", "avx2"), ("scalar", ""), ("autovec", ""),
     ("neon_i8mm", "neon_i8mm")],
)  # fmt: skip
def test_isa_of(variant, isa):
    assert objects.isa_of(variant) == isa


def test_records_hold_their_kernels_functions():
    functions = {"run": Function("run"), "pack": Function("pack")}
    symbols = (
        "0000000000000100 0000000000000010 t run\n0000000000000200 0000000000000010 t pack\n"
        "0000000000000040 0000000000000040 D _ZN2qb6matmul11matmul_neonE\n"
    )
    relocations = (
        "RELOCATION RECORDS FOR [.data.rel.ro.local]:\nOFFSET TYPE VALUE\n"
        "0000000000000048 R_X86_64_64              .text+0x100\n"
        "0000000000000050 R_X86_64_64              .text+0x200\n"
        "0000000000000010 R_X86_64_64              .text+0x200\n"
    )
    records = objects.parse_records(symbols, relocations, functions)
    assert records == {"_ZN2qb6matmul11matmul_neonE": {"run", "pack"}}
    assert objects.kernels(symbols, records, "neon") == {"matmul": {"run", "pack"}}


def test_a_record_of_products_is_split_by_format():
    functions = {"run": Function("run")}
    formats = objects.formats_of_products()
    size, record = 72 * len(formats), "_ZN2qb6matmul14matmul_a8_neonE"
    symbols = (
        "0000000000000100 0000000000000010 t run\n"
        f"0000000000000000 {size:016x} D {record}\n"
    )
    at = 72 * formats.index("q4_0") + 64
    relocations = (
        "RELOCATION RECORDS FOR [.data.rel.ro.local]:\nOFFSET TYPE VALUE\n"
        f"{at:016x} R_X86_64_64              .text+0x100\n"
    )
    records = objects.parse_records(symbols, relocations, functions)
    assert records == {f"{record}:q4_0": {"run"}}
    assert objects.kernels(symbols, records, "neon") == {"matmul_a8_q4_0": {"run"}}


def test_summary_names_the_busiest_units():
    def usage(index, resource, cycles):
        return {"InstructionIndex": index, "ResourceIndex": resource, "ResourceUsage": cycles}

    report = {
        "CodeRegions": [
            {
                "Instructions": ["a", "b"],
                "SummaryView": {"TotalCycles": 1000, "Iterations": 100, "TotaluOps": 1600, "DispatchWidth": 4},
                "ResourcePressureView": {
                    "ResourcePressureInfo": [
                        usage(0, 0, 9), usage(2, 0, 8.0), usage(2, 1, 7.9), usage(2, 2, 3.0)],
                },
            }
        ],
        "TargetInfo": {"Resources": ["V1UnitV0", "V1UnitV1.\x01", "V1UnitL"]},
    }  # fmt: skip
    assert model.summarise(report) == (10.0, "V0 V1", 8.0)


def loop(kernel="absmax_f32", variant="neon", core="neoverse-n1", **more):
    values = {
        "kernel": kernel, "room": "absmax", "variant": variant, "function": "f", "loop": 0,
        "core": core, "instructions": 9, "cycles": 10.0, "binding": "V0 V1", "bound_cycles": 9.0,
        "loaded": 64.0, "stored": 0.0, "products": 0.0, "elements": 16.0, "role": "whole", **more,
    }  # fmt: skip
    return Modelled(**values)


def test_markdown():
    found = [
        loop(),
        loop(variant="avx2", core="znver3", cycles=2.0, bound_cycles=2.0),
        loop("matmul_a8_s8", products=64.0, elements=0.0),
        loop(variant="sve", core="neoverse-v1", cycles=math.nan, error="unknown <instruction>"),
    ]
    measured = judge.Measured("a.json", None, {("absmax_f32", "avx2"): 0.15})
    text = output.markdown(found, measured)
    assert text.startswith("# Predicted by a pipeline model, not measured")
    # An architecture's table has its own cores, and what was measured only where anything was.
    arm, x86 = text.index("## Array operations, AArch64"), text.index("## Array operations, x86-64")
    assert x86 < text.index("| absmax_f32 | avx2 | 125, V0…V1 100 % | 150 |") < arm
    assert "| kernel | variant | Zen 3 | measured |" in text
    assert "| kernel | variant | Neoverse N1 | Neoverse V1 |\n" in text
    assert "## Matmul, AArch64" in text and "## Matmul, x86-64" not in text
    assert "| absmax_f32 | neon | 625, V0…V1 90 % |" in text
    assert "| matmul_a8_s8 | neon | 156, V0…V1 90 % |" in text
    assert "not modelled" in text and "- sve on neoverse-v1: unknown" in text
    assert "- absmax_f32 neon on Neoverse N1: 90 % (V0 V1), the twin 100 %" in text


@pytest.mark.parametrize("isa", ["avx512", "avx512vnni", "avx512bf16"])
def test_cores_of_both_makers_show_avx512(isa):
    assert {core.name for core in cores.CORES if isa in core.isas} == {"znver4", "sapphirerapids"}


@pytest.mark.parametrize(
    ("resource", "name"),
    [("N1UnitV0", "V0"), ("V2UnitL01", "L01"), ("CyUnitLS", "LS"), ("Zn3FP45", "FP45"),
     ("Zn4FP1", "FP1"), ("SPRPort05", "Port05"), ("ADLPPort05", "Port05")],
)  # fmt: skip
def test_unit_names(resource, name):
    assert model.unit_name(resource) == name


def test_the_cheapest_loop_that_does_the_work_is_shown():
    def told(*found):
        (prediction,) = judge.predictions(found).values()
        return prediction

    cases = [loop(cycles=9.0), loop(cycles=4.0), loop(cycles=math.nan, error="no")]
    assert told(*cases).loop is cases[1]
    # A loop that only looks for the largest magnitude is not what quantizing costs ...
    first = loop("quantize_f16_q8_0", cycles=1.0, role="first pass")
    assert told(first).loop is None
    whole = loop("quantize_f16_q8_0", cycles=8.0)
    assert told(first, whole).cost == pytest.approx(8 / 16)
    # ... but with one scale for all it is part of it.
    first, whole = (loop("quantize_f16_s8", cycles=c, role=r)
                    for c, r in ((1.0, "first pass"), (8.0, "whole")))  # fmt: skip
    assert told(first, whole).cost == pytest.approx(9 / 16)


def test_a_prediction_slower_than_what_was_measured_on_that_core_is_refused():
    (zen4,) = (core for core in cores.CORES if core.name == "znver4")
    found = [loop(variant="avx2", core=name) for name in ("znver3", "znver4")]
    measured = judge.Measured("a.json", zen4, {("absmax_f32", "avx2"): 0.4})
    told = judge.predictions(found, measured)
    assert {key[2]: p.refused for key, p in told.items()} == {"znver3": False, "znver4": True}
    text = output.markdown(found, measured)
    assert "| absmax_f32 | avx2 | 625, V0…V1 90 % | *refused: 625* | 400 |" in text
    assert "(1 of 1)" in text
    assert [line.rsplit(",", 1)[1] for line in output.table(found, told).splitlines()] == [
        "used", "used", "refused"]  # fmt: skip
    assert not any(p.refused for p in judge.predictions(
        found, judge.Measured("a.json", zen4, {("absmax_f32", "avx2"): 0.62})).values())  # fmt: skip


@pytest.mark.parametrize(
    ("kernel", "loaded", "stored", "role"),
    [
        ("absmax_f32", 256, 0, "whole"),
        ("absmax_f32", 256, 8, "whole"),  # maxima of groups
        ("absmax_f32", 64, 64, ""),
        ("convert_f32_bf16", 64, 32, "whole"),
        ("convert_f32_bf16", 64, 64, ""),
        ("convert_f32_bf16", 64, 0, ""),
        ("quantize_f32_s8g", 128, 36, "whole"),  # with a scale
        ("quantize_f16_s8", 128, 0, "first pass"),
        ("dequantize_q4_0_f32", 18, 128, "whole"),
        ("pack_s4", 64, 32, "whole"),
        ("unpack_s4", 32, 64, "whole"),
        ("something_else", 64, 64, ""),
        ("quantize_f32_unknown", 64, 64, ""),
    ],
)
def test_role_of_a_loop(kernel, loaded, stored, role):
    found = loops.Loop("f", 0, (), float(loaded), float(stored), 0.0)
    assert work.work_of(kernel, found, "x86-64", 16).role == role


def test_every_weight_format_of_the_table_has_a_size():
    text = (Path(__file__).parents[2] / "include/quantbench/formats.inc").read_text(encoding="utf-8")
    names = re.findall(r"^QB_FORMAT\((\w+)", text, re.MULTILINE)
    assert len(names) > 5
    for name in names:
        operation, read, written = work.bytes_of(f"dequantize_{name}_f32")
        assert operation == "dequantize" and 0 < read <= 4 and written == 4


def test_products_are_those_of_the_arithmetic():
    lines = ["vmulps ymm0, ymm1, ymm2", "vfmadd231ps ymm0, ymm1, ymm2"]
    body = tuple(Instruction(0, *line.split(" ", 1)) for line in lines)
    scaling = loops.Loop("f", 0, body, 64.0, 0.0, 8.0)
    assert work.work_of("matmul_a8_q8_0", scaling, "x86-64", 16).role == ""
    assert work.work_of("matmul_a32_q8_0", scaling, "x86-64", 16) == work.Work("whole", products=8)


def test_loops_for_data_beyond_the_caches_are_not_shown():
    def made(streaming):
        found = loops.Loop("f", 0, (), 64.0, 128.0, 0.0, streaming)
        return found, work.work_of("convert_f16_f32", found, "x86-64", 16)

    both = work.candidates("convert_f16_f32", [made(True), made(False)])
    assert [found.streaming for found, _ in both] == [False]
    assert len(work.candidates("convert_f16_f32", [made(True)])) == 1


def test_vex_instructions_are_read_and_written():
    text = "Disassembly of section .text:\n0000000000000000 <f>:\n"
    text += "   0:      \t{vex}\tvpdpbusd\tymm3, ymm5, ymm4\n"
    (instruction,) = objects.parse_disassembly(text)["f"].instructions
    assert instruction.mnemonic == "vpdpbusd" and instruction.text.startswith("{vex} vpdpbusd\t")


@pytest.mark.parametrize(
    ("numbers", "core"),
    [("25/17/1", "znver4"), ("25/1/1", "znver3"), ("6/207/2", "sapphirerapids"), ("6/85/7", None)],
)
def test_core_of_a_file(write, numbers, core):
    found = cores.core_of(load.load(write(sample({"cpu_family_model_stepping": numbers}))))
    assert (found.name if found else None) == core


def test_measured_cycles(write):
    data = sample({"operations": {"absmax/f32": "absmax_f32", "matmul/a8.q8_0": "matmul_a8_q8_0"}})
    data["benchmarks"] = entries("absmax/f32/avx2/n:4096", [409.6], clock_ghz=3.0)
    data["benchmarks"] += entries("absmax/f32/avx2/n:65536", [9e4], clock_ghz=3.0)
    data["benchmarks"] += entries("matmul/a8.q8_0/avx2/m:1/n:8/k:8", [6.4], clock_ghz=3.0)
    data["benchmarks"] += entries("absmax/f32/scalar/n:4096", [9.0])
    found = judge.measured_from(load.load(write(data)))
    assert found.cycles == {("absmax_f32", "avx2"): pytest.approx(0.3),
                            ("matmul_a8_q8_0", "avx2"): pytest.approx(0.3)}  # fmt: skip


def test_errors_are_one_line(tmp_path, capsys, monkeypatch):
    assert command.main([str(tmp_path)]) == 2
    assert "\n" not in capsys.readouterr().err.strip()
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(ResultsError, match="--llvm"):
        objects.tool("llvm-mca")


ASSEMBLY = """
  .text
  .globl _ZN2qb6absmax15absmax_f32_neonEPKfm
  .type _ZN2qb6absmax15absmax_f32_neonEPKfm,%function
_ZN2qb6absmax15absmax_f32_neonEPKfm:
1:
  ldp q0, q1, [x0], #32
  fmaxnm v2.4s, v2.4s, v0.4s
  fmaxnm v3.4s, v3.4s, v1.4s
  cmp x0, x1
  b.ne 1b
  ret
  .size _ZN2qb6absmax15absmax_f32_neonEPKfm, .-_ZN2qb6absmax15absmax_f32_neonEPKfm
"""


def test_an_object_from_end_to_end(tmp_path):
    try:
        objects.tool("llvm-mca")
        assembler = objects.tool("llvm-mc")
    except ResultsError as error:
        pytest.skip(str(error))
    folder = tmp_path / "build/kernels/CMakeFiles/qb_absmax_neon.dir/absmax"
    folder.mkdir(parents=True)
    subprocess.run(
        [assembler, "-triple=aarch64-linux-gnu", "-filetype=obj", "-o", folder / "neon.cc.o"],
        input=ASSEMBLY, text=True, check=True,
    )  # fmt: skip
    assert command.main([str(tmp_path / "build"), "--output", str(tmp_path / "out")]) == 0
    with (tmp_path / "out/loops.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    cores = {"neoverse-n1", "neoverse-v1", "neoverse-v2", "apple-m1"}
    assert {row["core"] for row in rows} == cores
    for row in rows:
        assert row["kernel"] == "absmax_f32" and row["elements"] == "8" and not row["error"]
        assert 1 <= float(row["cycles"]) < 8
        assert 0 < float(row["bound_cycles"]) <= float(row["cycles"]) + 0.1
    assert "not measured" in (tmp_path / "out/README.md").read_text(encoding="utf-8")
    assert "absmax_f32 | neon" in (tmp_path / "out/README.md").read_text(encoding="utf-8")
