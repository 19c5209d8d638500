"""How often synthesised states show something, compared with chance."""

import pytest

from lab.enrichment import enrichment


def test_the_ratio_of_shares_with_its_interval():
    record = enrichment([True] * 30 + [False] * 70, [True] * 20 + [False] * 80, [True] * 100 + [False] * 900)
    assert record["states"] == {"synthesised": 100, "random samples": 100, "real": 1000}
    assert record["synthesised"][0] == 0.3 and record["real"][0] == 0.1
    ratio, low, high = record["over real"]
    assert ratio == pytest.approx(3.0) and 1.5 < low < 3.0 < high < 5.0
    ratio, low, high = record["over random samples"]
    assert ratio == pytest.approx(1.5) and low < 1.0, "20 of 100 and 30 of 100 may be the same share"


def test_shares_of_0():
    record = enrichment([False] * 50, [False] * 10, [True] * 5 + [False] * 95)
    ratio, low, high = record["over real"]
    assert (ratio, low) == (0.0, 0.0) and high > 0
    assert record["over random samples"] is None
