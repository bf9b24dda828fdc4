import unicodedata

import pytest

from ercpseg.importers.naming import MAX_CHARACTERS, Namer, is_safe, name_key


def test_the_stem_is_the_name():
    namer = Namer()
    assert namer.claim("p1_a", "x/p1_a.png") == "p1_a"
    assert namer.claim("clip", "clip.dcm", 7) == "clip_f0007"
    assert namer.claim("Müller.v2", "Müller.v2.png") == "Müller.v2"


def test_repeated_names_get_the_hash_of_their_path():
    namer = Namer()
    names = [namer.claim("A", f"{folder}/A.png") for folder in ("one", "two", "three")]
    assert names[0] == "A"
    assert len({name_key(n) for n in names}) == 3
    assert names[1].startswith("A-")
    assert len(names[1]) == len("A-") + 8
    assert namer.claim("a", "four/a.png") != "a"  # a file system without case would merge them


def test_names_do_not_depend_on_anything_but_order():
    def run():
        namer = Namer()
        return [namer.claim(s, f"{i}/{s}") for i, s in enumerate(["x", "x", "../y", "con", "x"])]

    assert run() == run()


@pytest.mark.parametrize(
    "stem",
    [
        "..",
        "../etc",
        "a/b",
        "a\\b",
        "C:x",
        "a b",
        "a\nb",
        "nul",
        "COM1.x",
        "x" * 81,
        "é" * 120,
        "=cmd",
        "-rf",
        "a.",
        "🦴",
    ],
)
def test_hostile_stems_become_safe(stem):
    name = Namer().claim(stem, f"{stem}.png")
    assert is_safe(name)
    assert len(name) <= MAX_CHARACTERS
    assert name != stem


def test_unicode_forms_of_one_name_collide():
    nfc = unicodedata.normalize("NFC", "é1")
    nfd = unicodedata.normalize("NFD", "é1")
    namer = Namer()
    assert namer.claim(nfd, "a") == nfc
    assert namer.claim(nfc, "b") != nfc


def test_the_same_source_twice_still_gets_two_names():
    namer = Namer()
    assert len({namer.claim("x", "x.png") for _ in range(3)}) == 3
