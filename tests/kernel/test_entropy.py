"""Dice: named streams of one seed, the same everywhere."""

import os
import subprocess
import sys

import pytest

from edgeless_sim.kernel.entropy import Entropy, uuid4_from

NETWORK_42 = [138, 46, 3, 572, 871]
UUID_42 = "d1782d4b-d20b-4961-8530-aa552869a736"


def test_a_stream_is_known_by_heart() -> None:
    dice = Entropy(42).stream("network")
    assert [dice.randrange(1000) for _ in range(5)] == NETWORK_42


def test_the_same_seed_and_name_give_the_same_draws() -> None:
    first, second = (Entropy(7).stream("placement") for _ in range(2))
    assert [first.random() for _ in range(10)] == [second.random() for _ in range(10)]


@pytest.mark.parametrize(("seed", "name"), [(8, "placement"), (7, "faults"), (7, "")])
def test_another_seed_or_name_gives_other_draws(seed: int, name: str) -> None:
    assert Entropy(seed).stream(name).random() != Entropy(7).stream("placement").random()


def test_seed_and_name_cannot_be_confused() -> None:
    assert Entropy(1).stream("1/x").random() != Entropy(11).stream("/x").random()


def test_a_draw_for_one_purpose_changes_no_other() -> None:
    entropy = Entropy(3)
    expected = entropy.stream("b").random()
    other = entropy.stream("a")
    for _ in range(100):
        other.random()
    assert entropy.stream("b").random() == expected


def test_a_uuid_is_of_version_4_and_known_by_heart() -> None:
    drawn = uuid4_from(Entropy(42).stream("ids"))
    assert drawn.version == 4
    assert str(drawn) == UUID_42


@pytest.mark.parametrize("hash_seed", ["0", "1", "random"])
def test_draws_do_not_depend_on_the_hash_seed(hash_seed: str) -> None:
    program = (
        "from edgeless_sim.kernel.entropy import Entropy;"
        "dice = Entropy(42).stream('network');"
        "print([dice.randrange(1000) for _ in range(5)])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == str(NETWORK_42)
