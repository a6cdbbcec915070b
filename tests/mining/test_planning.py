from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_networks import network_of, stack
from test_groups import anatomies

from dna_ray.errors import BudgetError
from dna_ray.mining import groups, start
from dna_ray.mining.config import SINE_KINDS, MineConfig
from dna_ray.mining.field import Field, read_field
from dna_ray.mining.plan import SinePlan, place_bytes, spread
from dna_ray.mining.planning import LARGEST_FUNCTION, plan_index, plan_learned
from dna_ray.mining.sine_sections import blank
from dna_ray.networks import Anatomy

CONFIGS = st.builds(
    MineConfig,
    kind=st.sampled_from(SINE_KINDS),
    groups=st.sampled_from(["many", "one"]),
    num_layers=st.sampled_from([None, 1, 2]),
    place_dim=st.sampled_from([None, 1, 5]),
    place_bits=st.sampled_from([None, 1, 4]),
    hidden_dim=st.sampled_from([None, 3]),
)


def _field(anatomy: Anatomy) -> Field:
    """Noise in the shapes of `anatomy`."""
    generator = torch.Generator().manual_seed(0)
    tensors = {info.name: torch.randn(info.shape, generator=generator) for info in anatomy}
    return Field(anatomy, tensors.__getitem__, "")


def _planned(field: Field, budget: int, config: MineConfig) -> SinePlan:
    if config.coordinates == "index":
        return plan_index(field.anatomy, budget, config)
    return plan_learned(field.anatomy, start.spectra(field), budget, config)


def _smallest(field: Field, config: MineConfig) -> int:
    """The smallest budget, as the error of one that is too small names it."""
    with pytest.raises(BudgetError) as caught:
        _planned(field, 0, config)
    return caught.value.smallest


def _nbytes(field: Field, plan: SinePlan) -> int:
    return blank(plan, field, start.statistics(field)).nbytes


@given(anatomies(), st.integers(0, 20_000), CONFIGS, st.sampled_from(["index", "learned"]))
@settings(max_examples=80, deadline=None)
def test_a_plan_is_never_larger_than_its_budget(anatomy: Anatomy, budget: int, config: MineConfig, coordinates: str):
    field = _field(anatomy)
    config = _with(config, coordinates=coordinates)
    smallest = _smallest(field, config)
    if budget < smallest:
        with pytest.raises(BudgetError):
            _planned(field, min(budget, smallest // 2), config)
        budget = smallest
    assert _nbytes(field, _planned(field, budget, config)) <= budget


@pytest.mark.parametrize("kind", SINE_KINDS)
@pytest.mark.parametrize("coordinates", ["index", "learned"])
@pytest.mark.parametrize("ratio", [8, 22])
def test_a_plan_fills_its_budget(kind: str, coordinates: str, ratio: int):
    field = read_field(stack(6, rows=96, cols=64))
    budget = field.anatomy.fp32_bytes // ratio
    plan = _planned(field, budget, MineConfig(kind=kind, coordinates=coordinates))
    sections = blank(plan, field, start.statistics(field)).sections
    used = sum(section.nbytes for name, section in sections.items() if name.startswith("sine."))
    assert 0.98 * budget <= used <= budget


def test_options_are_kept():
    field = read_field(stack(2))
    config = MineConfig(kind="spectral", hidden_dim=12, num_layers=2, place_dim=3, place_bits=5, omega=7.0)
    plan = _planned(field, 10**5, config)
    assert (plan.widths, plan.bits, plan.omega) == (((12, 12),), 5, 7.0)
    assert plan.dims is not None
    assert max(plan.dims) == 3
    plan = _planned(field, 10**5, _with(config, coordinates="index", kind="hierarchical", groups="one"))
    assert (plan.widths, plan.partition, plan.dims) == (((12, 12),) * 3, "one", None)


def test_dimensions_go_where_the_energy_is():
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(60, 40, generator=generator)
    outer = torch.randn(60, 1, generator=generator) @ torch.randn(1, 40, generator=generator)
    field = read_field(network_of({"large": 9 * noise, "outer": 0.1 * noise + 5 * outer, "small": 1e-3 * noise}))
    plan = _planned(field, 1600, MineConfig(kind="spectral", num_layers=1))
    assert plan.dims is not None
    large, outer_dims, small = plan.dims
    assert large > outer_dims >= 1
    assert small == 0


def test_functions_over_indices_stay_small():
    field = read_field(network_of({"a": torch.zeros(700, 600)}))
    plan = _planned(field, field.anatomy.fp32_bytes // 4, MineConfig(kind="spectral", coordinates="index"))
    assert plan.parameters() <= LARGEST_FUNCTION
    assert groups.count(plan.bands(field.anatomy)) > 1


def test_a_plan_and_json_and_back_is_the_identity():
    for coordinates in ("index", "learned"):
        plan = _planned(read_field(stack(1)), 10**4, MineConfig(kind="hierarchical", coordinates=coordinates))
        assert SinePlan.from_json(plan.to_json()) == plan


def test_a_budget_that_is_too_small_says_what_for():
    field = read_field(stack(1))
    with pytest.raises(BudgetError, match="for its functions, 10 are left"):
        _planned(field, 10, MineConfig(kind="hierarchical", coordinates="index"))
    with pytest.raises(BudgetError, match="10 bytes hold no place"):
        _planned(field, 10, MineConfig(kind="hierarchical"))


@given(st.integers(9, 500), st.integers(1, 3), st.integers(1, 3))
def test_spread_loses_nothing_and_is_even(units: int, bands: int, layers: int):
    flat = [width for band in spread(units, bands, layers) for width in band]
    assert (len(flat), sum(flat)) == (bands * layers, units)
    assert max(flat) - min(flat) <= 1


def test_bytes_of_places_are_whole_and_include_scales():
    assert place_bytes([(3, 2), (4, 4)], [1, 2], 3) == -(-(5 + 16) * 3 // 8) + 4 * 3


def _with(config: MineConfig, **changes: Any) -> MineConfig:
    return MineConfig(**{name: getattr(config, name) for name in MineConfig.__dataclass_fields__} | changes)
