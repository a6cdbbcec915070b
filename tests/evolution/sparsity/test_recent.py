from dna_ray.evolution.sparsity.recent import Recent


def ask(recent: Recent, key: str, size: int = 4) -> str:
    return recent.get(key, lambda: f"computed {key}", nbytes=lambda _: size)


def test_what_was_used_last_stays():
    recent, computed = Recent(8), []
    for key in "abac":  # c takes the place of b
        ask(recent, key)
    for key in "acb":
        recent.get(key, lambda key=key: computed.append(key), nbytes=lambda _: 4)  # type: ignore[misc]
    assert computed == ["b"]
    assert recent.nbytes == 8


def test_what_is_too_large_is_kept_alone():
    recent = Recent(8)
    ask(recent, "a")
    assert ask(recent, "large", 100) == "computed large"
    assert (len(recent), recent.nbytes) == (1, 100)
    ask(recent, "a")
    assert (len(recent), recent.nbytes) == (1, 4)
