"""The known metrics, as programs.

[1] Sun et al., "A simple and effective pruning approach for large language models" (Wanda), ICLR 2024, section 3.
[2] Zhang et al., "Plug-and-play: an efficient post-training pruning method for large language models" (RIA), ICLR 2024,
    section 3.1, with its exponent 1/2. The norm of an input over n positions is sqrt(n) times its rms, and n changes no
    rank within a layer.
"""

from collections.abc import Mapping

from dna_ray.evolution.metric.program import Program
from dna_ray.evolution.metric.source import from_python

MAGNITUDE = from_python("absW")
WINA = from_python("absW * X1")  # |W_ij| E|x_j|
WANDA = from_python("absW * X2")  # |W_ij| ||x_j||_2 [1]
RIA = from_python("(div_safe(absW, row_l1) + div_safe(absW, col_l1)) * sqrt(X2)")  # [2]

FOUNDERS: Mapping[str, Program] = {"magnitude": MAGNITUDE, "wina": WINA, "wanda": WANDA, "ria": RIA}
