"""What a pickle may ask for by name, and with which arguments."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from castsearch import stagefiles
from castsearch.stagefiles.admitted import NUMPY_SCALARS, Refused, admitted, checked_keys

NDARRAY = admitted("numpy", "ndarray")
EMPTY = ((0,), b"b")
F4 = (3, "<", None, None, None, -1, -1, 0)
ABSENT = [
    ("builtins", "eval"),
    ("builtins", "getattr"),
    ("builtins", "list"),
    ("builtins", "memoryview"),
    ("numpy", "load"),
    ("numpy", "void"),
    ("numpy.core.multiarray", "frombuffer"),
    ("numpy._core.numeric", "fromfile"),
    ("_codecs", "decode"),
    ("os", "system"),
    ("functools", "partial"),
]


def call(module: str, name: str, *args: Any) -> Any:
    return admitted(module, name).make(args)


def dtype(text: str, state: Any = None) -> Any:
    order = "|" if text.endswith("1") and text[0] != "U" else "<"
    state = state or np.dtype(order + text).__reduce__()[2]
    return call("numpy", "dtype", text, False, True).finish(state)


def array(*state: Any) -> np.ndarray:
    return NDARRAY.make(EMPTY).finish(state)


@pytest.mark.parametrize("name", ABSENT, ids=".".join)
def test_nothing_else_is_admitted(name):
    with pytest.raises(Refused, match=f"it asks for {name[0]}.{name[1]}, which no stage file needs"):
        admitted(*name)


def test_names_are_text():
    for name in (("numpy", b"ndarray"), ([], "x"), ("numpy", NDARRAY)):
        with pytest.raises(Refused, match="whose name is not text"):
            admitted(*name)


def test_names_are_shown_on_one_line():
    with pytest.raises(Refused) as error:
        admitted("a\nb" * 10**6, "x")
    assert str(error.value).isprintable() and len(str(error.value)) < 200


@pytest.mark.parametrize("text", ["b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "U1", "U17"])
def test_dtypes(text):
    assert dtype(text) == np.dtype(text)


ODD = ["", "O", "V8", "S4", "M8[s]", "m8", "c8", "f16", "8f8", "(9,)f4", "f4,i8", "u", "U", "U0", "U-1", "U١"]


@pytest.mark.parametrize("text", [*ODD, "U65537", "U100000", "U" + "9" * 100])
def test_other_dtypes_are_refused(text):
    with pytest.raises(Refused, match="not of bool, integer, float or text"):
        call("numpy", "dtype", text, False, True)


def test_text_as_long_as_can_be():
    assert dtype("U65536").itemsize == 4 * 65536


@pytest.mark.parametrize(
    "args", [("f4",), ("f4", False), ("f4", 2, True), ("f4", False, "x"), (b"f4", 0, 1), ("f4", 0, 1, {})]
)
def test_arguments_of_dtypes(args):
    with pytest.raises(Refused, match="a dtype with arguments"):
        call("numpy", "dtype", *args)


@pytest.mark.parametrize(
    "state",
    [
        F4[:7],
        (*F4, {}),
        (4, *F4[1:]),
        (3, "x", *F4[2:]),
        (3, b"<", *F4[2:]),
        (3, np.array(["<"]), *F4[2:]),
        (3, "<", (np.dtype("f4"), (9,)), *F4[3:]),
        (3, "<", None, ("a",), *F4[4:]),
        (3, "<", None, None, {"a": 1}, *F4[5:]),
        (*F4[:5], 10**9, -1, 0),
        (*F4[:5], -1, 8, 0),
        (*F4[:5], -1, -1, 63),
    ],
)
def test_states_of_dtypes(state):
    with pytest.raises(Refused, match="the state of a dtype"):
        call("numpy", "dtype", "f4", False, True).finish(state)


def test_byte_order_becomes_this_machines():
    big = dtype("i4", (3, ">", None, None, None, -1, -1, 0))
    found = array(1, (2,), big, False, b"\0\0\0\1\0\0\0\2")
    assert found.tolist() == [1, 2]
    assert found.dtype == np.dtype("i4") and found.dtype.isnative


def test_arrays_own_their_bytes_in_the_order_they_were_written():
    data = np.arange(6, dtype=np.float32).tobytes()
    rows, columns = (array(1, (2, 3), dtype("f4"), fortran, data) for fortran in (False, True))
    np.testing.assert_array_equal(rows, [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(columns, [[0, 2, 4], [1, 3, 5]])
    assert rows.flags.c_contiguous and columns.flags.f_contiguous
    assert all(a.flags.owndata and a.flags.writeable for a in (rows, columns))
    assert array(1, (), dtype("f4"), 0, data[:4]).shape == ()


@pytest.mark.parametrize(
    "state",
    [
        (1, (2,), dtype("f4"), False),
        (2, (2,), dtype("f4"), False, bytes(8)),
        ("1", (2,), dtype("f4"), False, bytes(8)),
        (1.0, (2,), dtype("f4"), False, bytes(8)),
        (1, (2,), dtype("f4"), 2, bytes(8)),
        (1, (2,), dtype("f4"), 1.0, bytes(8)),
        (1, (2,), dtype("f4"), "F", bytes(8)),
        (1, (2,), dtype("f4"), False, bytearray(8)),
        (1, (2,), dtype("f4"), False, [0.0, 0.0]),
    ],
)
def test_states_of_arrays(state):
    with pytest.raises(Refused, match="the state of an array"):
        NDARRAY.make(EMPTY).finish(state)


@pytest.mark.parametrize(
    ("shape", "data"),
    [
        ((2,), bytes(7)),
        ((2,), bytes(9)),
        ((2,), b""),
        ((-2,), bytes(8)),
        ((-1, -2), bytes(8)),
        ((2.0,), bytes(8)),
        ((True, 2), bytes(8)),
        ([2], bytes(8)),
        (2, bytes(8)),
        (((2,),), bytes(8)),
        ((1 << 62, 4), b""),
        ((0, 1 << 40), b""),
        ((0, (1 << 18) + 1), b""),
        ((1,) * 32 + (2,), bytes(8)),
    ],
)
def test_shapes_and_bytes_that_do_not_fit(shape, data):
    with pytest.raises(Refused, match=r"an (empty )?array with arguments"):
        array(1, shape, dtype("f4"), False, data)


@pytest.mark.parametrize("shape", [(0,), (0, 4), (3, 0, 5), (0, 1 << 18)])
def test_empty_arrays(shape):
    assert array(1, shape, dtype("f4"), False, b"").shape == shape


def test_a_long_array():
    assert len(array(1, (1 << 19,), dtype("f4"), False, bytes(1 << 21))) == 1 << 19


def test_arrays_of_most_axes():
    assert array(1, (1,) * 32, dtype("f4"), False, bytes(4)).ndim == 32


@pytest.mark.parametrize("kind", ["f4", np.dtype, NDARRAY, None])
def test_dtypes_of_arrays_are_dtypes(kind):
    with pytest.raises(Refused, match="an array with arguments"):
        array(1, (2,), kind, False, bytes(8))


def test_bools_are_noughts_and_ones():
    assert array(1, (2,), dtype("b1"), False, b"\0\1").tolist() == [False, True]
    with pytest.raises(Refused, match="an array of bool"):
        array(1, (2,), dtype("b1"), False, b"\0\2")
    assert array(1, (0,), dtype("b1"), False, b"").shape == (0,)


@pytest.mark.parametrize("order", "<>")
def test_text_is_of_characters(order):
    text = dtype("U2", (3, order, None, None, None, 8, 4, 8))
    last = np.array([0x10FFFF, 97], np.dtype(order + "u4"))
    assert array(1, (1,), text, False, last.tobytes()).tolist() == ["\U0010ffffa"]
    with pytest.raises(Refused, match="an array of text"):
        array(1, (1,), text, False, (last + 1).astype(last.dtype).tobytes())
    assert array(1, (0,), text, False, b"").shape == (0,)


@pytest.mark.parametrize(
    "args",
    [(), ((0,),), ((2,), b"b"), ((1 << 40,), b"b"), ((0,), "f4"), ((0,), dtype("f4")), ((0,), b"b", 0), (NDARRAY,)],
)
def test_arrays_are_asked_for_empty(args):
    with pytest.raises(Refused, match=r"numpy\.ndarray with arguments"):
        NDARRAY.make(args)
    with pytest.raises(Refused, match=r"numpy\.ndarray with arguments"):
        call("numpy.core.multiarray", "_reconstruct", NDARRAY, *args)


def test_only_arrays_are_reconstructed():
    for args in (("x", *EMPTY), (admitted("numpy", "dtype"), *EMPTY), ()):
        with pytest.raises(Refused, match="_reconstruct with arguments"):
            call("numpy.core.multiarray", "_reconstruct", *args)


@pytest.mark.parametrize("core", ["core", "_core"])
def test_arrays_from_buffers(core):
    data = np.arange(6, dtype=np.float32).tobytes()
    found = call(f"numpy.{core}.numeric", "_frombuffer", bytearray(data), dtype("f4"), (3, 2), "F")
    np.testing.assert_array_equal(found, [[0, 3], [1, 4], [2, 5]])
    assert call(f"numpy.{core}.numeric", "_frombuffer", data, dtype("f4"), (3, 2), "C")[0, 1] == 1
    for args in ((data, dtype("f4"), (3, 2)), (data, dtype("f4"), (3, 2), "A"), (data, dtype("f4"), (3, 2), ["C"])):
        with pytest.raises(Refused, match="_frombuffer with arguments"):
            call(f"numpy.{core}.numeric", "_frombuffer", *args)
    with pytest.raises(Refused, match="an array with arguments"):
        call(f"numpy.{core}.numeric", "_frombuffer", "x" * 24, dtype("f4"), (3, 2), "C")


def test_numpy_scalars():
    found = call("numpy.core.multiarray", "scalar", dtype("f4"), np.float32(1.5).tobytes())
    assert type(found) is np.float32 and found == 1.5
    assert type(found) in NUMPY_SCALARS and np.bool_ in NUMPY_SCALARS
    assert call("numpy.core.multiarray", "scalar", dtype("u1"), "\xff") == 255
    for args in ((dtype("f4"),), (dtype("f4"), None), (dtype("f4"), bytes(4), 0), (dtype("f4"), bytearray(4))):
        with pytest.raises(Refused, match="numpy's scalar with arguments"):
            call("numpy.core.multiarray", "scalar", *args)
    with pytest.raises(Refused, match="an array with arguments"):
        call("numpy.core.multiarray", "scalar", dtype("f4"), bytes(3))


@pytest.mark.parametrize("module", ["builtins", "__builtin__"])
@pytest.mark.parametrize(
    ("name", "args", "made"),
    [
        ("set", (["a", b"b"],), {"a", b"b"}),
        ("frozenset", (["a"],), frozenset("a")),
        ("bytearray", (), bytearray()),
        ("bytearray", (b"ab",), bytearray(b"ab")),
        ("bytearray", ("\xff", "latin-1"), bytearray(b"\xff")),
        ("bytes", (), b""),
        ("complex", (1.0, -2.0), 1 - 2j),
        ("bool", (True,), True),
        ("int", (7,), 7),
        ("float", (0.5,), 0.5),
        ("str", ("x",), "x"),
    ],
)
def test_builtins(module, name, args, made):
    found = call(module, name, *args)
    assert found == made and type(found) is type(made)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("set", ()),
        ("set", ({"a": 1},)),
        ("set", (["a"], ["b"])),
        ("frozenset", ("ab",)),
        ("bytearray", (2_000_000_000,)),
        ("bytearray", ("x",)),
        ("bytearray", (b"x", "latin-1")),
        ("bytearray", ("x", "utf-8")),
        ("bytearray", (b"x", "latin-1", "strict")),
        ("bytearray", ([1, 2],)),
        ("bytes", (10**9,)),
        ("bytes", ([1],)),
        ("complex", (1.0,)),
        ("complex", ("1", "2")),
        ("complex", (1, 2)),
        ("bool", (1,)),
        ("int", ("9" * 10**6,)),
        ("int", (True,)),
        ("int", (1, 2)),
        ("float", ("1",)),
        ("str", (b"x",)),
        ("str", ()),
    ],
)
def test_arguments_of_builtins(name, args):
    with pytest.raises(Refused, match=f"{name} with arguments"):
        call("builtins", name, *args)


def test_bytes_of_old_protocols():
    assert call("_codecs", "encode", "\xff", "latin1") == b"\xff"
    for args in (("x", "utf-8"), ("x",), (b"x", "latin1"), ("x", "latin1", "ignore")):
        with pytest.raises(Refused, match=r"_codecs\.encode with arguments"):
            call("_codecs", "encode", *args)


@pytest.mark.parametrize("key", [1, 1.0, None, True, (), ("a",), [], {}, float("nan"), np.str_("a"), NDARRAY])
def test_keys_are_text(key):
    assert checked_keys(["a", b"a"]) == ["a", b"a"]
    with pytest.raises(Refused, match=f"a member of a set that is a {type(key).__name__}, not text"):
        checked_keys(["a", key])


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("value", [np.float64(2.5), np.bool_(True), np.int8(-3), np.str_("é"), b"\xff", b"", 1j])
def test_what_python_writes_for_scalars(tmp_path, protocol, value):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"k": value}, protocol))
    found = stagefiles.read(tmp_path / "x.pkl")["k"]
    assert found == value and type(found) is type(value)
