"""Exit codes are a contract; refusals carry a stable code."""

from __future__ import annotations

import pytest

from ercpseg import errors


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.ErcpsegError, 70),
        (errors.UsageError, 2),
        (errors.DataError, 65),
        (errors.DocumentError, 65),
        (errors.ResourceError, 71),
        (errors.WorkspaceBusy, 73),
        (errors.StorageError, 74),
        (errors.Interrupted, 75),
    ],
)
def test_exit_codes(kind: type[errors.ErcpsegError], code: int) -> None:
    assert kind("x").exit_code == code


def test_a_message_says_what_where_expected_and_what_to_do() -> None:
    error = errors.StorageError("reading failed", where="a.png", expected="a file", todo="try again")
    assert str(error) == error.message == "reading failed (at a.png); expected a file; try again"
    assert errors.DataError("nothing").message == "nothing"


def test_refusals_have_known_codes_only() -> None:
    with pytest.raises(ValueError, match="no-such-code"):
        errors.InputRefused("no-such-code")
    refusal = errors.InputRefused("truncated", "12 bytes")
    assert (refusal.code, refusal.exit_code) == ("truncated", 65)
    assert refusal.reason == f"12 bytes; {errors.REFUSALS['truncated']}"
    assert errors.InputRefused("truncated").reason == errors.REFUSALS["truncated"]
