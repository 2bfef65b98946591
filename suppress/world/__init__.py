"""The drawn world: portraits whose content is known exactly, on which the embedded model was trained.

import numpy as np, suppress
rng = np.random.default_rng(0)
spec = suppress.world.sample_spec(rng)
picture, text = suppress.world.render(spec), suppress.world.caption(spec, rng)
suppress.world.attributes(spec)                                       # {"glasses": True, "hat": False, …}
ideal = suppress.world.render(suppress.world.without(spec, "glasses"))  # what a perfect edit would give
suppress.world.region(spec, "glasses")                                # the pixels that may change

A photo has no such truth. Here an edit can be compared with the ideal one, pixel by pixel.
"""

from .captions import caption
from .picture import render
from .sampling import sample_spec
from .spec import Spec
from .truth import ATTRIBUTES, REMOVABLE, attributes, region, without

__all__ = ["ATTRIBUTES", "REMOVABLE", "Spec", "attributes", "caption", "region", "render", "sample_spec", "without"]
