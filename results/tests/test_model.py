# SPDX-License-Identifier: Apache-2.0
"""quantbench-formats on small models made here: its errors against NumPy and the gguf package, what it
says of bad files, and that what was done is kept."""

from __future__ import annotations

import json
import tracemalloc
import zipfile

import numpy as np
import pytest
from conftest import CONTEXT, entries
from test_layer import fake_program

qb = pytest.importorskip("quantbench")
gguf = pytest.importorskip("gguf")
safetensors = pytest.importorskip("safetensors.numpy")

import ml_dtypes

from quantbench_results.model import choices, losses, passes, reading
from quantbench_results.model.__main__ import main

RNG = np.random.default_rng(7)
W = {
    "up": RNG.standard_normal((96, 64)).astype(np.float32),
    "down": (RNG.standard_normal((64, 128)) * 3).astype(np.float32),
    "odd": RNG.standard_normal((16, 40)).astype(np.float32),
    "wide": RNG.standard_normal((8, 512)).astype(np.float32),
}
ENCODED_BY_GGUF = ("q8_0", "q4_0", "q4_1", "q5_0")


def run(model, tmp_path, *args):
    """The exit status and what was kept."""
    out = tmp_path / "out.json"
    status = main([str(model), "--no-speed", "--output", str(out), *args])
    return status, json.loads(out.read_text()) if out.exists() else None


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "m.safetensors"
    safetensors.save_file({**W, "bias": np.ones(7, np.float32)}, path)
    return path


def nmse(lost, whole):
    return float(np.square(lost, dtype=np.float64).sum() / np.square(whole, dtype=np.float64).sum())


def decoded(w, name):
    """The weights as a format keeps them, by NumPy or the gguf package; None if neither knows it."""
    if name == "f32":
        return w
    if name == "f16":
        return w.astype(np.float16).astype(np.float32)
    if name == "s8":
        scale = (np.abs(w).max(axis=1, keepdims=True) / np.float32(127)).astype(np.float32)
        return np.clip(np.rint(w / scale), -127, 127) * scale
    if name == "s4":
        scale = (np.abs(w).max(axis=1, keepdims=True) / np.float32(7)).astype(np.float32)
        return np.clip(np.rint(w / scale), -7, 7) * scale
    if name.startswith(("s8.g", "s4.g")):
        most, group = (127 if name[1] == "8" else 7), int(name[4:])
        groups = w.reshape(len(w), -1, group)
        largest = np.abs(groups).max(axis=2, keepdims=True)
        codes = np.rint(groups * (np.float32(most) / largest))
        return (codes * (largest / np.float32(most)).astype(np.float16).astype(np.float32)).reshape(w.shape)
    kind = getattr(gguf.GGMLQuantizationType, name.upper(), None)
    if kind is None:
        return None
    # Where the package has no encoder the bytes are quantbench's; what they mean is told by the package.
    encode = gguf.quants.quantize if name in ENCODED_BY_GGUF else None
    blocks = encode(w, kind) if encode else qb.quantize(w, name).values
    return gguf.quants.dequantize(blocks, kind)


@pytest.mark.parametrize("memory", ["1G", "20k"], ids=["whole", "in pieces"])
def test_errors_are_those_of_numpy(model, tmp_path, memory):
    _, kept = run(model, tmp_path, "--memory", memory)
    compared = set()
    for record in kept["tensors"]:
        w = W[record["name"]]
        for name, found in record["formats"].items():
            if (stored := decoded(w, name)) is None:
                continue
            compared.add(name)
            lost = (w - stored).astype(np.float64)
            rows = (lost**2).sum(axis=1) / (w.astype(np.float64) ** 2).sum(axis=1)
            assert found["nmse"] == pytest.approx(nmse(lost, w), rel=1e-4, abs=1e-14), name
            assert found["worst_row"] == rows.argmax(), name
            assert found["worst_row_nmse"] == pytest.approx(rows.max(), rel=1e-4, abs=1e-14)
            for kind, x in losses.activations(record["k"], 2135, None).items():
                expected = nmse(x.astype(np.float64) @ lost.T, x.astype(np.float64) @ w.T)
                assert found["output"][kind] == pytest.approx(expected, rel=1e-3, abs=1e-13), name
    assert compared >= {"f32", "f16", "s8", "s4", "s8.g32", "s4.g32", "s4.g128", "q8_0", "q4_0", "mxfp4",
                        "iq4_nl", "q4_K"}  # fmt: skip


def test_bf16_is_told_apart(model, tmp_path):
    _, kept = run(model, tmp_path)
    (record,) = [r for r in kept["tensors"] if r["name"] == "down"]
    w, bf16 = W["down"].astype(np.float64), ml_dtypes.bfloat16
    for name in ("q4_0", "s8.g32", "f32"):
        stored = decoded(W["down"], name).astype(bf16).astype(np.float64)
        for kind, rows in losses.activations(128, 2135, None).items():
            whole = nmse(rows.astype(bf16).astype(np.float64) @ stored.T - rows @ w.T, rows @ w.T)
            found = record["formats"][name]["products"]["abf16"][kind]
            assert found == pytest.approx(whole, rel=0.02), (name, kind)


def test_activations_in_8_bits_are_told_apart(model, tmp_path):
    """Of q8_0 the arithmetic quantizes activations as q8_0, whose error the gguf package knows."""
    _, kept = run(model, tmp_path)
    (record,) = [r for r in kept["tensors"] if r["name"] == "down"]
    w, x = W["down"].astype(np.float64), losses.activations(128, 2135, None)
    found = record["formats"]["q8_0"]
    for kind, rows in x.items():
        lost = rows - decoded(rows, "q8_0")
        stored = decoded(W["down"], "q8_0").astype(np.float64)
        alone = nmse(lost @ stored.T, rows.astype(np.float64) @ w.T)
        assert found["arithmetic_alone"]["a8"][kind] == pytest.approx(alone, rel=1e-3)
        whole = nmse((rows - lost) @ stored.T - rows @ w.T, rows @ w.T)
        assert found["products"]["a8"][kind] == pytest.approx(whole, rel=1e-3)
    outliers, normal = (found["arithmetic_alone"]["a8"][kind] for kind in ("outliers", "normal"))
    assert outliers > 2 * normal


def test_totals_add_up(model, tmp_path):
    _, kept = run(model, tmp_path)
    weights = {name: w.size for name, w in W.items()}
    for total in kept["totals"]:
        arithmetic, _, storage = total["choice"].partition(".")
        lost = errors = nbytes = 0.0
        for record in kept["tensors"]:
            instead = choices.fallback(choices.storages()[storage], record["k"])
            instead = instead if instead in record["formats"] else "f16"
            taken = storage if storage in record["formats"] else instead
            under = arithmetic if arithmetic in record["formats"][taken]["products"] else "a32"
            lost += record["formats"][taken]["lost_squares"]
            share = weights[record["name"]] / sum(weights.values())
            errors += share * record["formats"][taken]["products"][under]["outliers"]
            nbytes += choices.storages()[taken].bits(record["k"]) * weights[record["name"]] / 8
        whole = sum(np.square(w, dtype=np.float64).sum() for w in W.values())
        assert total["nmse"] == pytest.approx(lost / whole)
        assert total["error"] == pytest.approx(errors) and total["nbytes"] == pytest.approx(nbytes)
    of = {total["choice"]: total for total in kept["totals"]}
    assert of["a8.q4_0"]["elsewhere"] == {"f16": 1}, "40 inputs are no multiple of 32"
    assert {total["choice"].partition(".")[2] for total in kept["totals"]} == set(choices.storages())


def test_users_activations_are_counted(model, tmp_path):
    x = tmp_path / "x.npy"
    np.save(x, RNG.standard_normal((2, 5, 64)).astype(np.float32))
    _, kept = run(model, tmp_path, "--activations", str(x))
    given = {r["name"]: "given" in r["formats"]["s8"]["output"] for r in kept["tensors"]}
    assert given == {"up": True, "down": False, "odd": False, "wide": False}


def gguf_file(path):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tensor("a.weight", W["up"])
    kind = gguf.GGMLQuantizationType.Q4_0
    writer.add_tensor("b.weight", gguf.quants.quantize(W["down"], kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_every_kind_of_file_is_read(tmp_path):
    halves = {"h": W["up"].astype(np.float16), "b": W["up"].astype(ml_dtypes.bfloat16)}
    safetensors.save_file(halves, tmp_path / "one.safetensors")
    safetensors.save_file({"down": W["down"]}, tmp_path / "two.safetensors")
    index = {"weight_map": {"h": "one.safetensors", "b": "one.safetensors", "down": "two.safetensors"}}
    (tmp_path / "m.safetensors.index.json").write_text(json.dumps(index))
    np.save(tmp_path / "m.npy", W["up"])
    np.savez(tmp_path / "m.npz", up=W["up"], ids=np.arange(4))
    np.savez_compressed(tmp_path / "z.npz", up=W["up"])
    expected = {
        "m.safetensors.index.json": {**halves, "down": W["down"]},
        "m.npy": {"m": W["up"]}, "m.npz": {"up": W["up"]}, "z.npz": {"up": W["up"]},
        "m.gguf": {"a.weight": W["up"], "b.weight": decoded(W["down"], "q4_0")},
    }  # fmt: skip
    gguf_file(tmp_path / "m.gguf")
    for name, tensors in expected.items():
        with reading.opened(tmp_path / name) as found:
            assert {t.name for t in found.tensors} == set(tensors), name
            for t in found.tensors:
                w = np.asarray(tensors[t.name], np.float32)
                assert (t.n, t.k) == w.shape
                pieces = [t.rows(begin, min(begin + 30, t.n)) for begin in range(0, t.n, 30)]
                np.testing.assert_array_equal(np.vstack(pieces), w, err_msg=f"{name} {t.name}")


def test_matrices_are_chosen_and_turned(tmp_path):
    path = tmp_path / "m.safetensors"
    tensors = {"h.0.c_attn": W["up"], "wte": W["down"], "tok_embeddings": W["odd"]}
    safetensors.save_file(tensors, path)
    with reading.opened(path, transposed="c_attn") as found:
        (tensor,) = found.tensors
        np.testing.assert_array_equal(tensor.rows(3, 9), W["up"].T[3:9])
        assert {s.name for s in found.skipped} == {"wte", "tok_embeddings"}
    with reading.opened(path, wanted="^wte$") as found:
        assert [t.name for t in found.tensors] == ["wte"]


def test_a_matrix_with_nan_is_left_out_and_the_rest_kept(tmp_path, capsys):
    bad = W["down"].copy()
    bad[5, 3] = np.nan
    safetensors.save_file({"bad": bad, "up": W["up"]}, tmp_path / "m.safetensors")
    status, kept = run(tmp_path / "m.safetensors", tmp_path)
    assert status == 0 and [r["name"] for r in kept["tensors"]] == ["up"]
    assert "bad: 1 of the values in rows 0 to 63 are not finite" in capsys.readouterr().out


def test_more_memory_than_there_is_keeps_the_rest(model, tmp_path, monkeypatch, capsys):
    whole = losses.look_at

    def starves(tensor, *args):
        if tensor.name == "down":
            raise MemoryError
        return whole(tensor, *args)

    monkeypatch.setattr(losses, "look_at", starves)
    status, kept = run(model, tmp_path)
    assert status == 0 and kept["complete"] and len(kept["tensors"]) == len(W) - 1
    assert "down: 64x128 need more memory than there is (--memory)" in capsys.readouterr().out


def test_what_does_not_fit_says_what_llama_cpp_stores(model, tmp_path, capsys):
    run(model, tmp_path)
    said = capsys.readouterr().out
    assert "odd: K = 40 is no multiple of 32; llama.cpp would store f16" in said
    block = choices.Storage("q4_K", "q4_K", None, 256, ("a8",))
    known = choices.storages()
    assert choices.fallback(block, 64) == "q5_0" and choices.fallback(block, 40) == "f16"
    assert choices.fallback(known["q8_0"], 40) == "f16"


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("m.txt", b"hello", "not a model by its name"),
        ("m.safetensors", b"hello, this is no model", "not a whole model file"),
        ("m.gguf", b"hello, this is no model", "not a whole model file"),
        ("m.npy", b"hello", "not a whole model file"),
        ("m.npz", b"hello", "not a whole model file"),
        ("m.safetensors.index.json", b"{}", "has no 'weight_map'"),
        ("m.safetensors.index.json", b'{"weight_map": {"a": "../x"}}', "outside its folder"),
        ("m.safetensors.index.json", b'{"weight_map": {"a": "gone.safetensors"}}', "gone.safetensors"),
        ("m.safetensors.index.json", b"[", "not a whole model file"),
    ],
)
def test_what_is_no_model_is_one_line(tmp_path, capsys, name, content, why):
    (tmp_path / name).write_bytes(content)
    status, kept = run(tmp_path / name, tmp_path)
    said = capsys.readouterr().err.strip()
    assert status == 2 and kept is None and why in said and "\n" not in said


def test_a_file_that_is_not_there_and_a_folder(tmp_path, capsys):
    assert run(tmp_path / "gone.gguf", tmp_path)[0] == 2
    assert run(tmp_path, tmp_path)[0] == 2
    said = capsys.readouterr().err
    assert "no such file" in said.lower() and "a folder" in said


@pytest.mark.parametrize("name", ["m.safetensors", "m.gguf", "m.npy", "m.npz"])
def test_truncated_files_are_refused(tmp_path, capsys, name):
    path = tmp_path / name
    if name.endswith("gguf"):
        gguf_file(path)
    elif name.endswith("safetensors"):
        safetensors.save_file(W, path)
    elif name.endswith("npy"):
        np.save(path, W["up"])
    else:
        np.savez(path, **W)
    path.write_bytes(path.read_bytes()[:-5000])
    assert run(path, tmp_path)[0] == 2
    assert "not a whole model file" in capsys.readouterr().err


def test_no_matrix_at_all(tmp_path, capsys):
    np.save(tmp_path / "v.npy", np.ones(4))
    np.save(tmp_path / "i.npy", np.ones((4, 4), int))
    assert run(tmp_path / "v.npy", tmp_path)[0] == 2 and run(tmp_path / "i.npy", tmp_path)[0] == 2
    said = capsys.readouterr().err
    assert "no matrix to look at (v: no matrix: its shape is 4)" in said
    assert "its type, int64, has no float values" in said


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["--tensors", "("], "no regular expression"),
        (["--formats", "q17"], "names none of f32"),
        (["--activations", "/nonexistent.npy"], "no array of NumPy"),
        (["--threads", "0"], "too small"),
    ],
)
def test_bad_options_are_one_line(model, tmp_path, capsys, args, why):
    assert run(model, tmp_path, *args)[0] == 2
    assert why in capsys.readouterr().err


def test_a_file_of_something_else_is_not_replaced(model, tmp_path, capsys):
    (tmp_path / "out.json").write_text('{"mine": 1}')
    assert run(model, tmp_path)[0] == 2
    assert "not replaced" in capsys.readouterr().err
    assert (tmp_path / "out.json").read_text() == '{"mine": 1}'


def test_an_interrupted_run_goes_on(model, tmp_path, monkeypatch):
    whole = losses.look_at
    seen = []

    def stops(tensor, *args):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(tensor.name)
        return whole(tensor, *args)

    monkeypatch.setattr(losses, "look_at", stops)
    status, kept = run(model, tmp_path)
    assert status == 130 and not kept["complete"] and len(kept["tensors"]) == 2
    first = list(seen)
    seen.clear()
    status, kept = run(model, tmp_path)
    assert status == 0 and kept["complete"] and len(kept["tensors"]) == len(W)
    assert set(seen) == set(W) - set(first), "what was known was not looked at again"
    seen.clear()
    run(model, tmp_path, "--seed", "1")
    assert len(seen) == 2, "another question: nothing is known"


def timed(n, k, bits_of, rows=(1, 128)):
    """Rows of every choice at one shape; time is what the bytes take, products by a8 half of that."""
    found = []
    for name, storage in choices.storages().items():
        if storage.refusal(k):
            continue
        for arithmetic in storage.arithmetics:
            for m in rows:
                nbytes, ops = bits_of(storage, k) * n * k / 8, 2.0 * m * n * k
                ns = m * nbytes * (0.5 if arithmetic == "a8" else 1.0)
                found += entries(
                    f"matmul/{arithmetic}.{name}/avx2/m:{m}/n:{n}/k:{k}/cold", [ns, ns * 1.001, ns],
                    ops_per_second=ops / ns * 1e9, nmse=1e-9, roof_pct=50.0,
                    bytes_per_second=(nbytes + 4 * m * (n + k)) / ns * 1e9,
                )  # fmt: skip
    return found


@pytest.fixture
def program(tmp_path):
    rows = [row for w in W.values() for row in timed(*w.shape, lambda s, k: s.bits(k))]
    listing = "".join(
        f"matmul_{a}_f32  avx2  f16c  runs, dispatched to\\n" for a in choices.ARITHMETICS
    )
    path = fake_program(tmp_path, {"context": CONTEXT, "benchmarks": rows})
    text = (tmp_path / "quantbench").read_text()
    start, end = text.index("printf '"), text.index("'; exit 0")
    (tmp_path / "quantbench").write_text(text[:start] + "printf '" + listing + text[end:])
    return path


def test_speeds_and_plans(model, tmp_path, program, capfd):
    out = tmp_path / "out.json"
    common = [str(model), "--quantbench", program, "--output", str(out)]
    assert main([*common, "--max-error", "1e-3"]) == 0
    said = capfd.readouterr().out
    kept = json.loads(out.read_text())
    of = {total["choice"]: total for total in kept["totals"]}
    weights = sum(w.size for w in W.values())
    assert of["a32.f32"]["ns"]["1"] == pytest.approx(4 * weights, rel=1e-3)
    assert of["a32.f32"]["limit_ns"]["1"] == pytest.approx(2 * weights, rel=1e-3)
    for total in kept["totals"]:
        arithmetic, _, storage = total["choice"].partition(".")
        if total["elsewhere"]:
            continue
        for m in (1, 128):
            of_each = [s["ns"] for s in kept["speeds"] if s["m"] == m and s["choice"] == total["choice"]]
            assert len(of_each) == len(W) and total["ns"][str(m)] == pytest.approx(sum(of_each))
    assert "m = 1: use " in said and "m = 128: use " in said and "of limit" in said
    (plan,) = kept["plans"]
    assert plan["error"] <= 1e-3 and set(plan["choices"]) == set(W) and plan["least"] == "time"
    single = [t["ns"]["1"] for t in kept["totals"] if t["error"] <= 1e-3]
    assert plan["ns"] <= min(single) * 1.001

    # The rows are kept, and serve again.
    again = [str(model), "--output", str(tmp_path / "again.json"), "--speeds", str(tmp_path / "out.speeds.json")]
    assert main([*again, "--max-error", "1e-3"]) == 0
    assert json.loads((tmp_path / "again.json").read_text())["plans"] == kept["plans"]

    # Of several files the fastest row of each product counts.
    rows = json.loads((tmp_path / "out.speeds.json").read_text())
    for entry in rows["benchmarks"]:
        entry["real_time"] *= 0.5 if "a32.f32/" in entry["name"] else 2
    (tmp_path / "second.json").write_text(json.dumps(rows))
    table = tmp_path / "table.json"
    assert main([*again, "--speeds", str(tmp_path / "second.json"), "--table", str(table)]) == 0
    both = {t["choice"]: t["ns"]["1"] for t in json.loads((tmp_path / "again.json").read_text())["totals"]}
    assert both["a32.f32"] == pytest.approx(of["a32.f32"]["ns"]["1"] / 2)
    assert both["a8.s8"] == pytest.approx(of["a8.s8"]["ns"]["1"])
    small = json.loads(table.read_text())
    assert small["machine"]["cpu_features"] == CONTEXT["isa_enabled"]
    assert {t["choice"] for t in small["totals"]} == set(of)

    budget = weights * 5 / 8
    assert main([*common, "--max-bytes", str(int(budget))]) == 0
    (plan,) = json.loads(out.read_text())["plans"]
    assert plan["least"] == "error" and plan["nbytes"] <= budget
    assert main([*common, "--max-bytes", "1"]) == 1
    assert "no plan is within" in capfd.readouterr().err


def test_damaged_archives_are_refused(tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "m.npz", "w") as archive:
        archive.writestr("readme.txt", "no arrays")
    assert run(tmp_path / "m.npz", tmp_path)[0] == 2
    assert "has no arrays" in capsys.readouterr().err


def test_times_are_held_to_whole_passes(model, tmp_path, program, capfd):
    """The program gets a line for every matrix, and what it says stands beside the sum."""
    stub = tmp_path / "model_pass"
    stub.write_text(f'#!/bin/sh\ncat >> {tmp_path}/lines\necho "$*" >> {tmp_path}/words\necho 5000\n')
    stub.chmod(0o755)
    out = tmp_path / "out.json"
    arguments = [str(model), "--quantbench", program, "--output", str(out), "--check", str(stub)]
    assert main([*arguments, "--max-error", "1e-3"]) == 0
    kept = json.loads(out.read_text())
    assert all(entry["measured_ns"] == 5000 for entry in kept["passes"])
    (plan,) = [entry for entry in kept["passes"] if entry["name"] == "plan within 0.001"]
    assert plan["summed_ns"] == kept["plans"][0]["ns"]
    said = capfd.readouterr().out
    assert "5 µs in a pass" in said and "are within 15 %" in said
    assert (tmp_path / "words").read_text().splitlines()[0] == "1 1 25"
    last = (tmp_path / "lines").read_text().splitlines()[-len(W) :]
    chosen = kept["plans"][0]["choices"]
    for line, (name, choice) in zip(last, chosen.items(), strict=True):
        arithmetic, format_, group, n, k = line.split()
        assert (int(n), int(k)) == W[name].shape and choice.startswith(arithmetic + ".")
        storage = choices.storages()[choice.partition(".")[2]]
        assert format_ == storage.format and int(group) == (storage.group or 0)

    stub.write_text("#!/bin/sh\necho 'model_pass: no such format' >&2\nexit 2\n")
    assert main([*arguments, "--max-error", "1e-3"]) == 2
    assert "exit status 2: model_pass: no such format" in capfd.readouterr().err


def test_the_fastest_round_of_passes_counts(tmp_path):
    stub = tmp_path / "model_pass"
    stub.write_text(f"#!/bin/sh\ncat > /dev/null\necho x >> {tmp_path}/n\n"
                    f"echo $(( 9000 - $(wc -l < {tmp_path}/n) * 100 ))\n")  # fmt: skip
    stub.chmod(0o755)
    record = [{"n": 8, "k": 32}]
    found = passes.in_turns(str(stub), record, [["a8.q4_0"], ["a8.q8_0"]], 1, 1)
    last = 2 * passes.ROUNDS
    assert found == [9000 - 100 * (last - 1), 9000 - 100 * last], "turns, and the least of each"


def test_memory_is_bounded(tmp_path):
    """A matrix of 8 MB, looked at with 1 MB: what NumPy holds at once is not much more."""
    w = RNG.standard_normal((4096, 512)).astype(np.float32)
    np.save(tmp_path / "m.npy", w)
    with reading.opened(tmp_path / "m.npy") as model:
        (tensor,) = model.tensors
        tracemalloc.start()
        losses.look_at(tensor, choices.storages().values(), 1, None, 1_000_000, lambda _: None)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 1_200_000
