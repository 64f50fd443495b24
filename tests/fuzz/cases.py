"""The corpus: every bad input by name, and what its answer must say.

A case is `name: texts`. A text must stand in the answer; the first one says where the mistake is.
"""

from __future__ import annotations

from typing import NamedTuple

MATMUL = "matmul:16x64x32"
RUN = ("simulate", "apsq_edge_ws", MATMUL)
SWEEP = ("sweep", "apsq_edge_ws", MATMUL, "--jobs", "1")
BITS = "workload.psum.bits"


class Case(NamedTuple):
    """A command line, and the texts its answer has."""

    args: tuple[str, ...]
    texts: tuple[str, ...]


SPECS = {
    "anchor_and_alias": (":4:10: buffers.ifmap: anchor &same", ":5:11: buffers.weight: alias *same", "write the value"),
    "burst_too_long": (
        ":5:19: buffers.weight.capacity_kib: 1 KiB cannot hold one DRAM burst of 4096",
        "lower dram.burst",
    ),
    "closing_brace_missing": (":4:9: spec: not readable as YAML", "expected ',' or '}'", "closed quotes and brackets"),
    "decimal_comma": (":4:14: technology.voltage_v: found the text '0,9'", "fix: write 0.9;", "at most 1.8"),
    "engine_too_wide": ("apsq_edge_ws.yaml:44:3: psum_engine.bits: [8, 12] is not narrower", "below the accumulator's"),
    "extends_itself": (":1:10: extends: a cycle", "remove one extends"),
    "extends_nothing": (":1:10: extends: apsq_edge_sw: no shipped spec", "did you mean 'apsq_edge_ws'?"),
    "extends_two": (":1:1: extends: found ['apsq_edge_ws', 'systolic_32x32']", "the name of a shipped spec"),
    "larger_than_a_wafer": (":3:1: array: 1048576 x 1048576 x 8", "more than a wafer holds", "at most 1073741824"),
    "latin_1": (":3:6: spec: byte 0xb5 is not UTF-8", "save the file as UTF-8"),
    "list_of_sections": (":3:1: buffers: found [a mapping, a mapping]", "the keys ifmap, psum_ofmap, weight"),
    "node_without_table": ("chip: technology.node_nm: no scaling data for 150 nm", "use 7 to 130 nm"),
    "not_finite": (":4:23: dram.row_hit_efficiency: found .nan, not a finite number", "at most 1 (Share"),
    "other_kind_same_keys": (":3:1: array.dataflow: missing", "add dataflow: one of weight_stationary"),
    "other_unit_in_key": (":4:3: dram.bandwidth_gbps: no such key", "did you mean 'bandwidth_gb_per_s'?"),
    "python_object": (":3:14: description: tag '!!python/object/apply:os.system'", "tags are not read"),
    "section_twice": (":6:1: dram: duplicate key: first on line 3, again on line 6", "keep one of the two"),
    "tab_indent": (":4:1: spec: not readable as YAML", "spaces, no tabs"),
    "thousands_mark": (":4:10: vector_unit.lanes: found the text '1_024'", "fix: write 1024;"),
    "too_fast": (":5:14: technology.clock_mhz: 9000 MHz leaves less than 4 gate delays", "at most 5342 MHz"),
    "too_slow": (":4:14: technology.clock_mhz: found 1e-09, which is out of range", "at least 0.001"),
    "unit_in_value": (
        ":4:14: technology.clock_mhz: found the text '500 MHz'",
        "unit is already in the key",
        "write 500;",
    ),
    "utf_16": (":1:1: spec: byte 0xff is not UTF-8", "save the file as UTF-8"),
    "word_too_narrow": (":7:16: buffers.psum_ofmap.word_bits: a partial sum of", "words of 32", "fix: at least 48"),
    "yes_for_a_choice": (":4:3: array.weight_load: no such key in array of kind 'adder_tree'", "pipeline_stages"),
}

TRACES = {
    "comment.json": (":6:1: JSON: Expecting property name", "correct the JSON syntax"),
    "conv_kernel_too_large.json": (": phases[0].ops[0].dims: the output is 0 x 0", "shrink kernel, dilation or stride"),
    "cut_off.json": (":10:64: JSON: Expecting value", "correct the JSON syntax"),
    "cut_off.json.gz": (": file: not a whole gzip file", "zip it again, or name it .json"),
    "float_dim.json": (": phases[0].ops[0].dims.m: 16.0", "a valid integer"),
    "id_misspelt.json": (": phases[0].ops[0].inputs[1]: no tensor has the id 'W'", "add it to `tensors`"),
    "key_twice.json": (": phases[0].ops[0].name: this key stands here twice", "keep one of the two"),
    "larger_than_int64.json": (": phases[0].ops[1].dims: 18446744073709551616 elements", "keep one op below"),
    "negative_dim.json": (": phases[0].ops[0].dims.n: -32", "greater than or equal to 1"),
    "newer_schema.json": (": schema_version: 2", "allowed: 1"),
    "no_phases.json": (": phases: missing", "add the key 'phases'"),
    "op_id_twice.json": (": phases[0].ops[1].id: op id 0 is used twice", "give every op of the trace its own id"),
    "plain_as_gz.json.gz": (": file: not a whole gzip file (Not a gzipped file", "or name it .json"),
    "psum_of_one_bit.json": (": phases[0].ops[0].psum: ", "psum bits 1 is outside 2..64"),
    "psum_on_gelu.json": (": phases[0].ops[1].psum: unknown key 'psum'", "allowed: after, causal, dims"),
    "reads_the_future.json": (": phases[0].ops[0].after[0]: op id 1", "name only ops that come earlier"),
    "shapes_disagree.json": (
        ": phases[0].ops[0].inputs[0]: tensor 'x' has shape [16, 64]",
        "b*g*m*k = 1536 elements",
        "b*k*n = 3072",
    ),
    "trailing_comma.json": (":11:1: JSON: Expecting value", "correct the JSON syntax"),
    "two_of_a_thing.json": (": tensors[4].id: tensor id 'x' is used twice", "give every tensor id once"),
    "utf_16.json": (": file: not UTF-8 at byte 0", "save it as UTF-8 JSON"),
    "web_page.json": (":1:1: JSON: Expecting value", "correct the JSON syntax"),
    "weight_missing.json": (": phases[0].ops[0].inputs: 1 tensors", "list ifmap, weight"),
    "zipped_as_json.json": (": file: not UTF-8 at byte 1", "name it .json.gz: it is zipped"),
}

TOPOLOGIES = {
    "batch_of_two": (":2:18: batch size: '2'", "use 1;"),
    "column_misspelt": (":1:1: channels: this column is missing", "instead of 'chanels'?"),
    "filter_too_large": (":2:14: filter height: 9 is larger than the ifmap's 8", "shrink the filter"),
    "no_header": (":1:1: layer name: this column is missing", ":1:1: strides: this column is missing", "in the header"),
    "row_cut_off": (":3:15: filter width: missing", ":3:15: num filter: missing", "whole number from 1 to 1048576"),
    "semicolons": (":1:1: header: its columns are separated by ';'", "separate columns with commas"),
    "thousands_mark": (":2:10: n: '\"1'", ":2:13: k: '024\"'", "whole number from 1 to 1048576"),
    "utf_16": (": file: not UTF-8 at byte 0", "save it as UTF-8 CSV"),
    "words_for_numbers": (":2:10: n: 'many'", "whole number from 1 to 1048576"),
    "zero_stride": (":2:27: strides: '0'", "whole number from 1 to 1048576"),
}

COMMANDS = {
    "workload and arch swapped": Case(
        ("simulate", "bert_base", "apsq_edge_ws"), ("bert_base: spec: no shipped spec", "systolic_32x32")
    ),
    "spec's suffix misspelt": Case(("area", "chip.yml"), ("chip.yml: spec: no such file", "fix: ")),
    "trace as a spec": Case(
        ("explain", "traces/comment.json"), ("traces/comment.json:7:10: spec: not readable as YAML", "closed quotes")
    ),
    "spec as a trace": Case(
        ("simulate", "apsq_edge_ws", "specs/too_slow.yaml"), ("specs/too_slow.yaml: file: ", "use .json or .json.gz")
    ),
    "override of a section": Case(
        (*RUN, "--set", "arch.buffers.ifmap=64"), ("arch.buffers.ifmap: found 64", "mapping")
    ),
    "override with a unit": Case((*RUN, "--set", "arch.technology.clock_mhz=1GHz"), ("clock_mhz: found", "write 1;")),
    "override nested deep": Case((*RUN, "--set", f"arch{'.a' * 50}=1"), ("nested over 32 deep", "six levels")),
    "override of a list item": Case((*RUN, "--set", "arch.psum_engine.bits[0]=4"), ("bits[0]", "did you mean 'bits'?")),
    "report over its spec": Case(
        ("area", "specs/too_slow.yaml", "--json", "specs/too_slow.yaml"), ("specs/too_slow.yaml: output", "use .json")
    ),
    "report over its trace": Case(
        ("simulate", "apsq_edge_ws", "traces/comment.json", "--json", "./traces/../traces/comment.json"),
        ("comment.json: output: this file is already an input", "name another file"),
    ),
    "plot in no folder": Case((*RUN, "--plot", "plots/report.png"), ("plots/report.png: output", "mkdir -p plots")),
    "matmul with a star": Case(
        ("simulate", "apsq_edge_ws", "matmul:16*64*32"), ("matmul:16*64*32: not the dims", "matmul:128x768x3072")
    ),
    "sweep without values": Case((*SWEEP, "--over", BITS), (f"--over: {BITS}: no key and values", "write KEY=V1,V2")),
    "sweep with a gap": Case((*SWEEP, "--over", f"{BITS}=4,,8"), (f"{BITS}: an empty value in '4,,8'", "without gaps")),
    "sweep over a key twice": Case(
        (*SWEEP, "--over", f"{BITS}=4", "--over", f"{BITS}=8"), (f"{BITS}: this key is given twice", "after one --over")
    ),
    "sweep over a value twice": Case(
        (*SWEEP, "--over", "arch.array.po=8,8"), ("arch.array.po: 8 is given 2 times", "keep one")
    ),
    "sweep over an unknown key": Case(
        (*SWEEP, "--over", "arch.array.pow=8,16"), ("arch.array.pow: no such key", "did you mean 'po'?")
    ),
    "sweep over a bad value": Case(
        (*SWEEP, "--over", "arch.array.po=8,zero"), ("arch.array.po: found the text 'zero'", "whole number, at least 1")
    ),
    "sweep of too many points": Case(
        (*SWEEP, *(f"--over=arch.array.p{x}={','.join(map(str, range(1, 100)))}" for x in ("o", "ci", "co"))),
        ("sweep: points: 970,299 points", "at most 100,000"),
    ),
    "sweep of one workload twice": Case(
        ("sweep", "apsq_edge_ws", MATMUL, MATMUL, "--over", f"{BITS}=8"),
        (f"{MATMUL}: a second workload", "name each workload once"),
    ),
    "sweep with no processes": Case((*SWEEP[:3], "--jobs", "0", "--over", f"{BITS}=8"), ("'--jobs'", "1<=x<=1024")),
    "sweep into a text file": Case(
        (*SWEEP, "--over", f"{BITS}=8", "--out", "s.txt"), ("s.txt: output: cannot write .txt", "use .csv or .parquet")
    ),
    "diff of no report": Case(
        ("diff", "not_a_report.json", "not_a_report.json"),
        ("not_a_report.json: file: not a report: it has no schema_version", "accelsim simulate --json F.json"),
    ),
    "diff of an old report": Case(
        ("diff", "old_report.json", "old_report.json"), ("old_report.json: schema_version: found 0", "simulate again")
    ),
    "diff of a cut off report": Case(
        ("diff", "cut_off_report.json", "old_report.json"), ("cut_off_report.json:3:1: file: not JSON", "fix: give")
    ),
    "diff of a spec": Case(
        ("diff", "specs/too_slow.yaml", "old_report.json"), ("specs/too_slow.yaml:1:1: file: not JSON", "fix: give")
    ),
    "trace of an unknown model": Case(
        ("trace", "bert-bsae", "--seq", "8", "--out", "t.json"), ("bert-bsae", "did you mean 'bert-base'?")
    ),
    "trace of an unknown config": Case(
        ("trace", "--config", "config.json", "--seq", "8", "--out", "t.json"),
        ("config.json: model_type: unknown: 'brt'", "did you mean 'bert'"),
    ),
    "trace of no module": Case(
        ("trace", "--module", "model.py:build", "--out", "t.json"),
        ("model.py: build: returned a value of type int", "return (module, inputs)"),
    ),
    "trace of a missing function": Case(
        ("trace", "--module", "model.py:make", "--out", "t.json"),
        ("model.py: make: no such function", "allowed: build"),
    ),
    "reproduce an unknown paper": Case(("reproduce", "apqs"), ("'apqs' is not", "'apsq'")),
    "reproduce into a folder": Case(
        ("reproduce", "apsq", "--json", "specs"), ("specs: output: this is a folder", ".json")
    ),
}


def file_cases() -> dict[str, Case]:
    """The commands that read each file of the corpus."""
    cases = {}
    commands: tuple[tuple[str, ...], ...] = (("simulate", MATMUL), ("area",), ("explain",))
    for number, (name, texts) in enumerate(SPECS.items()):
        command, *rest = commands[number % len(commands)]
        path = f"specs/{name}.yaml"
        cases[path] = Case((command, path, *rest), _at(path, texts))
    for name, texts in TRACES.items():
        path = f"traces/{name}"
        cases[path] = Case(("simulate", "apsq_edge_ws", path), _at(path, texts))
    for name, texts in TOPOLOGIES.items():
        path = f"topologies/{name}.csv"
        cases[path] = Case(("sweep", "apsq_edge_ws", path, "--over", f"{BITS}=8"), _at(path, texts))
    return cases


def _at(path: str, texts: tuple[str, ...]) -> tuple[str, ...]:
    """Texts that begin with a place have the file's name in front of it."""
    return tuple(f"{path}{text}" if text.startswith(":") else text for text in texts)
