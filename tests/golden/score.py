"""Goldens of correlations: what scipy says of fixed and adversarial vectors.

Made by:  cargo xtask golden
Read by:  the unit tests of limbeck-score

Writes beside this file, always the same bytes:
  score.json  a list of {"name", "x", "y", "ranks" of x, "pearson", "spearman"}; null where scipy has no number. Vectors are texts
              of numbers between spaces, because not every reader of JSON takes every digit
"""

import json
import math
import warnings
from pathlib import Path

import numpy as np
from scipy import stats

HERE = Path(__file__).resolve().parent


def main():
    random = np.random.default_rng(7)
    x = random.normal(size=50)
    noise = random.normal(size=50)
    cases = [
        ("noise", x, noise),
        ("correlated", x, x + 0.5 * noise),
        ("a line", x, 3 * x + 2),
        ("a falling line", x, -x),
        ("monotone but not a line", x, np.exp(3 * x)),
        ("many ties", np.round(x), np.round(x + noise)),
        ("two values", (x > 0).astype(float), (noise > 0).astype(float)),
        ("ties on one side", np.round(x), noise),
        ("far from zero", x + 1e8, noise + x - 1e8),
        ("tiny", x * 1e-200, noise * 1e-200 + x * 1e-200),
        ("huge", x * 1e150, noise * 1e150 + x * 1e150),
        ("one outlier", np.append(x, 1e6), np.append(noise, -1e6)),
        ("two rows", np.array([1.0, 2.0]), np.array([5.0, 3.0])),
        ("minus zero", np.array([0.0, -0.0, 1.0, -1.0]), np.array([1.0, 2.0, 3.0, 4.0])),
        ("a constant", np.full(5, 0.3), np.arange(5.0)),
        ("two constants", np.full(5, 0.3), np.full(5, 2.0)),
        ("cosines against grades", np.tanh(x), np.clip(np.round(2 * (x + noise) + 2.5) / 2, 0, 5)),
    ]
    golden = [case(name, x, y) for name, x, y in cases]
    lines = ",\n".join(json.dumps(entry) for entry in golden)
    (HERE / "score.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def case(name, x, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        correlations = {"pearson": stats.pearsonr(x, y)[0], "spearman": stats.spearmanr(x, y)[0]}
    correlations = {metric: None if math.isnan(r) else float(r) for metric, r in correlations.items()}
    vectors = {"x": x, "y": y, "ranks": stats.rankdata(x)}
    return {"name": name} | {key: " ".join(map(repr, v.tolist())) for key, v in vectors.items()} | correlations


if __name__ == "__main__":
    main()
