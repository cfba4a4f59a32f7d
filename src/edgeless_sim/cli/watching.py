"""``edgeless-sim top`` without a scenario: a deployment that can be watched.

Asks the ε-CON and the ε-ORCs at the same time, again and again. Who does not answer holds nobody
up for longer than his time-out, and the screen not at all. Not here: what the answers mean
(`report.mirrored`) and what it looks like (`layout`).
"""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import anyio
import typer
from rich.console import RenderableType

from edgeless_sim.api.clients import ControllerClient, DomainMirrorClient
from edgeless_sim.api.messages import MirrorPart, MirrorQuery
from edgeless_sim.cli.layout import frame
from edgeless_sim.cli.problems import Exit
from edgeless_sim.cli.screen import open_screen
from edgeless_sim.cli.top_options import TopOptions, printed
from edgeless_sim.cluster.deployment_client import open_controller, open_domain_mirror
from edgeless_sim.cluster.mirror_client import merged_mirrors
from edgeless_sim.cluster.settings import ComponentTls, load_cli_settings, load_tls
from edgeless_sim.errors import EdgelessError, RejectedError, SettingsError
from edgeless_sim.kernel.clock import LoopClock
from edgeless_sim.kernel.loop import run
from edgeless_sim.model.domain import DomainCapabilities
from edgeless_sim.model.ids import DomainId
from edgeless_sim.model.mirror import DomainMirror
from edgeless_sim.report.mirrored import (
    ANSWERS,
    ASKED,
    REFUSES,
    SILENT,
    ControllerAnswer,
    OrchestratorAnswer,
    deployment_snapshot,
)
from edgeless_sim.report.snapshot import Snapshot

__all__ = ["ORCHESTRATOR_URL", "watch_deployment"]

#: Where an ε-ORC is looked for if none is named.
ORCHESTRATOR_URL: Final = "http://127.0.0.1:7003"
_EVERY_S: Final = 2.0
_WINDOW_S: Final = 10.0
#: One request may take so long, and all requests to one peer together.
_REQUEST_S: Final = 2.0
_PEER_S: Final = 8.0
_TICK_S: Final = 0.1
#: Most pages of one part of a mirror that are asked for.
_PAGES_MAX: Final = 200
_REASON_CHARS_MAX: Final = 200


def watch_deployment(options: TopOptions, *, live: bool) -> None:
    """Watch it until somebody has seen enough, or print what it is like.

    Raise `SettingsError` if there is no file that says where it is, or for what is no URL;
    `typer.Exit` if a snapshot was printed and somebody who was named did not answer.
    """
    _check_options(options)
    url = options.controller_url
    if url is None:
        url = load_cli_settings(_there(options)).controller_url
    tls = load_tls(options.config_file.parent)
    orchestrator_urls = options.orchestrator_urls or (ORCHESTRATOR_URL,)

    snapshots: list[Snapshot] = []

    async def main() -> None:
        async with _opened(url, orchestrator_urls, tls, options) as deployment:
            if live:
                await _draw(deployment, options.interval_s or _EVERY_S)
            else:
                snapshots.append(await _print(deployment, options))

    if live:
        # Ctrl-C is how one ends it, too: there is nothing that could be interrupted.
        with suppress(KeyboardInterrupt):
            run(main, world="real")
        return
    run(main, world="real")
    peers = snapshots[0].peers
    named = peers if options.orchestrator_urls else peers[:1]
    if any(peer.answer != ANSWERS for peer in named):
        raise typer.Exit(Exit.UNREACHABLE)


def _check_options(options: TopOptions) -> None:
    if options.seed is not None or options.speed is not None or options.in_process:
        raise typer.BadParameter("--seed, --speed and --in-process need a scenario")
    if options.world != "sim":
        raise typer.BadParameter("--world needs a scenario")
    if options.once and options.interval_s is not None:
        raise typer.BadParameter("--once and --interval do not go together")


def _there(options: TopOptions) -> Path:
    file = options.config_file
    if not file.exists():
        raise SettingsError(
            f"which deployment? There is no {file} that says where its ε-CON is; name a scenario to"
            " run, or --controller-url, or another --config-file"
        )
    return file


class _Deployment:
    """The peers of one deployment, and what each of them said last."""

    def __init__(
        self,
        controller: tuple[str, ControllerClient],
        orchestrators: list[tuple[str, DomainMirrorClient]],
        options: TopOptions,
    ) -> None:
        self._options = options
        self._controller = controller
        self._orchestrators = orchestrators
        self._clock = LoopClock.running()
        self._said = ControllerAnswer(controller[0], answer=ASKED)
        self._shown = [OrchestratorAnswer(url, answer=ASKED) for url, _ in orchestrators]

    async def ask(self, every_s: float | None) -> None:
        """Ask all of them, each for himself: who is slow holds up nobody. None = once."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._ask_controller, every_s)
            for place in range(len(self._orchestrators)):
                group.start_soon(self._ask_orchestrator, place, every_s)

    async def _ask_controller(self, every_s: float | None) -> None:
        while True:
            self._said = await _controller_answer(*self._controller)
            if every_s is None:
                return
            await anyio.sleep(every_s)

    async def _ask_orchestrator(self, place: int, every_s: float | None) -> None:
        url, client = self._orchestrators[place]
        while True:
            since_s = self._now_s() - _WINDOW_S
            self._shown[place] = await _orchestrator_answer(url, client, since_s)
            if every_s is None:
                return
            await anyio.sleep(every_s)

    def snapshot(self) -> Snapshot:
        """What is known now."""
        return deployment_snapshot(
            self._said,
            self._shown,
            now_s=self._now_s(),
            window_s=_WINDOW_S,
            nodes_max=self._options.nodes_max,
            workflows_max=self._options.workflows_max,
        )

    def _now_s(self) -> float:
        return self._clock.utc().timestamp()


@asynccontextmanager
async def _opened(
    url: str, orchestrator_urls: tuple[str, ...], tls: ComponentTls | None, options: TopOptions
) -> AsyncGenerator[_Deployment]:
    async with AsyncExitStack() as stack:
        controller = await stack.enter_async_context(
            open_controller(url, tls=tls, timeout_s=_REQUEST_S)
        )
        orchestrators = [
            (
                each,
                await stack.enter_async_context(
                    open_domain_mirror(each, tls=tls, timeout_s=_REQUEST_S)
                ),
            )
            for each in orchestrator_urls
        ]
        yield _Deployment((url, controller), orchestrators, options)


async def _controller_answer(url: str, client: ControllerClient) -> ControllerAnswer:
    with anyio.move_on_after(_PEER_S):
        try:
            workflows = await client.list_workflows()
            domains: dict[str, DomainCapabilities] = await client.domains(DomainId(""))
            return ControllerAnswer(url, workflows, domains)
        except EdgelessError as error:
            return ControllerAnswer(url, answer=_answer(error), fault=_short(error))
    return ControllerAnswer(url, answer=SILENT, fault=f"nothing came within {_PEER_S:g} s")


async def _orchestrator_answer(
    url: str, client: DomainMirrorClient, since_s: float
) -> OrchestratorAnswer:
    with anyio.move_on_after(_PEER_S):
        try:
            mirror, left_out = await _mirror(client, since_s)
            return OrchestratorAnswer(url, mirror, left_out=left_out)
        except EdgelessError as error:
            return OrchestratorAnswer(url, answer=_answer(error), fault=_short(error))
    return OrchestratorAnswer(url, answer=SILENT, fault=f"nothing came within {_PEER_S:g} s")


async def _mirror(client: DomainMirrorClient, since_s: float) -> tuple[DomainMirror, str]:
    """All pages of all parts, and what was too much."""
    left_out = []
    pages: list[DomainMirror] = []
    for part in MirrorPart:
        after = ""
        for _ in range(_PAGES_MAX):
            page = await client.mirror(MirrorQuery(part, after, since_s))
            pages.append(page.mirror)
            if not page.next:
                break
            after = page.next
        else:
            left_out.append(part.value)
    return merged_mirrors(pages), f"more {', '.join(left_out)} than are shown" if left_out else ""


def _answer(error: EdgelessError) -> str:
    return REFUSES if isinstance(error, RejectedError) else SILENT


def _short(error: EdgelessError) -> str:
    words = " ".join(str(error).split())
    # Which method was asked for is no news to whoever reads it.
    if words.startswith("/"):
        words = words.partition(": ")[2]
    return words[:_REASON_CHARS_MAX]


async def _print(deployment: _Deployment, options: TopOptions) -> Snapshot:
    """Print what it is like, once, or with an interval until somebody ends it."""
    while True:
        await deployment.ask(None)
        snapshot = deployment.snapshot()
        printed(snapshot, options.form)
        if options.interval_s is None:
            return snapshot
        await anyio.sleep(options.interval_s)


async def _draw(deployment: _Deployment, every_s: float) -> None:
    """Draw what it is like until somebody has seen enough; what was seen last stays."""

    def drawn(width: int, height: int) -> RenderableType:
        return frame(deployment.snapshot(), width, height)

    try:
        with open_screen() as screen:
            async with anyio.create_task_group() as group:
                group.start_soon(deployment.ask, every_s)
                while True:
                    screen.show(drawn)
                    await anyio.sleep(_TICK_S)
    finally:
        printed(deployment.snapshot(), "table")
