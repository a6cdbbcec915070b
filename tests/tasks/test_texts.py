import random
from dataclasses import replace
from pathlib import Path

import pytest

from dna_ray.errors import TaskError
from dna_ray.tasks.config import SPLIT_SHARES, TaskSettings
from dna_ray.tasks.texts import deduplicate, normalise, read_tweets, select_labelled, select_texts, split_of

ALL = 10**6
SENTENCES = [f"sentence number {i} of many" for i in range(300)]


def write(path: Path, lines: list[str]) -> TaskSettings:
    path.write_text("\n".join(lines), encoding="utf-8")
    return TaskSettings(texts=path, limit=ALL)


def test_case_spacing_links_and_mentions_do_not_make_a_text_another_one():
    assert normalise("Great   FLIGHT @united https://t.co/xyz") == normalise("@JetBlue great flight")


def test_duplicates_are_removed_before_the_split(tmp_path: Path):
    doubled = SENTENCES + [line.upper() + " https://t.co/abc" for line in SENTENCES]
    kept = [t for split in SPLIT_SHARES for t in select_texts(write(tmp_path / "texts", doubled), split=split)]
    assert len(kept) == len(SENTENCES)


def test_short_texts_are_left_out():
    assert [*deduplicate(["@united suck", "@united lost my bag"]).values()] == ["@united lost my bag"]


def test_splits_are_disjoint_and_cover_the_file(tmp_path: Path):
    settings = write(tmp_path / "texts", SENTENCES)
    splits = [select_texts(settings, split=split) for split in SPLIT_SHARES]
    assert sorted(text for split in splits for text in split) == sorted(SENTENCES)


def test_tweets_are_the_default():
    tweets = {tweet.text for tweet in read_tweets()}
    assert len(tweets) > 37_000
    assert tweets.issuperset(select_texts(TaskSettings(limit=100)))


def test_splits_have_the_shares_that_they_should():
    keys = [f"text {i}" for i in range(10_000)]
    for split, share in SPLIT_SHARES.items():
        assert sum(split_of(key) == split for key in keys) / len(keys) == pytest.approx(share, abs=0.02)


def test_the_choice_does_not_depend_on_the_order_of_the_file(tmp_path: Path):
    lines = list(SENTENCES)
    lines += [line.title() for line in lines]
    shuffled = random.Random(0).sample(lines, len(lines))
    one, other = write(tmp_path / "one", lines), write(tmp_path / "other", shuffled)
    assert select_texts(one) == select_texts(other)


def test_the_seed_changes_the_choice_but_not_the_split(tmp_path: Path):
    settings = write(tmp_path / "texts", SENTENCES)
    one, other = replace(settings, seed=0, limit=20), replace(settings, seed=1, limit=20)
    assert select_texts(one) != select_texts(other)
    assert not set(select_texts(one)) & set(select_texts(other, split="healing"))


def test_a_smaller_limit_chooses_a_part_of_the_larger(tmp_path: Path):
    settings = write(tmp_path / "texts", SENTENCES)
    assert select_texts(replace(settings, limit=20)) == select_texts(settings)[:20]


def test_labelled_texts_are_balanced_sure_and_from_their_split():
    texts, labels = select_labelled(TaskSettings(), split="validation", limit=ALL)
    rows = {tweet.text: tweet for tweet in read_tweets()}
    assert sum(labels) * 2 == len(labels) > 1000
    assert all(split_of(normalise(text)) == "validation" for text in texts)
    assert {rows[text].sentiment for text, label in zip(texts, labels, strict=True) if label} == {"positive"}
    assert all(rows[text].confidence is None or rows[text].confidence >= 0.65 for text in texts)


def test_a_byte_order_mark_is_not_part_of_the_first_text(tmp_path: Path):
    (tmp_path / "marked").write_text("\n".join(SENTENCES), encoding="utf-8-sig")
    marked = TaskSettings(texts=tmp_path / "marked", limit=ALL)
    assert {t for split in SPLIT_SHARES for t in select_texts(marked, split=split)} == set(SENTENCES)


def test_too_few_texts_say_how_many_and_where(tmp_path: Path):
    settings = write(tmp_path / "few.txt", ["only one text in here"] * 100)
    with pytest.raises(TaskError, match=r"few\.txt: [01] distinct texts .* in split 'test' \(of 1 in all\).*needs 10"):
        select_texts(settings)


def test_a_missing_file_of_texts_is_named(tmp_path: Path):
    with pytest.raises(TaskError, match=r"nowhere\.txt: cannot be read \(No such file"):
        select_texts(TaskSettings(texts=tmp_path / "nowhere.txt"))


def test_a_file_that_is_not_utf8_says_where(tmp_path: Path):
    (tmp_path / "latin").write_bytes(b"caf\xe9 au lait")
    with pytest.raises(TaskError, match="latin: not UTF-8 at byte 3; save it as UTF-8"):
        select_texts(TaskSettings(texts=tmp_path / "latin"))


def test_lines_of_text_have_no_labels(tmp_path: Path):
    with pytest.raises(TaskError, match="needs labels, and lines of text have none"):
        select_labelled(TaskSettings(texts=tmp_path / "any"), split="test", limit=10)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"split": "tset"}, "split 'tset': unknown"),
        ({"limit": 3}, "limit 3: too small"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_settings_that_cannot_work_are_refused(setting: dict[str, object], message: str):
    with pytest.raises(TaskError, match=message):
        TaskSettings(**setting)
