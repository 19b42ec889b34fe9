"""Our formulas against numbers from the papers' own code, in float64.

The folder is ATCON_GOLDEN_DIR (default: ../shared/golden/dev beside the
repository); any folder of the same form will do. A kind of case that is not
built yet is skipped, by name.
"""

import pytest

from tests.golden.golden_networks import FOLDER
from tests.golden.golden_networks import CASES
from tests.golden.golden_networks import BY_ID
from tests.golden.golden_networks import arrays
from tests.golden.golden_baselines import run_gain_eval
from tests.golden.golden_baselines import run_gain_medt
from tests.golden.golden_baselines import run_gain_multi
from tests.golden.golden_baselines import run_gain_voc
from tests.golden.golden_baselines import run_laso
from tests.golden.golden_baselines import run_scores
from tests.golden.golden_heads import run_tame
from tests.golden.golden_heads import run_tame_eval
from tests.golden.golden_heads import run_tame_metrics
from tests.golden.golden_maps import check_atcon
from tests.golden.golden_maps import run_atcon
from tests.golden.golden_maps import run_atcon_ig
from tests.golden.golden_maps import run_integrated_gradients
from tests.golden.golden_maps import run_layer_consistency
from tests.golden.golden_maps import run_net

pytestmark = pytest.mark.usefixtures("float64")

RUN = {"net": run_net, "atcon": run_atcon,
       "integrated_gradients": run_integrated_gradients,
       "atcon_ig": run_atcon_ig, "tame": run_tame,
       "tame_eval": run_tame_eval, "tame_metrics": run_tame_metrics,
       "layer_consistency": run_layer_consistency,
       "gain_voc": run_gain_voc, "gain_multi": run_gain_multi,
       "gain_eval": run_gain_eval, "gain_medt": run_gain_medt,
       "laso": run_laso, "scores": run_scores}


def _known(kind):
  return [c for c in CASES if c["kind"] == kind]


@pytest.mark.skipif(not CASES, reason=f"no cases.json in {FOLDER}")
@pytest.mark.parametrize("case", CASES, ids=lambda c: c["id"])
def test_golden(case):
  if case["kind"] not in RUN:
    pytest.skip(f"kind {case['kind']}: not built yet")
  RUN[case["kind"]](case)


@pytest.mark.skipif(not CASES, reason=f"no cases.json in {FOLDER}")
def test_normalization_inside_the_classifier():
  """Images in [0, 1], normalised by the classifier: the same numbers."""
  for case in _known("atcon"):
    if (case["mode"], case["metric"]) == (2, 0):
      check_atcon(case, arrays(BY_ID[case["net"]])["x01"], "imagenet")
