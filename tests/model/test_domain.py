"""Domain capabilities are the sum or union over nodes (case C020)."""

from msgspec.structs import replace

from edgeless_sim.model.domain import DomainCapabilities, DomainTotals, sum_capabilities
from edgeless_sim.model.node import NodeCapabilities
from edgeless_sim.model.resource import ResourceProviderSpecification

MINIMUM = NodeCapabilities(num_cpus=1, num_cores=1, runtimes=("RUST_WASM",))


def providers(node: int) -> list[ResourceProviderSpecification]:
    return [
        ResourceProviderSpecification(f"node-{node}-resource-{n}-provider", "rc-1")
        for n in range(5)
    ]


def capabilities(node: int) -> NodeCapabilities:
    return replace(MINIMUM, labels=("stable",) if node == 0 else ("unstable",))


def test_ten_nodes_with_five_providers_each_are_added_up() -> None:
    total = sum_capabilities((capabilities(n), providers(n)) for n in range(10))
    assert total == DomainCapabilities(
        num_nodes=10,
        num_cpus=10,
        num_cores=10,
        labels=("stable", "unstable"),
        runtimes=("RUST_WASM",),
        resource_providers=tuple(
            f"node-{node}-resource-{n}-provider" for node in range(10) for n in range(5)
        ),
        resource_classes=("rc-1",),
    )


def test_no_node_offers_nothing() -> None:
    assert sum_capabilities([]) == DomainCapabilities()


def test_every_number_is_added_up() -> None:
    node = NodeCapabilities(
        num_cpus=2,
        num_cores=3,
        mem_size=4,
        is_tee_running=True,
        has_tpm=True,
        disk_tot_space=5,
        num_gpus=6,
        mem_size_gpu=7,
    )
    assert sum_capabilities([(node, ()), (node, ()), (MINIMUM, ())]) == DomainCapabilities(
        num_nodes=3,
        num_cpus=5,
        num_cores=7,
        mem_size=8,
        num_tee=2,
        num_tpm=2,
        runtimes=("RUST_WASM",),
        disk_tot_space=10,
        num_gpus=12,
        mem_size_gpu=14,
    )


def test_names_stay_as_long_as_one_node_has_them() -> None:
    totals = DomainTotals()
    for node in range(3):
        totals.add(capabilities(node), providers(node))
    totals.remove(capabilities(0), providers(0))
    totals.remove(capabilities(1), providers(1))
    assert totals.capabilities() == sum_capabilities([(capabilities(2), providers(2))])
    totals.remove(capabilities(2), providers(2))
    assert totals.capabilities() == DomainCapabilities()


def test_capabilities_change_only_when_a_node_comes_or_goes() -> None:
    totals = DomainTotals()
    before = totals.capabilities()
    assert totals.capabilities() is before
    totals.add(MINIMUM)
    assert totals.capabilities().num_nodes == 1
    assert before.num_nodes == 0


def test_a_sum_beyond_32_bits_is_told_as_the_largest_and_kept_exactly() -> None:
    large = replace(MINIMUM, mem_size=2**32 - 1)
    totals = DomainTotals()
    totals.add(large)
    totals.add(large)
    assert totals.capabilities().mem_size == 2**32 - 1
    totals.remove(large)
    totals.add(MINIMUM)
    totals.remove(large)
    assert totals.capabilities().mem_size == 0


def test_joining_and_telling_takes_a_time_that_grows_with_the_nodes_own_names() -> None:
    # Sorting all 5,000 names at each of the 1,000 joins would take tens of seconds.
    totals = DomainTotals()
    for node in range(1000):
        totals.add(capabilities(node), providers(node))
        assert totals.capabilities().num_nodes == node + 1
    assert len(totals.capabilities().resource_providers) == 5000
