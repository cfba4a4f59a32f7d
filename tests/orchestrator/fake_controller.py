"""What stands for the ε-CON in tests of the ε-ORC."""

from edgeless_sim.api.messages import UpdateDomainRequest, UpdateDomainResponse
from edgeless_sim.kernel import current_scheduler


class FakeController:
    """Takes the registration of the domain; answers what it is told to."""

    def __init__(self) -> None:
        self.updates: list[UpdateDomainRequest] = []
        self.times: list[int] = []
        self.epoch = 0
        self.insists = False

    async def update_domain(self, request: UpdateDomainRequest) -> UpdateDomainResponse:
        self.updates.append(request)
        self.times.append(current_scheduler().now_ns())
        return UpdateDomainResponse(self.insists or request.epoch != self.epoch, self.epoch)
