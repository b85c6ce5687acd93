"""Each opcode beside Python's own unpickler, and what each refuses."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from castsearch.stagefiles.admitted import Refused
from castsearch.stagefiles.machine import DEPTH, Machine
from castsearch.stagefiles.opcodes import OPERATIONS
from castsearch.stagefiles.reading import load


@pytest.fixture
def run(tmp_path: Path) -> Any:
    def read(data: bytes) -> Any:
        (tmp_path / "x.pkl").write_bytes(data)
        with (tmp_path / "x.pkl").open("rb") as file:
            return load(Machine(file))

    return read


# One or more pickles for each opcode.
BENIGN = {
    "NONE": b"N.",
    "NEWTRUE": b"\x88.",
    "NEWFALSE": b"\x89.",
    "INT": b"I-12\n.",
    "INT true": b"I01\n.",
    "INT false": b"I00\n.",
    "LONG": b"L123456789012345678901L\n.",
    "LONG without L": b"L5\n.",
    "BININT": b"J\xfe\xff\xff\xff.",
    "BININT1": b"K\xff.",
    "BININT2": b"M\xff\xfe.",
    "LONG1": b"\x8a\x02\x00\xff.",
    "LONG1 of no bytes": b"\x8a\x00.",
    "LONG1 of 16 bytes": b"\x8a\x10" + b"\x7f" * 16 + b".",
    "LONG4": b"\x8b\x02\x00\x00\x00\x00\xff.",
    "FLOAT": b"F-1.5e3\n.",
    "BINFLOAT": b"G?\xf8\x00\x00\x00\x00\x00\x00.",
    "STRING": b"S'a\\n\\xff\"'\n.",
    "STRING double": b'S"it\'s"\n.',
    "STRING empty": b"S''\n.",
    "BINSTRING": b"T\x02\x00\x00\x00a\xff.",
    "SHORT_BINSTRING": b"U\x02a\xff.",
    "UNICODE": b"V\\u2603\xe9\n.",
    "BINUNICODE": b"X\x03\x00\x00\x00\xe2\x98\x83.",
    "BINUNICODE of half a character": b"X\x03\x00\x00\x00\xed\xa0\x80.",
    "SHORT_BINUNICODE": b"\x8c\x02\xc3\xa9.",
    "BINUNICODE8": b"\x8d\x01\x00\x00\x00\x00\x00\x00\x00a.",
    "BINBYTES": b"B\x02\x00\x00\x00a\xff.",
    "SHORT_BINBYTES": b"C\x02a\xff.",
    "BINBYTES8": b"\x8e\x01\x00\x00\x00\x00\x00\x00\x00a.",
    "BYTEARRAY8": b"\x96\x01\x00\x00\x00\x00\x00\x00\x00a.",
    "EMPTY_LIST": b"].",
    "LIST": b"(K\x01K\x02l.",
    "APPEND": b"]K\x01aK\x02a.",
    "APPENDS": b"](K\x01K\x02e.",
    "EMPTY_DICT": b"}.",
    "DICT": b"(U\x01aK\x01U\x01bK\x02d.",
    "DICT of bytes": b"(C\x01aK\x01d.",
    "SETITEM": b"}U\x01aK\x01s.",
    "SETITEMS": b"}(U\x01aK\x01U\x01aK\x02u.",
    "EMPTY_TUPLE": b").",
    "TUPLE": b"(K\x01K\x02K\x03K\x04t.",
    "TUPLE1": b"K\x01\x85.",
    "TUPLE2": b"K\x01K\x02\x86.",
    "TUPLE3": b"K\x01K\x02K\x03\x87.",
    "EMPTY_SET": b"\x8f.",
    "ADDITEMS": b"\x8f(U\x01aU\x01b\x90.",
    "FROZENSET": b"(U\x01aU\x01b\x91.",
    "GLOBAL, REDUCE": b"cbuiltins\nbytearray\nC\x01a\x85R.",
    "STACK_GLOBAL": b"\x8c\x08builtins\x8c\tbytearray\x93)R.",
    "PUT, GET": b"(U\x01ap0\ng0\nt.",
    "PUT from 1": b"(U\x01ap1\ng1\nt.",
    "BINPUT, BINGET": b"(U\x01aq\x07h\x07t.",
    "PUT twice": b"(U\x01aq\x01U\x01bq\x01h\x01t.",
    "LONG_BINPUT, LONG_BINGET": b"(U\x01ar\x02\x01\x00\x00j\x02\x01\x00\x00t.",
    "MEMOIZE": b"(U\x01a\x94U\x01b\x94h\x00h\x01t.",
    "PUT, then MEMOIZE": b"(U\x01a\x94U\x01bq\x01U\x01c\x94h\x02t.",
    "None twice": b"(N\x94h\x00t.",
    "a tuple of 100 twice": b"((" + b"N" * 100 + b"t\x94h\x00t.",
    "bytes of 100 twice": b"(C\x64" + bytes(100) + b"\x94h\x00t.",
    "a shape twice": b"(K\x01K\x02\x86\x94h\x00t.",
    "bytes twice": b"(C\x01a\x94h\x00t.",
    "PROTO": b"\x80\x05N.",
    "FRAME": b"\x95\x02\x00\x00\x00\x00\x00\x00\x00N.",
    "another pickle behind": b"N.N.",
}


@pytest.mark.parametrize("name", BENIGN)
def test_reads_as_python_does(run, name):
    found, expected = run(BENIGN[name]), pickle.loads(BENIGN[name], encoding="latin-1")
    assert found == expected and type(found) is type(expected)


def test_every_opcode_is_compared():
    used = set()
    for data in BENIGN.values():
        used |= {bytes([byte]) for byte in data}
    assert set(OPERATIONS) - {b"b"} <= used  # BUILD is for arrays


@pytest.mark.parametrize(
    "code",
    [b"0", b"1", b"2", b"P", b"Q", b"i", b"o", b"\x81", b"\x82", b"\x83", b"\x84", b"\x92", b"\x97", b"\x98", b"\xff"],
)
def test_opcodes_that_no_stage_file_needs(run, code):
    with pytest.raises(Refused, match=r"opcode .*, which no stage file needs"):
        run(b"((K\x01K\x02K\x03" + code + b"\x00\x00\x00\x00.")


REFUSED = {
    "an integer of 17 bytes": (b"\x8a\x11" + bytes(17) + b".", "more digits"),
    "an integer of 70 kB": (b"\x8b\x00\x00\x01\x00" + bytes(65536) + b".", "more digits"),
    "a long line": (b"I" + b"1" * 200 + b"\n.", "a line is too long"),
    "a long L line": (b"L" + b"1" * 200 + b"\n.", "a line is too long"),
    "a long F line": (b"F" + b"1" * 200 + b"\n.", "a line is too long"),
    "a long name": (b"c" + b"m" * 200 + b"\nn\n.", "a line is too long"),
    "a long second name": (b"cm\n" + b"n" * 200 + b"\n.", "a line is too long"),
    "a line without end": (b"I1", "cut short"),
    "no number": (b"Ix\n.", r"damaged \(ValueError\)"),
    "no float": (b"Fx\n.", r"damaged \(ValueError\)"),
    "no UTF-8": (b"X\x01\x00\x00\x00\xff.", r"damaged \(UnicodeDecodeError\)"),
    "no quotes": (b"Sabc\n.", "without quotes"),
    "letters for quotes": (b"Saba\n.", "without quotes"),
    "one quote": (b"S'\n.", "without quotes"),
    "two kinds of quotes": (b"S'a\"\n.", "without quotes"),
    "a cut float": (b"G?\xf8", "cut short"),
    "a cut text": (b"X\x09\x00\x00\x00abc", "cut short"),
    "a length beyond the file": (b"B\xff\xff\xff\xffabc.", "cut short"),
    "a frame beyond the file": (b"\x95\x03\x00\x00\x00\x00\x00\x00\x00N.", "cut short"),
    "no stop": (b"N", "cut short"),
    "two items": (b"NN.", r"damaged \(ValueError\)"),
    "no item": (b".", r"damaged \(ValueError\)"),
    "a mark left": (b"N(N.", "a mark is left"),
    "no mark": (b"Nt.", r"damaged \(IndexError\)"),
    "a tuple of too few": (b"N\x86.", "too few items"),
    "a tuple across a mark": (b"N(N\x86.", "too few items"),
    "append to nothing": (b"Na.", r"damaged \(IndexError\)"),
    "append across a mark": (b"](Na.", r"damaged \(IndexError\)"),
    "append to a tuple": (b")Na.", "a tuple where a list belongs"),
    "append several to a dict": (b"}(Ne.", "a dict where a list belongs"),
    "set an item of a list": (b"]U\x01aNs.", "a list where a dict belongs"),
    "set items of a set": (b"\x8f(U\x01aNu.", "a set where a dict belongs"),
    "a key without value": (b"}(U\x01au.", r"damaged \(ValueError\)"),
    "a dict without value": (b"(U\x01ad.", r"damaged \(ValueError\)"),
    "add to a list": (b"](U\x01a\x90.", "a list where a set belongs"),
    "a key that is a list": (b"(]Nd.", "a key .* that is a list"),
    "a key that is nan": (b"}G\x7f\xf8\x00\x00\x00\x00\x00\x00Ns.", "a key .* that is a float"),
    "items' keys": (b"}(K\x01Nu.", "a key .* that is a int"),
    "a member that is a set": (b"\x8f(\x8f\x90.", "a member of a set that is a set"),
    "a member that is a tuple": (b"()\x91.", "a member of a set that is a tuple"),
    "a call of a word": (b"U\x01a)R.", "a str where a Global belongs"),
    "a call with a list": (b"cbuiltins\nbytearray\n]R.", "a list where a tuple belongs"),
    "a state that is a list": (b"cnumpy\nndarray\n]b.", "a list where a tuple belongs"),
    "a call without tuple": (b"cbuiltins\nbytearray\nNR.", "a NoneType where a tuple belongs"),
    "building a list": (b"])b.", "a list where a Unbuilt belongs"),
    "building a name": (b"cnumpy\nndarray\n)b.", "a Global where a Unbuilt belongs"),
    "a name left": (b"cnumpy\nndarray\n.", "something unfinished is left"),
    "an array left unbuilt": (b"cnumpy\nndarray\nK\x00\x85C\x01b\x86R.", "something unfinished is left"),
    "an unbuilt array within": (b"(cnumpy\nndarray\nK\x00\x85C\x01b\x86Rl.", "something unfinished is left"),
    "an unbuilt array twice": (b"(cnumpy\nndarray\nK\x00\x85C\x01b\x86R\x94h\x00l.", "in several places"),
    "a protocol to come": (b"\x80\x06N.", "pickle protocol 6; 5 is the highest known"),
    "a list twice": (b"(]\x94h\x00l.", "in several places"),
    "a list in itself": (b"]\x94h\x00a.", "in several places"),
    "a dict twice": (b"(}q\x00h\x00l.", "in several places"),
    "a bytearray twice": (b"(\x96\x00\x00\x00\x00\x00\x00\x00\x00\x94h\x00l.", "in several places"),
    "long bytes twice": (b"(C\x65" + bytes(101) + b"\x94h\x00l.", "in several places"),
    "a long tuple twice": (b"((" + b"N" * 101 + b"t\x94h\x00l.", "in several places"),
    "a tuple of a word twice": (b"(U\x01a\x85\x94h\x00l.", "in several places"),
    "a place left out": (b"(Nq\x05h\x02l.", "in several places"),
    "a place to come": (b"(N\x94h\x01l.", r"damaged \(IndexError\)"),
    "a place below 0": (b"(N\x94g-1\nl.", "negative"),
    "put below 0": (b"Np-1\n.", "no file of this length needs"),
    "a place far off": (b"Nr\x00\x04\x00\x00.", "no file of this length needs"),
    "put nothing": (b"\x94N.", r"damaged \(IndexError\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses(run, name):
    data, message = REFUSED[name]
    with pytest.raises(Refused, match=message):
        run(data)


def test_depth(run):
    assert run(b"]" + b"\x85" * (DEPTH - 1) + b".")
    for deeper in (b"]" + b"\x85" * DEPTH, b"]" * (DEPTH + 1) + b"a" * DEPTH):
        with pytest.raises(Refused, match="containers nested more than 100 deep"):
            run(deeper + b".")


def test_dicts_count_as_depth(run):
    with pytest.raises(Refused, match="containers nested more than 100 deep"):
        run(b"}" + b"U\x01a}" * 100 + b"s" * 100 + b".")


def test_marks(run):
    assert run(b"(" * DEPTH + b"l" * DEPTH + b".")
    with pytest.raises(Refused, match="more than 100 marks"):
        run(b"(" * (DEPTH + 1))


def test_what_is_shared_stays_what_it_is(run):
    first, second = run(b"(U\x01a\x94h\x00t.")
    assert first is second
