"""The ε-CON's books end with what runs in a domain, whichever reports of changes got through."""

from random import Random
from typing import Any
from uuid import UUID

import pytest

from edgeless_sim.api.messages import UpdateDomainRequest, UpdateDomainResponse
from edgeless_sim.controller.deployment import ComponentKind, Start, Stop
from edgeless_sim.controller.ledger import DomainLedger
from edgeless_sim.kernel import Entropy, Journal, LoopClock, Supervisor
from edgeless_sim.kernel import run as run_on_loop
from edgeless_sim.kernel.context import ActorContext
from edgeless_sim.model.ids import DomainId, LogicalId, WorkflowId
from edgeless_sim.model.resource import ResourceInstanceSpecification
from edgeless_sim.orchestrator import announcement
from edgeless_sim.orchestrator.announcement import DomainAnnouncement
from edgeless_sim.orchestrator.chronicle import Chronicle
from edgeless_sim.orchestrator.domain_state import DomainState
from edgeless_sim.orchestrator.records import Component
from edgeless_sim.orchestrator.requirements import Needs
from edgeless_sim.orchestrator.view import ComponentKind as Kind

RESOURCE = ResourceInstanceSpecification("file-log", {}, WorkflowId(UUID(int=7)))


class Domain:
    """The state of a domain, what it announces, and the books that the ε-CON has of it."""

    def __init__(self, context: ActorContext) -> None:
        self.state = DomainState()
        self.announcement = DomainAnnouncement(
            context,
            self.state,
            lambda: None,
            domain_id=DomainId("edge"),
            url="memory://edge",
            ttl_s=5.0,
            chronicle=Chronicle(context.journal, DomainId("edge")),
        )
        self.ledger = DomainLedger()

    def add(self, number: int) -> None:
        lid = LogicalId(UUID(int=number))
        self.state.add(Component(lid, Kind.RESOURCE, RESOURCE, Needs(Kind.RESOURCE, "f"), {}))

    def remove(self, number: int) -> None:
        self.state.remove(self.state.components[LogicalId(UUID(int=number))])

    def take(self, request: UpdateDomainRequest) -> UpdateDomainResponse:
        self.ledger.report(
            request.components,
            base=request.base,
            version=request.version,
            gone=request.gone,
            more=request.more,
        )
        return UpdateDomainResponse(reset=False, version=self.ledger.version)

    def exchange(self) -> UpdateDomainRequest:
        """Announce, with the answer heard."""
        request = self.announcement.current()
        self.announcement.obey(self.take(request))
        return request

    def exchange_all(self) -> list[UpdateDomainRequest]:
        """Announce until there is nothing more to tell."""
        requests = [self.exchange()]
        while requests[-1].more:
            assert len(requests) < 1_000, "it does not come to an end"
            requests.append(self.exchange())
        return requests

    def known(self) -> dict[LogicalId, Any]:
        """The inventory, as far as the ε-CON has it."""
        return dict(self.ledger._inventory or {})

    def wanted(self) -> dict[LogicalId, Any]:
        return {lid: self.state.inventory(one) for lid, one in self.state.components.items()}


def play(story: Any) -> None:
    async def world() -> None:
        clock = LoopClock.running()
        async with Supervisor.open() as supervisor:
            journal = Journal(clock.scheduler)
            context = ActorContext(
                "edge", clock, clock.scheduler, Entropy(1), journal, supervisor.spawn
            )
            story(Domain(context))

    run_on_loop(world)


def test_a_second_report_tells_only_what_has_changed() -> None:
    def story(domain: Domain) -> None:
        for number in range(1, 101):
            domain.add(number)
        first = domain.exchange()
        assert (first.base, len(first.components or ())) == (None, 100)
        domain.add(101)
        domain.remove(5)
        second = domain.exchange()
        assert (second.base, second.version) == (first.version, domain.state.version)
        assert [one.logical_id.int for one in second.components or ()] == [101]
        assert [lid.int for lid in second.gone] == [5]
        idle = domain.exchange()
        assert (idle.components, idle.gone, idle.counter) == ((), (), second.counter)
        assert domain.exchange() is domain.announcement.current()
        assert domain.known() == domain.wanted()

    play(story)


def test_what_is_too_much_for_one_report_comes_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcement, "PART_MAX", 10)

    def story(domain: Domain) -> None:
        for number in range(1, 36):
            domain.add(number)
        missing = Start(
            LogicalId(UUID(int=35)), ComponentKind.RESOURCE, "r", RESOURCE
        )  # in the last part
        domain.ledger.expect(missing)
        domain.ledger.succeeded(missing)
        parts = domain.exchange_all()
        assert [len(part.components or ()) for part in parts] == [10, 10, 10, 5]
        assert [part.more for part in parts] == [True, True, True, False]
        assert domain.ledger.reports == 1
        assert domain.known() == domain.wanted()
        assert missing not in domain.ledger.repairs(0)
        assert len(domain.ledger.repairs(0)) == 34

    play(story)


def test_a_domain_that_was_forgotten_tells_all_again() -> None:
    def story(domain: Domain) -> None:
        domain.add(1)
        domain.exchange()
        domain.ledger.clear()
        domain.add(2)
        domain.exchange()
        assert domain.known() == {}
        assert domain.exchange().base is None
        assert domain.known() == domain.wanted()

    play(story)


def test_who_has_not_listened_for_too_long_is_told_all_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("edgeless_sim.orchestrator.domain_state._GONE_MAX", 3)

    def story(domain: Domain) -> None:
        for number in range(1, 11):
            domain.add(number)
        domain.exchange()
        for number in range(1, 6):
            domain.remove(number)
        assert domain.exchange().base is None
        assert domain.known() == domain.wanted()

    play(story)


def test_all_again_may_take_several_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeless_sim.orchestrator.domain_state._GONE_MAX", 3)
    monkeypatch.setattr(announcement, "PART_MAX", 4)

    def story(domain: Domain) -> None:
        for number in range(1, 31):
            domain.add(number)
        domain.exchange_all()
        for number in range(1, 16):
            domain.remove(number)
        parts = domain.exchange_all()
        assert [part.base is None for part in parts] == [True, False, False, False]
        assert domain.known() == domain.wanted()

    play(story)


@pytest.mark.parametrize("gone_max", [3, 16_384])
@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_lost_doubled_or_late_the_books_end_with_what_runs(
    seed: int, gone_max: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeless_sim.orchestrator.domain_state._GONE_MAX", gone_max)
    monkeypatch.setattr(announcement, "PART_MAX", 4)
    dice = Random(seed)

    def story(domain: Domain) -> None:
        late: list[UpdateDomainRequest] = []
        for number in range(1, 200):
            running = [lid.int for lid in domain.state.components]
            if running and dice.random() < 0.45:
                domain.remove(dice.choice(running))
            else:
                domain.add(number)
            request = domain.announcement.current()
            late.append(request)
            if dice.random() < 0.5:
                # Lost, or on its way for long: later ones may overtake it.
                continue
            answer = domain.take(request)
            if dice.random() < 0.7:
                domain.announcement.obey(answer)
            if dice.random() < 0.3:
                domain.take(dice.choice(late))
            if dice.random() < 0.02:
                domain.ledger.clear()
                late.clear()
        domain.exchange()
        domain.exchange_all()
        assert domain.known() == domain.wanted()
        # Nobody asked for them: each is to be stopped.
        assert {Stop(lid, None) for lid in domain.state.components} <= {*domain.ledger.repairs(0)}

    play(story)
