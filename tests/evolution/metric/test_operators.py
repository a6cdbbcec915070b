from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_fixture import programs

from dna_ray.evolution.metric.grow import grow
from dna_ray.evolution.metric.operators import MUTATIONS, crossover, hoist, jitter, point, shrink
from dna_ray.evolution.metric.program import Program, replaced, subtrees
from dna_ray.evolution.metric.source import from_python

SEEDS = st.integers(0, 2**32)
Mutation = Callable[[Program, np.random.Generator], Program]


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def parts(program: Program) -> list[Program]:
    return [part for _, part in subtrees(program)]


@given(SEEDS, st.integers(1, 9), st.integers(1, 40))
@settings(max_examples=200, deadline=None)
def test_what_grows_keeps_within_what_was_asked_for(seed: int, depth: int, nodes: int):
    program = grow(rng(seed), depth, nodes)
    assert program.depth <= min(depth, 6)
    assert program.nodes <= min(nodes, 25)
    assert grow(rng(seed), depth, nodes) == program


def test_every_symbol_grows():
    generator = rng(0)
    grown = {part.symbol for _ in range(500) for part in parts(grow(generator))}
    assert len(grown) == 12 + 10 + 6


@given(programs(3, 7), programs(3, 7), SEEDS)
@settings(max_examples=60, deadline=None)
def test_a_child_of_two_is_one_with_a_part_of_the_other(receiver: Program, donor: Program, seed: int):
    possible = {replaced(receiver, place, part) for place in range(receiver.nodes) for part in parts(donor)}
    assert crossover(receiver, donor, rng(seed)) in possible


@given(programs(), programs(), SEEDS)
@settings(max_examples=60, deadline=None)
def test_two_programs_of_any_size_have_a_child_that_is_not_too_large(one: Program, other: Program, seed: int):
    assert crossover(one, other, rng(seed)) == crossover(one, other, rng(seed))


@pytest.mark.parametrize("mutate", MUTATIONS.values(), ids=MUTATIONS)
@given(program=programs(), seed=SEEDS)
@settings(max_examples=40, deadline=None)
def test_a_mutation_depends_on_its_seed_alone(mutate: Mutation, program: Program, seed: int):
    assert mutate(program, rng(seed)) == mutate(program, rng(seed))


@given(programs(), SEEDS)
@settings(max_examples=60, deadline=None)
def test_a_point_mutation_changes_one_symbol(program: Program, seed: int):
    before, after = parts(program), parts(point(program, rng(seed)))
    assert sum(one.symbol != other.symbol for one, other in zip(before, after, strict=True)) == 1


@given(programs(), SEEDS)
@settings(max_examples=60, deadline=None)
def test_hoisting_and_shrinking_make_a_program_smaller(program: Program, seed: int):
    assert hoist(program, rng(seed)) in (parts(program)[1:] or [program])
    assert shrink(program, rng(seed)).nodes < program.nodes or program.nodes == 1


@given(programs(), SEEDS)
@settings(max_examples=60, deadline=None)
def test_jitter_changes_constants_alone(program: Program, seed: int):
    for one, other in zip(parts(program), parts(jitter(program, rng(seed))), strict=True):
        assert one.symbol == other.symbol
        assert one.symbol == "const" or one.value == other.value
        assert np.sign(one.value) == np.sign(other.value) or abs(one.value) < 1e-5


def test_jitter_moves_a_constant_a_little():
    moved = [jitter(from_python("absW * 0.5"), rng(seed)).arguments[1].value for seed in range(200)]
    assert len(set(moved)) > 150
    assert np.std(np.log(moved)) == pytest.approx(0.2, rel=0.2)
