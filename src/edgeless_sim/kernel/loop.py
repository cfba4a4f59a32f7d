"""An asyncio event loop whose time is virtual: it jumps to the next timer instead of waiting.

`VirtualTimeLoop` *is* the scheduler of a simulation: tasks, futures and ``asyncio.sleep`` share one
ready queue and one order of timers with the callbacks of the event path. There are no sockets, no
threads and no subprocesses in it. Nothing ready and no timer set is a `DeadlockError`, not a hang.

`run` runs a coroutine in either world; the code it runs cannot tell which.
"""

import asyncio
import contextvars
import importlib
import math
from asyncio import events
from collections.abc import Callable, Coroutine
from heapq import heappop
from typing import Any, Final, NoReturn, Protocol, TypeVar

from edgeless_sim.errors import DeadlockError, LivelockError, SimulationError
from edgeless_sim.kernel.pump import PumpedScheduler
from edgeless_sim.kernel.scheduler import Timer, TimerQueue

__all__ = ["Pacer", "VirtualTimeLoop", "current_scheduler", "enter_ground", "run"]

T = TypeVar("T")
_PROGRESS_EVERY: Final = 2048
#: Batches of timers without a step of time: some seconds of wall time.
_STANDSTILL_MAX: Final = 500

#: Whether what runs in a context is background work: a task keeps its own, whoever wakes it.
_GROUND: Final[contextvars.ContextVar[bool]] = contextvars.ContextVar("edgeless_sim_background")


class _Stop(BaseException):
    """Leaves the ready queue when the loop is asked to stop."""


class Pacer(Protocol):
    """Makes virtual time follow the wall clock."""

    def wait_until(self, when_ns: int) -> None:
        """Return when the wall clock has reached virtual time *when_ns*."""
        ...


class _Handle(events.Handle):
    """A callback that asyncio scheduled; slim, and with its own context as asyncio demands."""

    __slots__ = ()

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context | None,
    ) -> None:
        # Not super().__init__: it looks at debug mode and tracebacks, four times as slow.
        self._context = contextvars.copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = None
        self._source_traceback = None

    def run(self) -> None:
        """Run unless cancelled; an exception goes to the loop's exception handler."""
        if not self._cancelled:
            self._run()


class _TimerHandle(_Handle):
    """As `_Handle`, with a deadline; holds the kernel's timer so that a cancelled one is dead."""

    __slots__ = ("_timer", "_when")

    _loop: "VirtualTimeLoop"
    _timer: Timer
    _when: float

    def run(self) -> None:
        """As `_Handle.run`; then the loop's time, in floats, is the deadline or later."""
        if not self._cancelled:
            self._loop.reached = max(self._loop.reached, self._when)
            self._run()

    def cancel(self) -> None:
        super().cancel()
        self._timer.cancel()

    def when(self) -> float:
        """The deadline in seconds of loop time."""
        return self._when


class VirtualTimeLoop(asyncio.BaseEventLoop):
    """The event loop of a simulation. Deterministic: first in, first out, no wall clock."""

    def __init__(self, *, ceiling_s: float = math.inf) -> None:
        """Past *ceiling_s* of virtual time the run ends with `SimulationError`."""
        super().__init__()
        self.scheduler = TimerQueue()
        self._ceiling_ns = ceiling_s * 1e9
        #: Paces the run by the wall clock; None = as fast as possible.
        self.pacer: Pacer | None = None
        #: Called now and then with the virtual time; it must not schedule anything.
        self.on_progress: Callable[[int], None] | None = None
        self._settle_waiters: list[asyncio.Future[bool]] = []
        self._standstill = 0

        #: The latest deadline in seconds that has come, see `time`.
        self.reached = 0.0

    def time(self) -> float:
        """Virtual seconds since the loop was made.

        A deadline that has come has been reached, though its nanoseconds, as a float, may be a
        hair less: anyio would set the same timer again and again, and time would stand still.
        """
        return max(self.scheduler.now / 1e9, self.reached)

    def create_task(  # type: ignore[override]  # asyncio's overloads differ between versions
        self,
        coro: Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
        **options: Any,
    ) -> "asyncio.Task[T]":
        """See asyncio. The task stays foreground or background work, whoever wakes it."""
        if context is None:
            context = contextvars.copy_context()
        context.run(_GROUND.set, self.scheduler.background)
        return super().create_task(coro, name=name, context=context, **options)

    def call_soon(  # type: ignore[override]  # a Handle of ours, with the same interface
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> events.Handle:
        """See asyncio. FIFO with the kernel's own callbacks."""
        scheduler = self.scheduler
        background = scheduler.background
        if context is not None:
            background = context.get(_GROUND, background)
        handle = _Handle(callback, args, self, context)
        scheduler.ready.append((handle.run, (), background))
        return handle

    # Runner's SIGINT handler is the only legitimate caller; there are no other threads.
    call_soon_threadsafe = call_soon  # type: ignore[assignment]  # same signature as call_soon

    def call_later(  # type: ignore[override]  # see call_soon
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> events.TimerHandle:
        """See asyncio. *delay* is rounded to nanoseconds once, not through float loop time."""
        when_ns = None if delay == math.inf else self.scheduler.now + round(delay * 1e9)
        handle = _TimerHandle(callback, args, self, context)
        return self._set(handle, when_ns, math.inf if when_ns is None else when_ns / 1e9)

    def call_at(  # type: ignore[override]  # see call_soon
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> events.TimerHandle:
        """See asyncio."""
        when_ns = None if when == math.inf else round(when * 1e9)
        return self._set(_TimerHandle(callback, args, self, context), when_ns, when)

    def _set(self, handle: _TimerHandle, when_ns: int | None, when: float) -> events.TimerHandle:
        self._check_closed()  # type: ignore[attr-defined]  # private, but what BaseEventLoop does
        handle._when = when  # noqa: SLF001 - set here to keep the constructor slim
        if when_ns is None:
            # Never: such a timer must not keep a deadlock from being one.
            handle._timer = Timer(handle.run, (), None)  # noqa: SLF001 - see above
        else:
            handle._timer = self.scheduler.timer_at(when_ns, handle.run)  # noqa: SLF001 - see above
        return handle  # type: ignore[return-value]  # behaves as a TimerHandle

    def _timer_handle_cancelled(self, handle: events.TimerHandle) -> None:
        """Nothing to count: the kernel's timer has told its heap."""

    def _process_events(self, event_list: list[object]) -> None:
        """There is no selector."""

    def _write_to_self(self) -> None:
        """There is nobody to wake."""

    async def settled(self, timeout_s: float = math.inf) -> bool:
        """Return True when no foreground work is pending, False when *timeout_s* have passed.

        What foreground work is says `edgeless_sim.kernel.scheduler`.
        """
        future: asyncio.Future[bool] = self.create_future()
        self._settle_waiters.append(future)
        deadline = None
        if timeout_s != math.inf:
            # In the background: the deadline itself must not count as pending work.
            deadline = self.scheduler.background_at(
                self.scheduler.now + round(timeout_s * 1e9), _give_up, future
            )
        try:
            return await future
        finally:
            if deadline is not None:
                deadline.cancel()
            if future in self._settle_waiters:
                self._settle_waiters.remove(future)

    def run_in_executor(self, *_: object) -> NoReturn:
        """Refuse: a thread knows nothing of virtual time, and its answer comes at no moment."""
        raise SimulationError("threads cannot be used in virtual time")

    def stop(self) -> None:
        """See asyncio: what is ready now still runs, and then the loop stops."""
        super().stop()
        # A callback and not a flag, which the loop would have to look at after every other one.
        self.scheduler.ready.append((self._halt, (), False))

    def _halt(self) -> None:
        # A second stop, or one that an exception overtook, must not end the next run.
        if self._stopping:  # type: ignore[attr-defined]  # private, but what run_forever reads
            raise _Stop

    def _run_once(self) -> None:
        """Run ready callbacks, then the next timers, until asked to stop. The kernel's heart."""
        scheduler = self.scheduler
        ready = scheduler.ready
        popleft = ready.popleft
        next_heap = scheduler.next_heap
        settle_waiters = self._settle_waiters
        pacer = self.pacer
        began_ns = scheduler.now
        try:
            for _ in range(_PROGRESS_EVERY):
                while ready:
                    callback, args, scheduler.background = popleft()
                    callback(*args)
                if settle_waiters and scheduler.foreground_idle():
                    self._wake_settled()
                    continue
                heap = next_heap()
                if heap is None:
                    raise DeadlockError(
                        f"nothing is ready and no timer is set at {self.time():.9f} s of virtual "
                        "time: something waits for an answer that nobody will give"
                    )
                when_ns, _, callback, args = heappop(heap)
                if when_ns > scheduler.now:
                    if pacer is not None:
                        pacer.wait_until(when_ns)
                    scheduler.now = when_ns
                scheduler.background = heap.background
                callback(*args)
        except _Stop:
            self._standstill = 0
        else:
            self._check_progress(began_ns)
        scheduler.background = False
        if self.on_progress is not None:
            self.on_progress(scheduler.now)

    def _check_progress(self, began_ns: int) -> None:
        """Raise `LivelockError` when time stands still, `SimulationError` when it runs away."""
        if self.scheduler.now > self._ceiling_ns:
            raise SimulationError(
                f"more than {self._ceiling_ns / 1e9:g} s of virtual time have passed: "
                "something waits for what never comes"
            )
        if self.scheduler.now > began_ns:
            self._standstill = 0
            return
        self._standstill += 1
        if self._standstill >= _STANDSTILL_MAX:
            raise LivelockError(
                f"virtual time stands still at {self.time():.9f} s after "
                f"{self._standstill * _PROGRESS_EVERY} timers: something answers itself for ever "
                "without taking time, e.g. a function that casts to itself at a service time of 0"
            )

    def _wake_settled(self) -> None:
        self.scheduler.background = False
        waiters = self._settle_waiters[:]
        self._settle_waiters.clear()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(True)


def _give_up(waiter: "asyncio.Future[bool]") -> None:
    if not waiter.done():
        waiter.set_result(False)


def enter_ground(background: bool) -> None:
    """Make the running task background or foreground work from here on; nothing in real time."""
    loop = asyncio.get_running_loop()
    if isinstance(loop, VirtualTimeLoop):
        loop.scheduler.background = background
        _GROUND.set(background)


def current_scheduler() -> TimerQueue:
    """The scheduler of the running loop: the loop itself in sim, a pump in the real worlds."""
    loop = asyncio.get_running_loop()
    if isinstance(loop, VirtualTimeLoop):
        return loop.scheduler
    return PumpedScheduler.of(loop)


def run(
    main: Callable[[], Coroutine[Any, Any, T]],
    *,
    world: str = "sim",
    pacer: Pacer | None = None,
    on_progress: Callable[[int], None] | None = None,
    started_ns: int | None = None,
    make_loop: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> T:
    """Run ``main()`` to its end on a fresh loop: virtual for ``sim``, a real one for the others.

    A real loop is what *make_loop* makes; by default uvloop's if that is installed, else asyncio's.
    *started_ns*, in real time, is the machine's monotonic clock when the run began, if that was in
    another process.
    Raises `DeadlockError` in sim if everything waits for ever. A kernel callback's exception ends
    the run and leaves bare, in either world.
    """
    if world != "sim":
        with asyncio.Runner(loop_factory=make_loop or _real_loop) as real:
            return real.run(_until_bug(main, started_ns))

    def virtual_loop() -> VirtualTimeLoop:
        loop = VirtualTimeLoop()
        loop.pacer = pacer
        loop.on_progress = on_progress
        return loop

    with asyncio.Runner(loop_factory=virtual_loop) as runner:
        return runner.run(main())


def _real_loop() -> asyncio.AbstractEventLoop:
    try:
        uvloop = importlib.import_module("uvloop")
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


async def _until_bug(main: Callable[[], Coroutine[Any, Any, T]], started_ns: int | None) -> T:
    """Run *main* in real time; cancel it for the first exception of a kernel callback."""
    task = asyncio.current_task()
    assert task is not None
    bugs: list[Exception] = []

    def cancel(bug: Exception) -> None:
        bugs.append(bug)
        if len(bugs) == 1:
            task.cancel()

    scheduler = PumpedScheduler.of(asyncio.get_running_loop())
    scheduler.on_bug = cancel
    if started_ns is not None:
        scheduler.begin(started_ns)
    try:
        result = await main()
    except asyncio.CancelledError:
        if not bugs:
            raise
        task.uncancel()
    if bugs:
        raise bugs[0]
    return result
