"""The account of a pickle machine, and how far it trusts its file."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from castsearch.stagefiles import machine as machines
from castsearch.stagefiles.admitted import Refused
from castsearch.stagefiles.machine import CONTAINER, ENTRY, ITEM, TUPLE, Machine
from castsearch.stagefiles.reading import load

TEXT = b"X\xc8\x00\x00\x00" + b"x" * 200

COSTS = {
    "numbers": (b"K\x01.", 0),
    "a list": (b"].", CONTAINER),
    "a dict": (b"}.", CONTAINER),
    "a set": (b"\x8f.", CONTAINER),
    "the empty tuple": (b").", 0),
    "a list of two": (b"(NNl.", CONTAINER + 2 * ITEM),
    "a dict of one": (b"(U\x01aNd.", CONTAINER + ENTRY),
    "a frozenset of two": (b"(U\x01aU\x01b\x91.", CONTAINER + 2 * ENTRY),
    "a tuple of four": (b"(NNNNt.", TUPLE + 4 * ITEM),
    "a tuple of one": (b"N\x85.", TUPLE + ITEM),
    "a tuple of two": (b"NN\x86.", TUPLE + 2 * ITEM),
    "a tuple of three": (b"NNN\x87.", TUPLE + 3 * ITEM),
    "append": (b"]Na.", CONTAINER + ITEM),
    "append several": (b"](NNe.", CONTAINER + 2 * ITEM),
    "set an item": (b"}U\x01aNs.", CONTAINER + ENTRY),
    "set several": (b"}(U\x01aNU\x01bNu.", CONTAINER + 2 * ENTRY),
    "add several": (b"\x8f(U\x01aU\x01b\x90.", CONTAINER + 2 * ENTRY),
    "a call": (b"cbuiltins\nbytearray\n)R.", CONTAINER + sys.getsizeof(bytearray())),
    "a text again": (TEXT + b"\x94h\x00\x86.", 200 + TUPLE + 2 * ITEM),
    "bytes again": (b"C\x64" + b"x" * 100 + b"\x94h\x00\x86.", 100 + TUPLE + 2 * ITEM),
    "a tuple again": (b"(NNNNt\x94h\x00\x86.", 2 * (TUPLE + 4 * ITEM) + TUPLE + 2 * ITEM),
}


def read(tmp_path: Path, data: bytes) -> Any:
    (tmp_path / "x.pkl").write_bytes(data)
    with (tmp_path / "x.pkl").open("rb") as file:
        return load(Machine(file))


def cost(tmp_path: Path, data: bytes) -> int:
    (tmp_path / "x.pkl").write_bytes(data)
    with (tmp_path / "x.pkl").open("rb") as file:
        machine = Machine(file)
        before = machine._left
        load(machine)
        return before - machine._left


@pytest.mark.parametrize("name", COSTS)
def test_what_is_made_is_paid(tmp_path, name):
    data, expected = COSTS[name]
    assert cost(tmp_path, data) == expected


def test_objects_take_no_more_than_is_paid():
    header = 16  # of the garbage collector's
    few, many = {f"k{i}": None for i in range(5)}, {f"k{i}": None for i in range(100_000)}
    for empty in (few, set(), frozenset("ab"), []):
        assert sys.getsizeof(empty) + header <= CONTAINER
    assert sys.getsizeof(()) + header <= TUPLE and sys.getsizeof((1,) * 1000) <= TUPLE + 1000 * ITEM
    assert sys.getsizeof(many) <= 100_000 * ENTRY and sys.getsizeof(set(many)) <= 100_000 * ENTRY
    grown: list[None] = []
    for _ in range(100_000):
        grown.append(None)
    assert sys.getsizeof(grown) <= 100_000 * ITEM


@pytest.mark.parametrize(("item", "n_bytes"), [(np.zeros(25, np.float32), 100), (np.float64(1), 8)])
def test_an_array_again_is_paid_by_its_bytes(tmp_path, item, n_bytes):
    twice, once = (cost(tmp_path, pickle.dumps([item, other], 2)) for other in (item, None))
    assert twice - once == n_bytes


def test_the_account_may_be_spent_to_the_last_byte(tmp_path, monkeypatch):
    monkeypatch.setattr(machines, "_ALLOWANCE_PER_BYTE", 0)
    monkeypatch.setattr(machines, "_ALLOWANCE", CONTAINER)
    assert read(tmp_path, b"].") == []
    monkeypatch.setattr(machines, "_ALLOWANCE", CONTAINER - 1)
    with pytest.raises(Refused, match="many times the memory of the file"):
        read(tmp_path, b"].")


def test_what_a_file_may_take(tmp_path):
    (tmp_path / "x.pkl").write_bytes(bytes(1000))
    with (tmp_path / "x.pkl").open("rb") as file:
        assert Machine(file)._left == 64 * 2**20 + 20 * 1000


def test_the_allowance_grows_with_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(machines, "_ALLOWANCE", 0)
    data = b"(" + b"]" * 100 + b"l."
    cost = CONTAINER * 101 + ITEM * 100
    monkeypatch.setattr(machines, "_ALLOWANCE_PER_BYTE", cost // len(data) + 1)
    assert len(read(tmp_path, data)) == 100
    monkeypatch.setattr(machines, "_ALLOWANCE_PER_BYTE", cost // len(data))
    with pytest.raises(Refused, match="many times the memory"):
        read(tmp_path, data)


def test_many_small_things_are_within_the_account(tmp_path, monkeypatch):
    monkeypatch.setattr(machines, "_ALLOWANCE", 0)
    content = {"tt1": {"cast": [{"id": f"{i}", "file": f"{i}.jpg"} for i in range(1000)]}}
    assert read(tmp_path, pickle.dumps(content, 4)) == content


def test_the_account_is_of_the_whole_file(tmp_path, monkeypatch):
    monkeypatch.setattr(machines, "_ALLOWANCE_PER_BYTE", 0)
    monkeypatch.setattr(machines, "_ALLOWANCE", 2 * CONTAINER)
    (tmp_path / "x.pkl").write_bytes(b"].].].")
    with (tmp_path / "x.pkl").open("rb") as file:
        machine = Machine(file)
        assert load(machine) == load(machine) == []
        with pytest.raises(Refused, match="many times the memory"):
            load(machine)


def test_the_memo_is_of_one_pickle(tmp_path):
    (tmp_path / "x.pkl").write_bytes(b"U\x01a\x94.h\x00.")
    with (tmp_path / "x.pkl").open("rb") as file:
        machine = Machine(file)
        assert load(machine) == "a"
        with pytest.raises(Refused, match="IndexError"):
            load(machine)


@pytest.mark.parametrize("n", [1 << 16, (1 << 16) + 1, 1 << 20])
def test_long_bytes_are_read_if_the_file_has_them(tmp_path, n):
    head = b"B" + n.to_bytes(4, "little")
    assert read(tmp_path, head + bytes(n) + b".") == bytes(n)
    with pytest.raises(Refused, match="cut short"):
        read(tmp_path, head + bytes(n - 1))


def test_memory_is_not_set_aside_for_what_is_not_there(tmp_path):
    (tmp_path / "x.pkl").write_bytes(b"\x8e\x00\x00\x00\x00\x00\x00\x01\x00abc")
    with (tmp_path / "x.pkl").open("rb") as file:
        machine = Machine(file)
        machine.read = lambda n=-1: file.read(n) if n < 1000 else pytest.fail(f"{n} bytes asked for")  # type: ignore
        with pytest.raises(Refused, match="cut short"):
            load(machine)


def test_the_memo_may_be_as_long_as_the_file_and_some(tmp_path):
    # b"N" + PUT of four bytes + b"." is 7 bytes long
    last = 7 + 1000
    assert read(tmp_path, b"Nr" + last.to_bytes(4, "little") + b".") is None
    with pytest.raises(Refused, match="no file of this length"):
        read(tmp_path, b"Nr" + (last + 1).to_bytes(4, "little") + b".")


def test_bytes_of_arrays_do_not_outlive_them_in_the_memo(tmp_path):
    (tmp_path / "x.pkl").write_bytes(b"")
    with (tmp_path / "x.pkl").open("rb") as file:
        machine = Machine(file)
    for item in (bytes(101), (1, bytes(9)), [bytes(9)]):
        machine.stack.append(item)
        machine.remember()
        assert machine.memo[-1] is not item
