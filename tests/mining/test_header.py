import hashlib
import json
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_networks import menagerie, network_of

from dna_ray.errors import ArtifactError
from dna_ray.mining.header import Header, Section, decode_header, encode_header
from dna_ray.networks import Anatomy, TensorInfo
from dna_ray.networks.network import DTYPES
from dna_ray.networks.network import KINDS as TENSOR_KINDS

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


@st.composite
def anatomies(draw: st.DrawFn) -> Anatomy:
    tensors: list[TensorInfo] = []
    for name in sorted(draw(st.sets(NAMES, max_size=12))):
        info = TensorInfo(
            name=name,
            dtype=draw(st.sampled_from(sorted(DTYPES))),
            shape=tuple(draw(st.lists(st.integers(0, 99), max_size=4))),
            kind=draw(st.sampled_from(TENSOR_KINDS)),
            layer=draw(st.integers(-1, 99)),
            transposed=draw(st.booleans()),
        )
        source = draw(st.none() | st.sampled_from(tensors)) if tensors else None
        if source is not None and source.tied_to is None:
            info = TensorInfo(name=name, dtype=source.dtype, shape=source.shape, tied_to=source.name)
        tensors.append(info)
    return Anatomy(draw(NAMES), tuple(tensors))


def _header(anatomy: Anatomy, params: dict[str, Any] | None = None) -> Header:
    sections = {"a": Section("u1", (3, 4), "0" * 64), "b.c": Section("f2", (), "f" * 64)}
    return Header(
        kind="svd", params=params or {}, network="n", fingerprint="0" * 64, anatomy=anatomy, sections=sections
    )


def _resigned(text: str, **changes: Any) -> str:
    """What a person who knows the format would forge: `changes` made, and signed anew."""
    body = json.loads(text) | changes | {"sha256": ""}
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return canonical.replace('"sha256":""', f'"sha256":"{hashlib.sha256(canonical.encode()).hexdigest()}"')


@given(anatomy=anatomies(), params=st.dictionaries(st.text(), JSON, max_size=3))
@settings(max_examples=50, deadline=None)
def test_header_and_back_is_the_identity(anatomy: Anatomy, params: dict[str, Any]):
    header = _header(anatomy, params)
    assert decode_header(encode_header(header), where="x") == header


def test_the_text_does_not_depend_on_the_order_of_keys():
    anatomy = menagerie().anatomy
    assert encode_header(_header(anatomy, {"a": 1, "b": 2})) == encode_header(_header(anatomy, {"b": 2, "a": 1}))


def test_a_bert_of_six_layers_takes_less_than_six_kilobytes():
    attention = [f"attention.self.{p}" for p in ("query", "key", "value")] + ["attention.output.dense"]
    modules = [*attention, "intermediate.dense", "output.dense", "attention.output.LayerNorm", "output.LayerNorm"]
    names = [f"encoder.layer.{i}.{m}.{p}" for i in range(6) for m in modules for p in ("weight", "bias")]
    network = network_of({name: torch.zeros(384, 384) for name in names})
    assert len(encode_header(_header(network.anatomy))) < 6000


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format": 2}, "format 2, this version reads up to 1; upgrade"),
        ({"format": True}, "not a number from 1"),
        ({"format": "1"}, "not a number from 1"),
        ({"kind": "sdv"}, "kind 'sdv' is none of"),
        ({"kind": ["svd"]}, "is none of"),
        ({"params": []}, "params are not an object"),
        ({"network": 5}, "network is not a name"),
        ({"network": "\ud800"}, "network is not a name"),
        ({"fingerprint": "0" * 63}, "fingerprint is not a sha256"),
        ({"fp32_bytes": 1}, "fp32_bytes are not those"),
        ({"more": 1}, "must have the keys"),
        ({"tensors": {}}, "tensors are not a list"),
        ({"tensors": [[0, "a"]]}, "malformed"),
        ({"tensors": [[1, "a", "F32", "other", 0, [1]]]}, "name after '' is broken"),
        ({"tensors": [[0, "", "F32", "other", 0, [1]]]}, "empty, too long"),
        ({"tensors": [[0, "a" * 1025, "F32", "other", 0, [1]]]}, "empty, too long"),
        ({"tensors": [[0, "a", "F32", "other", 0, [1]], [0, "a", "F32", "other", 0, [1]]]}, "'a' is doubled"),
        ({"tensors": [[0, "b", "F32", "other", 0, [1]], [0, "a", "F32", "other", 0, [1]]]}, "out of order"),
        ({"tensors": [[0, "a", "F8", "other", 0, [1]]]}, "unknown dtype"),
        ({"tensors": [[0, "a", "F32", "what", 0, [1]]]}, "unknown kind"),
        ({"tensors": [[0, "a", "F32", "other", -2, [1]]]}, "impossible layer"),
        ({"tensors": [[0, "a", "F32", "other", 0, [-1]]]}, "impossible shape"),
        ({"tensors": [[0, "a", "F32", "other", 0, [True]]]}, "impossible shape"),
        ({"tensors": [[0, "a", "F32", "other", 0, [1.0]]]}, "impossible shape"),
        ({"tensors": [[0, "a", "F32", "other", 0, [0, 1 << 40, 1 << 40]]]}, "impossible shape"),
        ({"tensors": [[0, "a", "F32", "other", 0, [1] * 17]]}, "impossible shape"),
        ({"tensors": [[0, "a", "F32", "other", 0, [1], 2, -1]]}, "neither transposed nor not"),
        ({"tensors": [[0, "a", "F32", "other", 0, [1], 0, 0]]}, "tied to none before"),
        (
            {"tensors": [[0, "a", "F32", "other", 0, [1]], [0, "b", "F32", "other", 0, [2], 0, 0]], "fp32_bytes": 4},
            "tied to one that differs",
        ),
        ({"sections": 1}, "sections are not a list"),
        ({"sections": [["a", "u1", [1]]]}, "section is malformed"),
        ({"sections": [["../a", "u1", [1], "0" * 64]]}, "impossible name"),
        ({"sections": [["a", "O", [1], "0" * 64]]}, "unknown dtype"),
        ({"sections": [["a", "u1", [-1], "0" * 64]]}, "impossible shape"),
        ({"sections": [["a", "u1", [1], "0"]]}, "no sha256"),
        ({"sections": [["a", "u1", [1], "0" * 64]] * 2}, "doubled"),
    ],
)
def test_a_forged_header_is_refused_in_one_line(changes: dict[str, Any], reason: str):
    text = _resigned(encode_header(_header(Anatomy("f", ()))), **changes)
    with pytest.raises(ArtifactError, match=reason) as caught:
        decode_header(text, where="some.safetensors")
    assert str(caught.value).startswith("some.safetensors: ")
    assert "\n" not in str(caught.value)


def test_names_are_front_coded_in_one_way_only():
    rows = [[0, "ab", "F32", "other", 0, [1]], [0, "ac", "F32", "other", 0, [1]]]
    text = _resigned(encode_header(_header(Anatomy("f", ()))), tensors=rows, fp32_bytes=8)
    with pytest.raises(ArtifactError, match="altered"):
        decode_header(text, where="x")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "1",
        "{",
        '{"format":1}',
        "[" * 500_000,
        '{"a":' * 200_000,
        '{"format":' + "9" * 5000 + "}",
        '{"format":NaN}',
        '{"format":1e999}',
    ],
    ids=range(10),
)
def test_what_is_no_header_is_refused(text: str):
    with pytest.raises(ArtifactError, match="not a readable DNA"):
        decode_header(text, where="x")


def test_a_small_header_cannot_declare_huge_names():
    first = [0, "a" * 1000 + "000000", "U8", "other", 0, [0]]
    rest = [[1000, f"{i:06}", "U8", "other", 0, [0]] for i in range(1, 9000)]
    text = _resigned(encode_header(_header(Anatomy("f", ()))), tensors=[first, *rest], fp32_bytes=0)
    with pytest.raises(ArtifactError, match="too long"):
        decode_header(text, where="x")


def test_more_bytes_than_the_limit_are_refused():
    tensor = TensorInfo(name="a", dtype="F32", shape=(1 << 20, 1 << 20))
    text = encode_header(_header(Anatomy("f", (tensor,))))
    with pytest.raises(ArtifactError, match="declares tensors of 4,398,046,511,104 bytes, the limit is"):
        decode_header(text, where="x")
    assert decode_header(text, where="x", max_bytes=None).anatomy.tensors == (tensor,)
