"""How old a record of the stream is, by the marks before and behind it; values worked out by hand.

A retention of 6400 s and 64,000 bytes has a mark each 100 s or 1000 bytes.
"""

from thyme.broker import Retention
from vobox.schedd.retention import StreamAge

SHORT = Retention(6400.0, 64_000.0)


def test_a_record_is_old_when_half_of_the_seconds_have_passed() -> None:
    age = StreamAge("", SHORT)
    assert age.find_old(1e9) == -1
    for number in range(5):  # at 0, 100, 200 ... s
        age.read(number, 1, number * 100.0)
    assert age.find_old(3199) == -1
    assert age.find_old(3200) == 0  # 0 is old, and 1, of 100 s, is not
    assert age.find_old(3399) == 1
    assert age.find_old(3400) == 2


def test_what_is_after_the_last_mark_is_as_old_as_that() -> None:
    age = StreamAge("", SHORT)
    age.read(7, 1, 0.0)
    age.read(8, 1, 99.0)  # no mark of its own
    assert age.find_old(3199) == -1
    assert age.find_old(3200) >= 8


def test_a_record_is_old_when_half_of_the_bytes_have_come() -> None:
    age = StreamAge("", SHORT)
    age.read(0, 1000, 0.0)
    for number in range(1, 32):
        assert age.find_old(1.0) == -1
        age.read(number, 1000, 1.0)
    assert age.find_old(1.0) == 0  # 32,000 bytes since the beginning of record 0
    age.read(32, 1000, 1.0)
    assert age.find_old(1.0) == 1


def test_a_time_that_cannot_be_trusted_makes_no_record_older_or_younger() -> None:
    age = StreamAge("", SHORT)
    age.read(0, 1, None)
    assert age.find_old(1e9) == -1
    age.read(1, 1, 50.0)
    age.read(2, 2000, None)
    assert age.find_old(3249) == -1
    assert age.find_old(3250) >= 2


def test_it_is_kept_as_text() -> None:
    age = StreamAge("", SHORT)
    for number in range(5):
        age.read(number, 500, number * 100.0)
    again = StreamAge(age.format(), SHORT)
    assert again.format() == age.format()
    assert again.find_old(3200) == age.find_old(3200) == 0


def test_its_text_stays_short() -> None:
    age = StreamAge("", SHORT)
    for number in range(10_000):
        age.read(number, 10, number * 10.0)
        age.find_old(number * 10.0)
    assert len(age.format()) < 4 * 64 * 40


def test_a_stream_that_keeps_less_than_half_of_what_was_declared_is_believed() -> None:
    age = StreamAge("", SHORT)
    for number in range(31):  # marks at 0, 100 ... 3000 s, 1000 bytes each
        age.read(number, 1000, number * 100.0)
    assert age.find_old(3000.0) == -1

    assert age.compare_with_first(21, 3000.0) == Retention(900.0, 10_000.0)

    # half is 450 s or 5000 bytes: 2550 s and later, 26,000 bytes and more before, are not old
    assert age.find_old(3000.0) == 26
    assert age.compare_with_first(21, 3000.0) == Retention(900.0, 10_000.0)
    assert StreamAge(age.format(), SHORT).find_old(3000.0) == -1, "what was declared"
    assert age.compare_with_first(21, 21 * 100 + 3199) == Retention(3199.0, 10_000.0)
    assert age.compare_with_first(21, 21 * 100 + 3200) is None, "half of the seconds"
    assert age.find_old(3000.0) == -1


def test_half_of_the_declared_bytes_or_no_mark_before_are_no_reason_to_say_so() -> None:
    age = StreamAge("", SHORT)
    for number in range(10, 50):
        age.read(number, 1000, number * 1.0)
    assert age.compare_with_first(9, 50.0) is None
    assert age.compare_with_first(18, 50.0) is None  # 32,000 bytes are there
    kept = age.compare_with_first(19, 50.0)
    assert kept == Retention(31.0, 31_000.0)
