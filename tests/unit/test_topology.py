"""Which hosts own which kinds: each kind once in the groups, spread as the settings say."""

from __future__ import annotations

from collections import Counter
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.settings import Settings
from deployments.topology import (
    GROUPS,
    STREAMS,
    bus_workers,
    entity_kinds,
    host_specs,
    plan,
    spread,
    supervisors,
)


def test_every_kind_is_in_exactly_one_group() -> None:
    assert sorted(chain.from_iterable(GROUPS.values())) == sorted(entity_kinds(Settings()))


def test_every_kind_publishes_on_a_stream_that_is_relayed() -> None:
    for kind in entity_kinds(Settings()).values():
        assert kind.stream in STREAMS


@pytest.mark.parametrize("hosts", [1, 3])
def test_the_plan_names_the_hosts_of_each_kind(hosts: int) -> None:
    settings = Settings(hosts_per_group=hosts)
    kinds, specs = entity_kinds(settings), host_specs(settings)
    assert len(specs) == len({spec.name for spec in specs}) == hosts * len(GROUPS)
    wanted = plan(kinds, specs)
    assert list(wanted.hosts["payees"]) == [f"rewards-{n}" for n in range(hosts)]
    assert wanted.partitions == {name: kind.partitions for name, kind in kinds.items()}


def test_the_beat_interval_is_the_settings() -> None:
    kind = entity_kinds(Settings(beat_interval_ms=700))["listening"]
    assert kind._policy.beat_interval_ms == 700  # type: ignore[attr-defined]


def test_workers_and_supervisors_have_names_of_their_own() -> None:
    assert bus_workers(Settings(bus_workers=2)) == ("bus-0", "bus-1")
    assert supervisors(Settings(supervisors=2)) == ("supervisor-0", "supervisor-1")


@given(
    hosts=st.integers(1, 9),
    nodes=st.lists(st.text("0123456789abcdef", min_size=4), min_size=1, max_size=9, unique=True),
)
def test_no_node_holds_a_whole_group_while_there_is_another(hosts: int, nodes: list[str]) -> None:
    names = [spec.name for spec in host_specs(Settings(hosts_per_group=hosts))]
    placed = spread(names, nodes)
    assert [name for name, _ in placed] == names
    for group in GROUPS:
        on = Counter(node for name, node in placed if name.startswith(group))
        assert len(on) == min(hosts, len(nodes))
        assert max(on.values()) - min(on.values()) <= 1


def test_the_first_of_each_group_are_on_different_nodes_and_the_same_each_time() -> None:
    placed = dict(spread(("a-0", "a-1", "b-0", "b-1"), ("n2", "n1")))
    assert placed == {"a-0": "n1", "a-1": "n2", "b-0": "n2", "b-1": "n1"}
