"""The functions of EDGELESS's benchmarks: arrivals, transactions, and work."""

from __future__ import annotations

import base64
import struct
from typing import TYPE_CHECKING

import pytest
import wasmtime

if TYPE_CHECKING:
    from tests.functions.conftest import Loader

TRACE = 5
SEED_42 = 0.5823076, 0.5198187


def encoded(*elements: float, head: tuple[int, ...] = ()) -> str:
    """A vector as base64, after the numbers of *head*."""
    numbers = struct.pack(f">{len(head)}I", *head)
    return base64.b64encode(numbers + struct.pack(f">{len(elements)}f", *elements)).decode()


# ---- trigger ----


@pytest.mark.function("trigger")
def test_trigger_casts_a_constant_at_constant_intervals(load: Loader) -> None:
    guest = load("trigger")
    assert guest.init("out_type=constant,value=hi there,arrival=c(500)") == [("cast", "self", "")]
    for _ in range(2):
        assert guest.cast("") == [
            ("cast", "out", "hi there"),
            ("delayed_cast", 500, "self", ""),
        ]
    assert guest.cast("came back") == []
    assert guest.call("") == (0, "")


@pytest.mark.function("trigger")
def test_trigger_counts_and_marks_transactions_when_asked_to(load: Loader) -> None:
    guest = load("trigger")
    guest.init("out_type=counter,arrival=c(1),log=True")
    for number in ("0", "1"):
        assert guest.cast("") == [
            ("cast", "out", number),
            ("log", TRACE, "tbegin", number),
            ("delayed_cast", 1, "self", ""),
        ]
    assert guest.cast("0") == [("log", TRACE, "tend", "0")]


@pytest.mark.function("trigger")
def test_trigger_marks_nothing_but_counters(load: Loader) -> None:
    guest = load("trigger")
    guest.init("out_type=constant,value=,arrival=c(1),log=true")
    assert guest.cast("") == [("cast", "out", ""), ("delayed_cast", 1, "self", "")]
    assert guest.cast("0") == []


@pytest.mark.function("trigger")
def test_trigger_casts_the_same_random_vector_every_time(load: Loader) -> None:
    guest = load("trigger")
    guest.init("out_type=rand_vec,size=2,use_base64=true,seed=42,arrival=c(7)")
    first, again = guest.cast("")[0], guest.cast("")[0]
    assert first == again
    vector = struct.unpack(">2f", base64.b64decode(str(first[2])))
    assert vector == pytest.approx(SEED_42, rel=1e-6)


@pytest.mark.function("trigger")
def test_trigger_draws_its_intervals(load: Loader) -> None:
    guest = load("trigger")
    guest.init("out_type=constant,value=,arrival=u(100;200),seed=1")
    drawn = [int(str(guest.cast("")[1][1])) for _ in range(1000)]
    assert min(drawn) >= 100
    assert max(drawn) <= 200
    assert sum(drawn) / len(drawn) == pytest.approx(150, rel=0.02)
    guest = load("trigger")
    guest.init("out_type=constant,value=,arrival= E(100)\n,seed=1")
    drawn = [int(str(guest.cast("")[1][1])) for _ in range(1000)]
    assert sum(drawn) / len(drawn) == pytest.approx(100, rel=0.1)
    assert max(drawn) > 300


@pytest.mark.function("trigger")
@pytest.mark.parametrize(
    ("payload", "fault"),
    [
        (None, "Invalid output config: out_type is missing"),
        ("out_type=x,arrival=c(1)", "Invalid output config: out_type x is unknown"),
        ("out_type=constant,arrival=c(1)", "Invalid output config: value is missing"),
        ("out_type=rand_vec,arrival=c(1)", "Invalid output config: size is missing"),
        (
            "out_type=rand_vec,size=2,arrival=c(1)",
            "Invalid output config: rand_vec needs use_base64=true",
        ),
        ("out_type=counter", "Invalid inter-arrival config: arrival is c(T), u(A;B) or e(M)"),
        ("out_type=counter,arrival=u(2;1)", "Invalid inter-arrival config: 2 is not less than 1"),
        ("out_type=counter,arrival=x(1)", "Invalid inter-arrival config: arrival x is unknown"),
    ],
)
def test_trigger_tells_what_is_wrong_and_stays_silent(
    load: Loader, payload: str | None, fault: str
) -> None:
    guest = load("trigger")
    assert guest.init(payload) == [("cast", "err", fault)]
    assert guest.cast("") == []
    assert guest.cast("0") == []


# ---- matrix_mul ----


@pytest.mark.function("matrix_mul")
def test_the_first_matrix_mul_begins_transactions(load: Loader) -> None:
    guest = load("matrix_mul")
    init = guest.init("seed=1,inter_arrival=20,is_first=true,matrix_size=3,outputs=0:2:2:x:19")
    assert init == [("delayed_cast", 1000, "self", "")]
    for number in ("0", "1"):
        assert guest.cast("") == [
            ("delayed_cast", 20, "self", ""),
            ("log", TRACE, "tbegin", number),
            ("cast", "out-0", number),
            ("cast", "out-2", number),
            ("cast", "out-19", number),
        ]
    assert guest.call("") == (0, "")


@pytest.mark.function("matrix_mul")
def test_without_an_inter_arrival_time_only_events_begin_transactions(load: Loader) -> None:
    guest = load("matrix_mul")
    guest.init("is_first=true,is_last=TRUE,inter_arrival=0,matrix_size=1,outputs=")
    assert guest.cast("what came back") == [
        ("log", TRACE, "tbegin", "0"),
        ("log", TRACE, "tend", "0"),
    ]


@pytest.mark.function("matrix_mul")
def test_the_other_matrix_muls_hand_transactions_on(load: Loader) -> None:
    guest = load("matrix_mul")
    assert guest.init("matrix_size=2,is_last=true") == []
    assert guest.cast("17") == [("log", TRACE, "tend", "17"), ("cast", "out-0", "17")]
    assert guest.cast("x")[-1] == ("cast", "out-0", "0")


@pytest.mark.function("matrix_mul")
def test_a_larger_matrix_is_more_work(load: Loader) -> None:
    fuel = []
    for size in (4, 40):
        guest = load("matrix_mul")
        guest.init(f"matrix_size={size}")
        before = guest.fuel
        guest.cast("1")
        fuel.append(guest.fuel - before)
    # 64,000 products and sums instead of 64.
    assert fuel[1] - fuel[0] > 64_000 * 4


@pytest.mark.function("matrix_mul")
def test_a_matrix_without_memory_traps(load: Loader) -> None:
    for size in ("65536", "65535"):
        with pytest.raises(wasmtime.Trap):
            load("matrix_mul").init(f"matrix_size={size}")


# ---- bench_process ----


@pytest.mark.function("bench_process")
@pytest.mark.parametrize(
    ("payload", "outputs"),
    [
        ("forward=true,fibonacci=1000,allocate=1000", [("cast", "out", "hi")]),
        ("forward=no", []),
        (None, []),
    ],
)
def test_bench_process_forwards_when_asked_to(
    load: Loader, payload: str | None, outputs: list[tuple[object, ...]]
) -> None:
    guest = load("bench_process")
    assert guest.init(payload) == []
    assert guest.cast("hi") == outputs
    assert guest.call("hi") == (0, "")


@pytest.mark.function("bench_process")
def test_bench_process_works_as_hard_as_told(load: Loader) -> None:
    fuel = []
    for number in (0, 5000):
        guest = load("bench_process")
        guest.init(f"fibonacci={number}")
        before = guest.fuel
        guest.cast("")
        fuel.append(guest.fuel - before)
    # The numbers grow to 3,471 bits: 54 digits of 32 bits on average, for every step.
    assert fuel[1] - fuel[0] > 5000 * 54


@pytest.mark.function("bench_process")
def test_bench_process_takes_memory_for_good(load: Loader) -> None:
    guest = load("bench_process")
    if hasattr(guest, "pages"):
        before = guest.pages
        guest.init("allocate=1000000")
        guest.cast("")
        assert guest.pages >= before + 1_000_000 // 65_536
    with pytest.raises(wasmtime.Trap):
        load("bench_process").init("allocate=4294967295")


# ---- bench_mapreduce ----


@pytest.mark.function("bench_mapreduce")
def test_the_first_stage_begins_a_transaction_with_every_vector(load: Loader) -> None:
    guest = load("bench_mapreduce")
    assert guest.init("is_first=true,use_base64=true,outputs=0:7") == []
    for number in (0, 1):
        assert guest.cast(encoded(1.5, -2)) == [
            ("log", TRACE, "tbegin", str(number)),
            ("cast", "out-0", encoded(1.5, -2, head=(number, 0))),
            ("cast", "out-7", encoded(1.5, -2, head=(number, 7))),
        ]


@pytest.mark.function("bench_mapreduce")
@pytest.mark.parametrize(
    ("answer", "first"), [((1, b"41"), "41"), ((1, b"x"), "0"), ((0, b""), "0"), ((2, b""), "0")]
)
def test_the_first_stage_asks_redis_where_to_begin(
    load: Loader, answer: tuple[int, bytes], first: str
) -> None:
    guest = load("bench_mapreduce")
    guest.init("is_first=true,use_base64=true,outputs=0,init_id_from_redis=true")
    guest.answers.append(answer)
    assert guest.cast(encoded(1))[:2] == [
        ("call", "redis", "last_transaction_id"),
        ("log", TRACE, "tbegin", first),
    ]
    assert guest.cast(encoded(1))[0] == ("log", TRACE, "tbegin", str(int(first) + 1))


@pytest.mark.function("bench_mapreduce")
def test_a_stage_adds_up_what_its_inputs_sent(load: Loader) -> None:
    guest = load("bench_mapreduce")
    assert guest.init("use_base64=true,inputs=0:1,outputs=2:3") == []
    assert guest.cast(encoded(10, 20, head=(5, 1))) == []
    assert guest.cast(encoded(1, 2, 3, head=(5, 0))) == [
        ("cast", "out-2", encoded(11, 22, 3, head=(5, 2))),
        ("cast", "out-3", encoded(11, 22, 3, head=(5, 3))),
    ]
    assert guest.cast(encoded(1, head=(6, 0))) == []


@pytest.mark.function("bench_mapreduce")
def test_a_newer_transaction_makes_a_stage_forget_older_ones(load: Loader) -> None:
    guest = load("bench_mapreduce")
    guest.init("use_base64=true,inputs=0:1,outputs=0")
    guest.cast(encoded(1, head=(5, 0)))
    assert guest.cast(encoded(2, head=(6, 1))) == []
    assert guest.cast(encoded(4, head=(5, 0))) == []
    assert guest.cast(encoded(8, head=(6, 0))) == [("cast", "out-0", encoded(10, head=(6, 0)))]


@pytest.mark.function("bench_mapreduce")
@pytest.mark.parametrize("asks_redis", [False, True])
def test_the_last_stage_ends_transactions(load: Loader, asks_redis: bool) -> None:
    guest = load("bench_mapreduce")
    redis = f",init_id_from_redis={asks_redis}"
    assert guest.init(f"use_base64=true,is_last=true,inputs=0:1{redis}") == []
    for number in (3, 4):
        assert guest.cast(encoded(1, head=(number, 1))) == []
        end = [("log", TRACE, "tend", str(number))]
        told = [("cast", "redis", str(number))] if asks_redis else []
        assert guest.cast(encoded(1, head=(number, 0))) == end + told


@pytest.mark.function("bench_mapreduce")
@pytest.mark.parametrize(
    ("message", "fault"),
    [
        ("not base64", "discarded an invalid message of size 10"),
        (encoded(head=(1,)), "discarded an invalid message of size 8"),
        ("", "discarded an invalid message of size 0"),
        (encoded(1, head=(1, 9)), "nothing is expected from input 9"),
    ],
)
def test_a_stage_reports_messages_that_are_none(load: Loader, message: str, fault: str) -> None:
    guest = load("bench_mapreduce")
    guest.init("use_base64=true,inputs=0:1,outputs=0")
    assert guest.cast(message) == [("cast", "err", f"error: {fault}")]


@pytest.mark.function("bench_mapreduce")
def test_bytes_that_are_no_text_need_base64(load: Loader) -> None:
    guest = load("bench_mapreduce")
    guest.init("is_first=true,outputs=0")
    assert guest.cast("\0\0\0\0") == [("log", TRACE, "tbegin", "0"), ("cast", "out-0", "\0" * 12)]
    # One as a number of 32 bits is 3f 80 00 00; a text cannot say so, but two sums can.
    guest = load("bench_mapreduce")
    guest.init("inputs=0,outputs=128")
    assert guest.cast("\0" * 8) == [("cast", "err", "error: not a text; set use_base64=true")]


@pytest.mark.function("bench_mapreduce")
@pytest.mark.parametrize(
    ("payload", "faults"),
    [
        ("is_first=true,inputs=0,outputs=0", ["the first stage has inputs"]),
        ("outputs=0", ["a stage behind the first has no inputs"]),
        ("inputs=0", ["a stage before the last has no outputs"]),
        ("is_last=true,inputs=0,outputs=0", ["the last stage has outputs"]),
        ("is_first=true,is_last=true", ["one stage is the first and the last"]),
    ],
)
def test_a_stage_that_makes_no_sense_says_so(load: Loader, payload: str, faults: list[str]) -> None:
    guest = load("bench_mapreduce")
    assert guest.init(payload) == [("cast", "err", f"init error: {fault}") for fault in faults]
    assert guest.call("") == (0, "")
    assert guest.outputs == [("cast", "err", "error: called, which nobody should")]
