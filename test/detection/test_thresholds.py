"""From names and scores to one threshold a class."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trt_ssd_ros.detection.thresholds import OFF, class_thresholds

LABELS = ("Cat", "Cattle", "Coffee cup", "a=b", "c: d", "Tree")


def test_nothing_set_is_one_threshold_for_all():
    assert class_thresholds(LABELS, 0.3) == (0.3,) * len(LABELS)


@pytest.mark.parametrize(
    "text", ["Coffee cup=0.5", "Coffee cup: 0.5", "Coffee cup:0.5", "Coffee cup = .5", "Coffee cup=5e-1"]
)
def test_a_class_has_a_threshold_of_its_own(text):
    assert class_thresholds(LABELS, 0.3, [text]) == (0.3, 0.3, 0.5, 0.3, 0.3, 0.3)


def test_names_may_hold_the_separators():
    assert class_thresholds(LABELS, 0.3, ["a=b=0.1", "c: d: 0.2"])[3:5] == (0.1, 0.2)


@pytest.mark.parametrize("score", [0, 1])
def test_the_bounds_are_scores(score):
    assert class_thresholds(LABELS, 0.3, [f"Cat={score}"])[0] == score


@given(st.sets(st.sampled_from(LABELS)), st.sets(st.sampled_from(LABELS)))
def test_a_class_is_reported_if_included_and_not_excluded(include, exclude):
    on = {name for name in LABELS if (not include or name in include) and name not in exclude}
    if on:
        thresholds = class_thresholds(LABELS, 0.3, ["Tree=0.9"], sorted(include), sorted(exclude))
        own = {"Tree": 0.9}
        assert thresholds == tuple(own.get(name, 0.3) if name in on else OFF for name in LABELS)
    else:
        with pytest.raises(ValueError, match="expected at least one class to report"):
            class_thresholds(LABELS, 0.3, (), sorted(include), sorted(exclude))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cat", "'Cat' or 'Cattle'"),
        ("coffeecup", "'Coffee cup'"),
        ("Tre", "'Tree'"),
        ("xyz", "a class of this model: Cat, Cattle, Coffee cup, a=b, c: d, Tree"),
        ("", "a class of this model"),
    ],
)
@pytest.mark.parametrize("parameter", ["include_classes", "exclude_classes", "class_thresholds"])
def test_a_name_that_is_no_label_is_answered_with_those_near(parameter, name, said):
    if (parameter, name) == ("class_thresholds", ""):
        said = "Name=score"
    names = {parameter: [name]}
    scores = [f"{name}=0.5" for name in names.get("class_thresholds", [])]
    include, exclude = names.get("include_classes", ()), names.get("exclude_classes", ())
    with pytest.raises(ValueError, match=f"^{parameter}: found '{name}.*expected .*{said}"):
        class_thresholds(LABELS, 0.3, scores, include, exclude)


def test_of_many_labels_ten_are_named():
    labels = [f"label {number}" for number in range(23)]
    with pytest.raises(ValueError, match="label 9 and 13 more, see label_info"):
        class_thresholds(labels, 0.3, (), ["xyz"])


@pytest.mark.parametrize(
    "text", ["", "Cat", "Cat=", "=0.5", "Cat=high", "Cat=1.1", "Cat=-0.1", "Cat=nan", "[Cat: 0.5]"]
)
def test_a_text_without_a_score_is_refused(text):
    with pytest.raises(ValueError, match=r"class_thresholds: found .*, expected Name=score .* cat=0\.5"):
        class_thresholds(LABELS, 0.3, [text])


def test_a_class_twice_is_refused():
    with pytest.raises(ValueError, match="class_thresholds: found 'Cat' twice"):
        class_thresholds(LABELS, 0.3, ["Cat=0.5", "Cat: 0.6"])


def test_a_class_without_a_name_is_never_reported_or_named():
    labels = ("Cat", "", "Dog")
    assert class_thresholds(labels, 0.3) == (0.3, OFF, 0.3)
    with pytest.raises(ValueError, match=r"found '', expected a class of this model: Cat, Dog$"):
        class_thresholds(labels, 0.3, (), [""])
    with pytest.raises(ValueError, match="every class excluded"):
        class_thresholds(labels, 0.3, (), (), ["Cat", "Dog"])


def test_examples_of_the_docs_are_classes_of_the_default_model(card, repository):
    for name in ("config/detect.yaml", "docs/parameters.md"):
        text = (repository / name).read_text()
        scores = re.findall(r'class_thresholds:? "?\[(.*?)\]', text)
        names = re.findall(r'(?:in|ex)clude_classes:? "?\[(.*?)\]', text)
        assert scores
        assert any(names)
        for listed in scores:
            class_thresholds(card.labels, 0.3, re.split(r",\s*", listed.replace('"', "")))
        for listed in filter(None, names):
            class_thresholds(card.labels, 0.3, (), re.split(r",\s*", listed.replace('"', "")))
