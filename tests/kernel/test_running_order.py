"""The running order does not depend on hashes or addresses: the same in every process."""

import os
import subprocess
import sys
from hashlib import sha256

import pytest

#: A run that mixes all kinds of waiting, and prints a digest of what ran when.
PROGRAM = """
import asyncio, random, sys
from hashlib import sha256
import anyio, anyio.lowlevel
from edgeless_sim.kernel import Actor, Entropy, Supervisor, current_scheduler, run

ballast = [object() for _ in range(int(sys.argv[1]))]   # moves the heap
log = []

class Echo(Actor):
    async def handle(self, request):
        await anyio.sleep(request / 1000)
        return request

async def main():
    scheduler = current_scheduler()
    note = lambda *what: log.append((scheduler.now_ns(), *what))
    dice = Entropy(7).stream("test")
    lock = anyio.Lock()

    async def worker(name):
        for step in range(5):
            with anyio.move_on_after(0.003):
                await anyio.sleep(dice.randrange(5) / 1000)
                note(name, "slept", step)
            async with lock:
                note(name, "locked", step)
                await anyio.lowlevel.checkpoint()
            with anyio.move_on_after(0.002):
                reply = await actors[dice.randrange(3)].call(dice.randrange(4), timeout_s=1)
                note(name, "reply", reply)

    async with Supervisor.open() as supervisor:
        actors = [Echo(f"actor {n}", supervisor.spawn) for n in range(3)]
        async with anyio.create_task_group() as group:
            for n in range(20):
                group.start_soon(worker, f"worker {n}")
                scheduler.call_at(n % 4 * 1_000_000, note, "timer", n)
                asyncio.get_running_loop().call_later(n % 4 / 1000, note, "asyncio", n)
        done = await asyncio.gather(*[asyncio.wait_for(asyncio.sleep(n % 3 / 1000, n), 1)
                                      for n in range(10)])
        note(done)

run(main)
print(len(log), sha256(repr(log).encode()).hexdigest())
"""


def result_of(hash_seed: str, ballast: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, ballast],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def expected() -> str:
    return result_of("0", "0")


def test_the_program_does_something(expected: str) -> None:
    count, digest = expected.split()
    assert int(count) > 150
    assert digest != sha256(b"[]").hexdigest()


@pytest.mark.parametrize(("hash_seed", "ballast"), [("1", "0"), ("2", "12345"), ("random", "777")])
def test_the_running_order_is_that_of_every_other_process(
    expected: str, hash_seed: str, ballast: str
) -> None:
    assert result_of(hash_seed, ballast) == expected
