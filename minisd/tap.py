"""What can be done at an attention site: see or replace keys, values, maps and the output.

A tap is an ordinary object that is handed to the UNet: `unet(z, t, ctx, tap=tap)`. At each site that it `wants`,
the attention layer calls `out = tap.attend(site, q, k, v, attn)`. Most taps override one of its three parts:

    k, v = tap.keys_values(site, k, v, attn)           k, v (B,H,L,d)
    p    = tap.probs(site, softmax(q k^T / √d))        p (B,H,N,L), float32
    out  = tap.output(site, q, p v, attn)              q, out (B,H,N,d)

With these parts, a subclass of a few lines expresses the methods of the field:
- maps that are replaced (Prompt-to-Prompt) or re-weighted;
- keys and values of another sample of the batch, or of another context (`attn.to_v`, `attn.split_heads`);
- more columns: `keys_values` may append keys and values, or `probs` may return more columns than there are keys
  if `keys_values` returned as many more values;
- something that is added to the output.

minisd/taps has taps that are ready to use (Record, Replace, …), and combines them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from .base.arguments import shown
from .base.errors import UserError

if TYPE_CHECKING:
    from .attention import Attention, Site


class Tap:
    """The protocol, and the tap that changes nothing. Subclass it and override what you need."""

    def wants(self, site: Site) -> bool:
        """Whether this site calls the tap. Memory: B·H·N·L floats per site, 0.5 GB for SD's finest self maps."""
        return True

    def attend(self, site: Site, q: Tensor, k: Tensor, v: Tensor, attn: Attention) -> Tensor:
        """The attention of queries q (B,H,N,d) to keys and values k, v (B,H,L,d) -> (B,H,N,d)."""
        k, v = self.keys_values(site, k, v, attn)
        p = self.probs(site, attention_maps(q, k))
        return self.output(site, q, p.to(v.dtype) @ v, attn)

    def keys_values(self, site: Site, k: Tensor, v: Tensor, attn: Attention) -> tuple[Tensor, Tensor]:
        """k, v (B,H,L,d) -> those to use. `attn.split_heads(attn.to_v(c))`: values of a context c (B,L,D)."""
        return k, v

    def probs(self, site: Site, p: Tensor) -> Tensor:
        """p (B,H,N,L), float32, rows sum to 1 -> the maps to use. Nothing renormalises them. A tap that only looks
        returns p itself."""
        return p

    def output(self, site: Site, q: Tensor, out: Tensor, attn: Attention) -> Tensor:
        """out (B,H,N,d), what the queries q (B,H,N,d) got -> the output to use, before heads are joined."""
        return out


def attention_maps(q: Tensor, k: Tensor) -> Tensor:
    """softmax(q k^T / √d): q (B,H,N,d), k (B,H,L,d) -> (B,H,N,L)"""
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    return scores.float().softmax(dim=-1)  # half precision would lose the small entries that losses and heat maps read


def check_tap(tap: Any) -> None:
    """UserError if it is not a tap. None is allowed."""
    if tap is not None and not isinstance(tap, Tap):
        raise UserError(f"tap = {shown(tap)}; expected a minisd.Tap, such as minisd.Record()")
