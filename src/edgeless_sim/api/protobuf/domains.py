"""What an orchestration domain tells the ε-CON, and what the ε-CON knows of domains (spec 10.2).

Not here: workflows, which are spread over domains.
"""

from edgeless_sim.api.messages import (
    ComponentInventory,
    ComponentState,
    UpdateDomainRequest,
    UpdateDomainResponse,
)
from edgeless_sim.api.protobuf._generated import edgeless_api_pb2 as pb
from edgeless_sim.api.protobuf.deadlines import deadline_of, read_ttl_s
from edgeless_sim.api.protobuf.fields import flat_message, flat_value, read_list
from edgeless_sim.api.protobuf.identifiers import (
    Place,
    instance_message,
    read_instance,
    read_optional_instance,
    read_uuid,
)
from edgeless_sim.model.domain import DomainCapabilities
from edgeless_sim.model.ids import DomainId, LogicalId

__all__ = [
    "domain_id_message",
    "domain_message",
    "domain_reply_message",
    "domains_message",
    "read_domain",
    "read_domain_id",
    "read_domain_reply",
    "read_domains",
]


def domain_id_message(domain_id: DomainId) -> pb.DomainId:
    """One domain; empty = all."""
    return pb.DomainId(domain_id=domain_id)


def read_domain_id(message: pb.DomainId) -> DomainId:
    """One domain; empty = all."""
    return DomainId(message.domain_id)


def domains_message(domains: dict[str, DomainCapabilities]) -> pb.DomainCapabilitiesList:
    """The capabilities of domains."""
    return pb.DomainCapabilitiesList(
        domain_capabilities=[
            pb.DomainCapabilitiesEntry(
                domain_id=domain_id,
                domain_capabilities=flat_message(pb.DomainCapabilities, capabilities),
            )
            for domain_id, capabilities in domains.items()
        ]
    )


def read_domains(message: pb.DomainCapabilitiesList) -> dict[str, DomainCapabilities]:
    """The capabilities of domains."""
    return {
        entry.domain_id: flat_value(DomainCapabilities, entry.domain_capabilities)
        for entry in read_list("domain_capabilities", message.domain_capabilities)
    }


def domain_message(place: Place, request: UpdateDomainRequest) -> pb.UpdateDomainRequest:
    """See `UpdateDomainRequest`."""
    return pb.UpdateDomainRequest(
        domain_id=request.domain_id,
        orchestrator_url=request.orchestrator_url,
        capabilities=flat_message(pb.DomainCapabilities, request.capabilities),
        refresh_deadline=deadline_of(place, request.ttl_s),
        counter=request.counter,
        nonce=request.nonce,
        inventory=_inventory_message(request),
        epoch=request.epoch,
        ttl_s=request.ttl_s,
    )


def read_domain(place: Place, message: pb.UpdateDomainRequest) -> UpdateDomainRequest:
    """Absent capabilities are those of a domain without nodes."""
    # An empty domain id is for the ε-CON to refuse: EDGELESS does it in the reply.
    inventory = message.inventory if message.HasField("inventory") else None
    return UpdateDomainRequest(
        domain_id=DomainId(message.domain_id),
        orchestrator_url=message.orchestrator_url,
        capabilities=flat_value(DomainCapabilities, message.capabilities),
        ttl_s=read_ttl_s(place, message.HasField("ttl_s"), message),
        counter=message.counter,
        nonce=message.nonce,
        components=None if inventory is None else _read_inventory(inventory),
        epoch=message.epoch,
        base=message.inventory.base if message.inventory.HasField("base") else None,
        version=message.inventory.version,
        gone=_read_gone(message.inventory),
        more=message.inventory.more,
    )


def domain_reply_message(reply: UpdateDomainResponse) -> pb.UpdateDomainResponse:
    """Accepted."""
    return pb.UpdateDomainResponse(reset=reply.reset, epoch=reply.epoch, version=reply.version)


def read_domain_reply(message: pb.UpdateDomainResponse) -> UpdateDomainResponse:
    """Accepted; EDGELESS's own ε-CON does not number its resets, and has no inventory."""
    version = message.version if message.HasField("version") else None
    return UpdateDomainResponse(message.reset, message.epoch, version)


def _inventory_message(request: UpdateDomainRequest) -> pb.DomainInventory | None:
    if request.components is None:
        return None
    return pb.DomainInventory(
        components=[
            pb.ComponentReport(
                logical_id=str(one.logical_id),
                state=one.state.value,
                reason=one.reason,
                instance_id=None if one.instance is None else instance_message(one.instance),
                node=one.node,
                further=[instance_message(instance) for instance in one.further],
            )
            for one in request.components
        ],
        base=request.base,
        version=request.version,
        gone=[str(logical_id) for logical_id in request.gone],
        more=request.more,
    )


def _read_inventory(message: pb.DomainInventory) -> tuple[ComponentInventory, ...]:
    return tuple(
        ComponentInventory(
            logical_id=LogicalId(read_uuid("inventory.logical_id", report.logical_id)),
            state=ComponentState(report.state),
            reason=report.reason,
            instance=read_optional_instance(
                "inventory.instance_id", report.HasField("instance_id"), report.instance_id
            ),
            node=report.node,
            further=tuple(
                read_instance("inventory.further", one)
                for one in read_list("inventory.further", report.further)
            ),
        )
        for report in read_list("inventory", message.components)
    )


def _read_gone(message: pb.DomainInventory) -> tuple[LogicalId, ...]:
    return tuple(
        LogicalId(read_uuid("inventory.gone", each))
        for each in read_list("inventory.gone", message.gone)
    )
