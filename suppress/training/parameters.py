"""Which parameters of the UNet are trained, chosen by their names.

kv       keys and values of cross attention: what the UNet reads of the text (concept ablation)
cross    all of cross attention, with queries and output (ESD-x)
others   all but cross attention, the timestep's embedding and the output's layers (ESD-u, its first code)
full     everything
"""

from __future__ import annotations

from collections.abc import Callable

from minisd import UNet
from minisd.base.arguments import one_of

_ENDS = ("time_embedding.", "conv_norm_out.", "conv_out.")  # these stay, as in ESD's first code

GROUPS: dict[str, Callable[[str], bool]] = {
    "kv": lambda name: ".attn2.to_k." in name or ".attn2.to_v." in name,
    "cross": lambda name: ".attn2." in name,
    "others": lambda name: ".attn2." not in name and not name.startswith(_ENDS),
    "full": lambda name: True,
}


def chosen(unet: UNet, group: str) -> list[str]:
    """The names of the parameters in the group, in the order of the UNet."""
    one_of("weights", group, GROUPS)
    return [name for name, _ in unet.named_parameters() if GROUPS[group](name)]
